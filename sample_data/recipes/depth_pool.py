"""Landscapes as the demo's depth network sees them: the whole picture, its longest side 126 pixels, in whole patches.

Pictures keep their shape, so they come in groups of one size each. Knows nothing about networks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import Pool

import numpy as np
from grounds import Size
from landscape_pool import nearest, worn
from landscapes import render_landscape
from numpy.typing import NDArray

from visioncli.models.depth_anything3.pixels import Recipe

PATCH = 14  # pixels, as the published networks'
PROCESS_SIZE = 126  # pixels of the longest side
SHORTER, LONGER = (112, 170), (1.0, 1.7)  # pixels of the pictures before that; times the shorter side


@dataclass(frozen=True)
class Seen:
    """N landscapes of one size as the network sees them, and their truth."""

    pixels: NDArray[np.uint8]  # (N, h, w, 3)
    depth: NDArray[np.float16]  # (N, h, w), metres
    view: NDArray[np.float32]  # (N, 2), vertical and horizontal field of view, radians


def see_landscape(seed: int, size: Size, rng: np.random.Generator) -> Seen:
    """One landscape, rendered at `size`, worn as files are, and made ready; all with N = 1."""
    full = render_landscape(seed, size)
    pixels = Recipe(PROCESS_SIZE, PATCH).apply(np.asarray(worn(rng, full.pixels)))
    depth = full.depth[nearest(pixels.shape[:2], size)]
    view = 2 * np.arctan(np.array(size) / 2 / full.camera.focal)
    return Seen(pixels[None], depth[None].astype(np.float16), view[None].astype(np.float32))


def see_one(seed: int) -> Seen:
    """The landscape of this seed at a random size and shape."""
    rng = np.random.default_rng([seed, 22])
    shorter = int(rng.integers(*SHORTER))
    longer = int(shorter * rng.uniform(*LONGER))
    return see_landscape(seed, (shorter, longer) if rng.random() < 0.6 else (longer, shorter), rng)


def see_all(seeds: Sequence[int], workers: int = 2) -> list[Seen]:
    """The landscapes of `seeds`, in groups of one size each."""
    groups: dict[Size, list[Seen]] = defaultdict(list)
    with Pool(workers) as processes:
        for one in processes.imap(see_one, seeds, chunksize=50):
            groups[one.pixels.shape[1:3]].append(one)
    return [
        Seen(
            np.concatenate([one.pixels for one in group]),
            np.concatenate([one.depth for one in group]),
            np.concatenate([one.view for one in group]),
        )
        for _, group in sorted(groups.items())
    ]
