"""Figures, each a ratio within one run. torch's threads spin only briefly while they wait, as in the tool itself."""

import os

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # before torch is imported; see visioncli.models.runtime
