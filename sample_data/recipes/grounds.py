"""Backgrounds of one named colour: a base colour modulated by a texture, plus fine noise.

A texture is a field of shape (height, width), float32 in -1..1, the same at any resolution for the same draws.
Knows nothing about sprites.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from concepts import COLOURS
from numpy.typing import NDArray
from PIL import Image

Field = NDArray[np.float32]
Size = tuple[int, int]  # height, width

DEEPEST_TEXTURE = 20.0  # grey levels; more would turn orange into brown and gray into white
TINT = 0.15  # how far the channels may part within a colour's range; more would tint gray
DEEPEST_NOISE = 9.0  # grey levels, per pixel and channel


def _grid(size: Size) -> tuple[Field, Field]:
    """Coordinates y (height, 1) and x (1, width) of the pixel centres, in 0..1."""
    height, width = size
    y: Field = ((np.arange(height) + 0.5) / height).astype(np.float32)
    x: Field = ((np.arange(width) + 0.5) / width).astype(np.float32)
    return y[:, None], x[None, :]


def _along(rng: np.random.Generator, size: Size) -> Field:
    """Position along a random direction, about -1..1."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = _grid(size)
    field: Field = ((y - 0.5) * np.sin(angle) + (x - 0.5) * np.cos(angle)) * np.float32(1.5)
    return field.astype(np.float32)


def flat(rng: np.random.Generator, size: Size) -> Field:
    """No texture."""
    return np.zeros(size, np.float32)


def gradient(rng: np.random.Generator, size: Size) -> Field:
    """A linear ramp in a random direction."""
    return np.clip(_along(rng, size), -1, 1)


def vignette(rng: np.random.Generator, size: Size) -> Field:
    """A bright or dark spot somewhere, fading outwards."""
    y, x = _grid(size)
    centre_y, centre_x = rng.uniform(0.2, 0.8, 2)
    distance = np.sqrt((y - centre_y) ** 2 + (x - centre_x) ** 2).astype(np.float32)
    field: Field = np.clip((1 - 2.5 * distance) * rng.choice([-1, 1]), -1, 1).astype(np.float32)
    return field


def stripes(rng: np.random.Generator, size: Size) -> Field:
    """Soft stripes in a random direction."""
    field: Field = np.sin(_along(rng, size) * np.float32(rng.uniform(6, 30)) + np.float32(rng.uniform(0, 6))).astype(
        np.float32
    )
    return field


def checks(rng: np.random.Generator, size: Size) -> Field:
    """A chequerboard of 2 to 8 cells a side."""
    y, x = _grid(size)
    cells = rng.integers(2, 9)
    field: Field = (((y * cells).astype(int) + (x * cells).astype(int)) % 2 * 2 - 1).astype(np.float32)
    return field


def clouds(rng: np.random.Generator, size: Size) -> Field:
    """Smooth blotches: a small random lattice, enlarged."""
    lattice = rng.uniform(-1, 1, (int(rng.integers(3, 10)),) * 2).astype(np.float32)
    large = Image.fromarray(lattice, "F").resize((size[1], size[0]), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(large), -1, 1)


def floor(rng: np.random.Generator, size: Size) -> Field:
    """A wall above a floor, one lighter than the other."""
    y, _ = _grid(size)
    horizon = rng.uniform(0.45, 0.8)
    field: Field = np.broadcast_to(np.where(y < horizon, 0.6, -0.6) * rng.choice([-1, 1]), size).astype(np.float32)
    return field


TEXTURES: tuple[Callable[[np.random.Generator, Size], Field], ...] = (
    flat,
    gradient,
    vignette,
    stripes,
    checks,
    clouds,
    floor,
)


def paint_ground(rng: np.random.Generator, colour: str, size: Size) -> NDArray[np.float32]:
    """A background of the named colour, (height, width, 3), grey levels in 0..255."""
    low, high = COLOURS[colour]
    mix = np.clip(rng.random() + rng.uniform(-TINT, TINT, 3), 0, 1)
    base = (np.array(low) + mix * np.subtract(high, low)).astype(np.float32)  # (3,)
    texture = TEXTURES[rng.integers(len(TEXTURES))](rng, size) * np.float32(rng.uniform(5, DEEPEST_TEXTURE))
    noise = rng.standard_normal((*size, 3), dtype=np.float32) * np.float32(rng.uniform(0, DEEPEST_NOISE))
    ground: NDArray[np.float32] = np.clip(base + texture[:, :, None] + noise, 0, 255)
    return ground
