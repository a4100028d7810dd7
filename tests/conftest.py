"""What every test shares."""

import os

# As `visioncli.models.runtime` does for itself, before any test imports torch: the suite runs beside what it starts.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
# One thread each: numbers are equal to the last bit whoever computes them, and two workers do not wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
