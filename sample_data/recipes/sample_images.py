"""Render the sample images and their catalog: one scene of every concept, seed by seed, none left out or replaced."""

from __future__ import annotations

import csv
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from concepts import CONCEPTS, GROUP_OF
from grounds import Size
from PIL import Image
from scenes import SPLITS, render_scene

SAMPLE_DATA = Path(__file__).parents[1]
FIRST_SKU = 101  # written with leading zeros, which a careless CSV reader loses
FOLDERS = {
    "animal": "animals",
    "vehicle": "vehicles",
    "food": "things/kitchen",
    "plant": "things/garden",
    "clothing": "things/wear",
    "object": "things/home",
    "person": "people",
    "traffic light": "street",
    "house": "street",
    "tree": "street",
}
SIZES: tuple[Size, ...] = ((240, 320), (300, 400), (320, 240), (360, 480), (480, 640), (427, 320), (600, 800))
SUFFIXES = (".jpg",) * 8 + (".webp", ".jpg", ".jpg", ".png")  # picked in turn
SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    ".jpg": {"quality": 82, "optimize": True},
    ".webp": {"quality": 80, "method": 6},
    ".png": {"optimize": True},
}
SMALL: Size = (180, 240)  # for PNG, which does not compress noise


@dataclass(frozen=True)
class Row:
    """One line of the catalog; field order is column order."""

    sku: str
    image: str  # relative to the catalog
    price: str
    truth: str


def save_sample(number: int, seed: int) -> Row:
    """Render and save the scene of this seed; the row that describes it."""
    suffix = SUFFIXES[number % len(SUFFIXES)]
    pixels, scene = render_scene(seed, SMALL if suffix == ".png" else SIZES[number % len(SIZES)])
    sku = f"{FIRST_SKU + number:05d}"
    folder = FOLDERS.get(scene.concept) or FOLDERS[GROUP_OF[scene.concept]]
    image = f"images/{folder}/{sku}{suffix}"
    path = SAMPLE_DATA / image
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **SAVE_OPTIONS[suffix])
    price = np.random.default_rng([seed, 3]).integers(3, 300) + 0.9
    return Row(sku, image, f"{price:.2f}", scene.concept)


def write_catalog(rows: list[Row]) -> None:
    """catalog.csv: sku, image, price, truth."""
    with (SAMPLE_DATA / "catalog.csv").open("w", newline="", encoding="utf-8") as stream:
        lines = csv.writer(stream, lineterminator="\n")
        lines.writerow(Row.__dataclass_fields__)
        lines.writerows((row.sku, row.image, row.price, row.truth) for row in rows)


def build_samples() -> list[Row]:
    """Replace the sample images and the catalog."""
    shutil.rmtree(SAMPLE_DATA / "images", ignore_errors=True)
    rows = [save_sample(number, seed) for number, seed in enumerate(SPLITS["samples"][: len(CONCEPTS)])]
    write_catalog(rows)
    return rows


if __name__ == "__main__":
    print(f"{len(build_samples())} sample images")
