"""Rebuild the demo: train, write the checkpoint, render the sample images and the catalog, measure.

Usage: python build.py [--images-only]
"""

from __future__ import annotations

import argparse
import sys

import accuracy
from checkpoint import DEMO
from sample_images import build_samples
from train_siglip import train_rounds


def main() -> int:
    """Rebuild; the exit status is that of the accuracy check, 0 for images alone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images-only", action="store_true", help="only the sample images and the catalog")
    flags = parser.parse_args()
    if not flags.images_only:
        train_rounds(DEMO)
    print(f"{len(build_samples())} sample images")
    return 0 if flags.images_only else accuracy.main()


if __name__ == "__main__":
    sys.exit(main())
