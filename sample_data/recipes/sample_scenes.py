"""Render the sample scenes and their truth: the first landscapes of the samples split, none left out or replaced."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from concepts import CONCEPTS
from grounds import Size
from landscapes import LANDSCAPES, Landscape, render_landscape
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco

SCENES = Path(__file__).parents[1] / "scenes"
DEPTHS = SCENES.with_name("scenes_depth")  # not below the scenes: a folder INPUT is walked, and these are no pictures
COUNT = 40
SIZES: tuple[Size, ...] = ((360, 480), (480, 360), (360, 540), (400, 400), (300, 480), (450, 600), (512, 384))
SMALL: Size = (240, 320)  # for PNG, which does not compress noise
PNG_EVERY = 10  # scenes


def encode_mask(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """(H, W) as COCO's compressed run lengths."""
    packed = coco.encode(np.asfortranarray(mask, np.uint8))
    return {"size": packed["size"], "counts": packed["counts"].decode("ascii")}


def describe_things(scene: Landscape) -> list[dict[str, Any]]:
    """What stands in the scene, far to near."""
    return [
        {
            "concept": CONCEPTS[thing.concept],
            "box": thing.box,
            "distance": round(thing.distance, 4),
            "visible": round(thing.visible, 4),
            "mask": encode_mask(scene.instances == number),
        }
        for number, thing in enumerate(scene.things, 1)
    ]


def save_depth(depth: NDArray[np.float32], name: str) -> dict[str, Any]:
    """Write (H, W) metres as 16-bit PNG; how to read it."""
    low, high = float(depth.min()), float(depth.max())
    levels = np.round((depth.astype(np.float64) - low) / (high - low) * 65535).astype(np.uint16)
    Image.fromarray(levels).save(DEPTHS / name, optimize=True)
    return {"file": f"../{DEPTHS.name}/{name}", "min": low, "max": high}


def save_scene(number: int, seed: int) -> dict[str, Any]:
    """Render and save the landscape of this seed; the line that describes it."""
    is_png = number % PNG_EVERY == PNG_EVERY - 1
    size = SMALL if is_png else SIZES[number % len(SIZES)]
    scene = render_landscape(seed, size)
    stem = f"{number + 1:02d}"
    name = f"{stem}.png" if is_png else f"{stem}.jpg"
    options = {"optimize": True} if is_png else {"quality": 85, "optimize": True}
    Image.fromarray(scene.pixels).save(SCENES / name, **options)
    return {
        "file": name,
        "height": size[0],
        "width": size[1],
        "focal": round(scene.camera.focal, 3),
        "seed": seed,
        "depth": save_depth(scene.depth, f"{stem}.png"),
        "things": describe_things(scene),
    }


def build_scenes() -> int:
    """Replace the scenes and truth.jsonl; how many there are."""
    for folder in (SCENES, DEPTHS):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    lines = [save_scene(number, seed) for number, seed in enumerate(LANDSCAPES["samples"][:COUNT])]
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    (SCENES / "truth.jsonl").write_text(text, encoding="utf-8")
    return len(lines)


if __name__ == "__main__":
    print(f"{build_scenes()} scenes")
