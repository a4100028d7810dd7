"""Landscapes as the demo's depth network sees them: the whole picture in its own shape, in whole patches.

For training they come from the pool of `landscape_pool`, whose squares get their shape back. Knows nothing about
networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from grounds import Size
from landscape_pool import Landscapes, draw_size, nearest
from landscapes import draw_camera
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from visioncli.models.depth_anything3.pixels import MEAN, STD, Recipe

PATCH = 8  # pixels, the bundled SigLIP's; the published networks' is 14
TRAINED_SIZE = 64  # pixels; for this square SigLIP has positions
PROCESS_SIZE = 96  # pixels of the longest side


@dataclass(frozen=True)
class Batch:
    """N landscapes of one size, and their truth."""

    images: Tensor  # (N, 3, h, w), as Depth Anything 3 takes them
    depth: Tensor  # (N, h, w), metres
    view: Tensor  # (N, 2), vertical and horizontal field of view, radians


def normalise(images: Tensor) -> Tensor:
    """(N, 3, h, w), 0..1, to what Depth Anything 3 takes."""
    mean, std = (torch.tensor(each)[:, None, None] for each in (MEAN, STD))
    return (images - mean) / std


def field_of_view(focal: float, size: Size) -> NDArray[np.float32]:
    """Vertical and horizontal, radians, (2,)."""
    return (2 * np.arctan(np.array(size) / 2 / focal)).astype(np.float32)


@dataclass(frozen=True)
class Shaped:
    """A pool whose landscapes were those of `seeds`, seen with the longest side `longest` pixels long."""

    pool: Landscapes
    seeds: range
    longest: int

    @cached_property
    def sizes(self) -> list[Size]:
        """Each picture's height and width before it was squashed."""
        return [draw_size(np.random.default_rng([seed, 21])) for seed in self.seeds]

    @cached_property
    def groups(self) -> dict[Size, NDArray[np.int64]]:
        """Height and width as seen -> the numbers of the landscapes that are seen so."""
        seen = np.array([Recipe(self.longest, PATCH).sizes(size)[1] for size in self.sizes])
        return {(int(h), int(w)): np.flatnonzero((seen == (h, w)).all(1)) for h, w in np.unique(seen, axis=0)}

    def view(self, number: int) -> NDArray[np.float32]:
        """The field of view of one landscape, (2,)."""
        size = self.sizes[number]
        placing, _ = np.random.default_rng([self.seeds[number], 20]).spawn(
            2
        )  # the draws of landscapes.render_landscape
        return field_of_view(draw_camera(placing, size).focal, size)

    def batch(self, numbers: NDArray[np.int64], shape: Size, filter: str) -> Batch:
        """The landscapes of these numbers at `shape`, resized by a filter of torch."""
        squares = torch.from_numpy(self.pool.pixels[numbers]).permute(0, 3, 1, 2).float() / 255
        options = {} if filter == "area" else {"antialias": True}
        images = F.interpolate(squares, shape, mode=filter, **options).clamp(0, 1)
        rows, columns = nearest(shape, self.pool.depth.shape[1:])
        depth = torch.from_numpy(self.pool.depth[numbers][:, rows, columns]).float()
        return Batch(normalise(images), depth, torch.from_numpy(np.stack([self.view(n) for n in numbers])))
