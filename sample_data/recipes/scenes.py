"""Seeded scenes with exact truth: one sprite on a ground of one named colour.

A scene is a pure function of (seed, size): the same numbers give the same picture. `SPLITS` hands out the seeds; its
ranges do not overlap, so no held-out scene can have been trained on. Knows nothing about models or files.

The steps (`paint_ground`, `draw_placement`, `shape_sprite`, `paste`, `cover_part`, `jitter`) work on any canvas, so a
scene of several sprites is the same steps called several times, far sprites first.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from concepts import COLOUR_NAMES, CONCEPTS, stem
from grounds import Size, paint_ground
from numpy.typing import NDArray
from PIL import Image, ImageDraw

SPRITES = Path(__file__).parent / "sprites"
SPLITS: dict[str, range] = {
    "train": range(0, 1_000_000),
    "tune": range(1_000_000, 1_010_000),  # for choosing the recipe
    "held_out": range(2_000_000, 2_010_000),  # for the figure that is reported, and nothing else
    "samples": range(3_000_000, 3_001_000),  # the committed sample images
}

Canvas = NDArray[np.float32]  # (height, width, 3), grey levels 0..255
Pixels = NDArray[np.uint8]  # (height, width, 3), RGB
Box = tuple[int, int, int, int]  # x0 y0 x1 y1 in pixels, x1 and y1 exclusive


@dataclass(frozen=True)
class Placement:
    """Where and how one sprite stands, in units that do not depend on the resolution."""

    sprite: Path
    centre: tuple[float, float]  # y, x as fractions of the height and width
    scale: float  # the sprite's longer side, as a fraction of the image's shorter side
    angle: float  # degrees, counter-clockwise
    flipped: bool


@dataclass(frozen=True)
class Scene:
    """What is true of one image."""

    concept: str
    colour: str  # of the ground
    box: Box  # of the sprite's opaque pixels inside the image, covered parts included
    seed: int


@cache
def variants(concept: str) -> tuple[Path, ...]:
    """The sprite files of a concept, the plain one first."""
    name = stem(concept)
    return (SPRITES / f"{name}.png", *sorted(SPRITES.glob(f"{name}_[0-9].png")))


@cache
def load_sprite(path: Path) -> Image.Image:
    """One sprite as RGBA at its own resolution."""
    return Image.open(path).convert("RGBA")


def draw_placement(rng: np.random.Generator, concept: str) -> Placement:
    """A random variant, place, size, turn and side, such that most of the sprite is inside the image."""
    files = variants(concept)
    scale = float(rng.uniform(0.6, 0.95))
    slack = max(0.0, 1 - scale) / 2 + 0.04  # a little may stick out
    centre = 0.5 + rng.uniform(-slack, slack, 2)
    return Placement(
        sprite=files[rng.integers(len(files))],
        centre=(float(centre[0]), float(centre[1])),
        scale=scale,
        angle=float(rng.uniform(-25, 25)),
        flipped=bool(rng.random() < 0.5),
    )


def shape_sprite(placement: Placement, size: Size) -> Image.Image:
    """The sprite mirrored, scaled and turned for an image of `size`, RGBA, cropped to its opaque pixels."""
    sprite = load_sprite(placement.sprite)
    if placement.flipped:
        sprite = sprite.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    factor = placement.scale * min(size) / max(sprite.size)
    width, height = (max(1, round(side * factor)) for side in sprite.size)
    turned = sprite.resize((width, height), Image.Resampling.BICUBIC).rotate(
        placement.angle, Image.Resampling.BICUBIC, expand=True
    )
    return turned.crop(turned.getchannel("A").point(lambda alpha: 255 * (alpha > 127)).getbbox())


def paste(canvas: Canvas, sprite: Image.Image, centre: tuple[float, float]) -> Box:
    """Paint the sprite into the canvas around `centre` (y, x fractions) and return its box, cut at the edges."""
    height, width = canvas.shape[:2]
    left = round(centre[1] * width - sprite.width / 2)
    top = round(centre[0] * height - sprite.height / 2)
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + sprite.width, width), min(top + sprite.height, height)
    part = np.asarray(sprite, np.float32)[y0 - top : y1 - top, x0 - left : x1 - left]
    alpha = part[:, :, 3:] / 255
    canvas[y0:y1, x0:x1] += alpha * (part[:, :, :3] - canvas[y0:y1, x0:x1])
    return x0, y0, x1, y1


def cover_part(rng: np.random.Generator, canvas: Canvas, box: Box) -> None:
    """Hide a part of the box, a fifth of its area at most, behind a plain rectangle or ellipse."""
    x0, y0, x1, y1 = box
    width, height = rng.uniform(0.2, 0.45, 2) * (x1 - x0, y1 - y0)
    x, y = rng.uniform((x0, y0), (x1, y1))
    mask = Image.new("1", (canvas.shape[1], canvas.shape[0]))
    draw = ImageDraw.Draw(mask)
    outline = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    (draw.ellipse if rng.random() < 0.5 else draw.rectangle)(outline, fill=1)
    canvas[np.asarray(mask)] = rng.uniform(0, 255, 3)


def jitter(rng: np.random.Generator, canvas: Canvas) -> Pixels:
    """Vary brightness and contrast, little enough for the ground to keep its colour's name."""
    contrast, brightness = rng.uniform(0.88, 1.1, 2)
    varied = ((canvas - 128) * contrast + 128) * brightness
    pixels: Pixels = np.clip(varied, 0, 255).round().astype(np.uint8)
    return pixels


def render_scene(seed: int, size: Size) -> tuple[Pixels, Scene]:
    """The scene of this seed at `size` (height, width), and its truth; `seed % len(CONCEPTS)` is the concept."""
    rng = np.random.default_rng(seed)
    concept = CONCEPTS[seed % len(CONCEPTS)]
    colour = COLOUR_NAMES[rng.integers(len(COLOUR_NAMES))]
    placement = draw_placement(rng, concept)
    covered = rng.random() < 0.35
    canvas = paint_ground(rng, colour, size)
    box = paste(canvas, shape_sprite(placement, size), placement.centre)
    if covered:
        cover_part(rng, canvas, box)
    return jitter(rng, canvas), Scene(concept, colour, box, seed)
