"""Landscapes rendered once, put through what happens to real files, kept as arrays that are mapped into memory.

Each is rendered at a random size and shape, often saved as JPEG and read back, then squashed to a square; the truth is
squashed with it. Knows nothing about models.

Usage: python landscape_pool.py FOLDER [--side 128] [--train 16000] [--tune 1000]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial
from itertools import chain, pairwise
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from grounds import Size
from landscapes import LANDSCAPES, Landscape, render_landscape
from numpy.typing import NDArray
from PIL import Image
from pool import through_jpeg
from scenes import Pixels

Fractions = NDArray[np.float32]  # (4,) x0 y0 x1 y1, fractions of the picture
Told = tuple[list[int], list[Fractions], list[float]]  # concepts, boxes and distances of one landscape's things

SHORTER, LONGER = (112, 176), (1.0, 1.6)  # pixels; times the shorter side


@dataclass(frozen=True)
class Landscapes:
    """N squashed landscapes and their truth; the things of landscape n are rows starts[n]:starts[n + 1]."""

    pixels: NDArray[np.uint8]  # (N, side, side, 3)
    instances: NDArray[np.uint8]  # (N, side, side), 0 = ground, k = the landscape's k-th thing
    depth: NDArray[np.float16]  # (N, side, side), metres
    starts: NDArray[np.int64]  # (N + 1,), into the three below
    concepts: NDArray[np.int64]  # (T,), index into CONCEPTS
    boxes: NDArray[np.float32]  # (T, 4) x0 y0 x1 y1, fractions of the picture, around the visible pixels
    distances: NDArray[np.float32]  # (T,), metres

    def things(self, number: int) -> slice:
        """The rows of one landscape's things, far to near."""
        return slice(int(self.starts[number]), int(self.starts[number + 1]))


def draw_size(rng: np.random.Generator) -> Size:
    """A random height and width, lying or standing."""
    shorter = int(rng.integers(*SHORTER))
    longer = int(shorter * rng.uniform(*LONGER))
    return (shorter, longer) if rng.random() < 0.6 else (longer, shorter)


def worn(rng: np.random.Generator, pixels: Pixels) -> Image.Image:
    """The picture as a file would give it back, mostly a JPEG."""
    image = Image.fromarray(pixels)
    return through_jpeg(image, int(rng.integers(50, 96))) if rng.random() < 0.6 else image


def squash(image: Image.Image, side: int, rng: np.random.Generator) -> Pixels:
    """The picture as a square, (side, side, 3), by one of the two usual filters."""
    resample = Image.Resampling.BILINEAR if rng.random() < 0.5 else Image.Resampling.BICUBIC
    return np.asarray(image.resize((side, side), resample))


def nearest(shape: Size, size: Size) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which row (h, 1) and column (w,) of a picture of `size` each pixel of the same picture at `shape` takes."""
    rows, columns = (((np.arange(a) + 0.5) * b / a).astype(np.int64) for a, b in zip(shape, size, strict=True))
    return rows[:, None], columns


def render_one(seed: int, side: int, concepts: Sequence[int] | None = None) -> tuple[Landscape, list[Fractions]]:
    """The landscape of this seed, squashed, and its boxes; in itself they stay in pixels of the picture before."""
    rng = np.random.default_rng([seed, 21])
    size = draw_size(rng)
    full = render_landscape(seed, size, concepts)
    take = nearest((side, side), size)
    pixels = squash(worn(rng, full.pixels), side, rng)
    scale = np.array([size[1], size[0]] * 2, np.float32)
    boxes = [np.array(thing.box, np.float32) / scale for thing in full.things]
    return Landscape(pixels, full.depth[take], full.instances[take], full.things, full.camera), boxes


def save_part(folder: Path, side: int, concepts: Sequence[int] | None, seeds: Sequence[int], first: int) -> list[Told]:
    """Render `seeds` into the folder's arrays from row `first`; what stands in each landscape."""
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r+") for name in ("pixels", "instances", "depth")}
    told = []
    for row, seed in enumerate(seeds, first):
        one, boxes = render_one(seed, side, concepts)
        for name, array in arrays.items():
            array[row] = getattr(one, name)
        told.append(([thing.concept for thing in one.things], boxes, [thing.distance for thing in one.things]))
    return told


def render_pool(
    seeds: Sequence[int], side: int, folder: Path, concepts: Sequence[int] | None = None, workers: int = 2
) -> Landscapes:
    """The landscapes of `seeds`, in their order, rendered into `folder` and mapped from there."""
    folder.mkdir(parents=True, exist_ok=True)
    count = len(seeds)
    for name, shape, kind in (("pixels", (3,), "u1"), ("instances", (), "u1"), ("depth", (), "f2")):
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", kind, (count, side, side, *shape))
    cuts = [*range(0, count, 250), count]
    parts = [(seeds[first:end], first) for first, end in pairwise(cuts)]
    with Pool(workers) as processes:
        done = processes.starmap(partial(save_part, folder, side, concepts), parts, chunksize=1)
    things = list(chain.from_iterable(done))
    np.save(folder / "starts.npy", np.cumsum([0, *(len(concepts) for concepts, _, _ in things)]))
    np.save(folder / "concepts.npy", np.array([one for concepts, _, _ in things for one in concepts], np.int64))
    np.save(folder / "boxes.npy", np.array([box for _, boxes, _ in things for box in boxes], np.float32))
    np.save(folder / "distances.npy", np.array([one for _, _, distances in things for one in distances], np.float32))
    return load_pool(folder)


def load_pool(folder: Path) -> Landscapes:
    """What `render_pool` wrote to the folder, mapped into memory."""
    return Landscapes(*(np.load(folder / f"{field.name}.npy", mmap_mode="r") for field in fields(Landscapes)))


def main() -> None:
    """Render the two splits that training takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--train", type=int, default=16_000)
    parser.add_argument("--tune", type=int, default=1_000)
    flags = parser.parse_args()
    for split, count in (("train", flags.train), ("tune", flags.tune)):
        began = time.monotonic()
        pool = render_pool(LANDSCAPES[split][:count], flags.side, flags.folder / split)
        print(
            f"{split}: {len(pool.pixels):,} landscapes, {len(pool.concepts):,} things, {time.monotonic() - began:.0f} s"
        )


if __name__ == "__main__":
    main()
