"""The training pictures: scenes rendered once, put through what happens to real files, kept as one array.

Each scene is rendered at a random size and shape, often saved as JPEG and read back, then squashed to the model's
square, as `visioncli` does with a file. Knows nothing about captions.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import Pool

import numpy as np
from concepts import COLOUR_NAMES, CONCEPTS
from numpy.typing import NDArray
from PIL import Image
from scenes import Pixels, Scene, render_scene

SIDE = 64  # pixels, the model's square


@dataclass(frozen=True)
class Pictures:
    """N training pictures and their truth."""

    pixels: NDArray[np.uint8]  # (N, 64, 64, 3)
    concepts: NDArray[np.int64]  # (N,), index into CONCEPTS
    colours: NDArray[np.int64]  # (N,), index into COLOUR_NAMES


def through_jpeg(image: Image.Image, quality: int) -> Image.Image:
    """The image after one save and load."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(stream).convert("RGB")


def render_picture(seed: int) -> tuple[Pixels, Scene]:
    """One scene as the model sees it, (64, 64, 3), and its truth."""
    rng = np.random.default_rng([seed, 1])
    size = int(rng.integers(72, 150)), int(rng.integers(90, 200))
    pixels, scene = render_scene(seed, size)
    image = Image.fromarray(pixels)
    if rng.random() < 0.6:
        image = through_jpeg(image, int(rng.integers(50, 96)))
    resample = Image.Resampling.BILINEAR if rng.random() < 0.5 else Image.Resampling.BICUBIC
    return np.asarray(image.resize((SIDE, SIDE), resample)), scene


def render_pictures(seeds: Sequence[int], workers: int = 2) -> Pictures:
    """All the pictures of `seeds`, in their order."""
    with Pool(workers) as processes:
        pairs = processes.map(render_picture, seeds, chunksize=250)
    return Pictures(
        pixels=np.stack([pixels for pixels, _ in pairs]),
        concepts=np.array([CONCEPTS.index(scene.concept) for _, scene in pairs]),
        colours=np.array([COLOUR_NAMES.index(scene.colour) for _, scene in pairs]),
    )
