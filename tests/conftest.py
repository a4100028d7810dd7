"""What every test shares."""

import os

# As `visioncli.models.runtime` does for itself, before any test imports torch: the suite runs beside what it starts.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
