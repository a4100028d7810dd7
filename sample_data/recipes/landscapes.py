"""Seeded landscapes with exact truth: one to six sprites on a floor before a wall, with boxes, masks and depth.

A landscape is a pure function of (seed, size, concepts). The camera is a pinhole with its principal point in the
middle, looking down a little, so the floor's depth at row y is focal * height / (y - horizon); the wall and the sprites
are boards that face the camera, each at one distance. Knows nothing about models or files.

A floor of tiles of one metre tells depth; a sprite's distance is told by the row it stands on, not by its size alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from concepts import COLOUR_NAMES, CONCEPTS
from grounds import Size, paint_ground
from numpy.typing import NDArray
from PIL import Image
from scenes import Box, Canvas, Pixels, Placement, jitter, paste, shape_sprite, variants

LANDSCAPES: dict[str, range] = {  # seeds; no overlap with each other, nor with scenes.SPLITS
    "train": range(10_000_000, 11_000_000),
    "tune": range(11_000_000, 11_010_000),  # for choosing the recipe
    "held_out": range(12_000_000, 12_010_000),  # for the figures that are reported, and nothing else
    "samples": range(13_000_000, 13_001_000),  # the committed scenes
}
MOST_THINGS = 6
LEAST_VISIBLE = 0.45  # of a thing's opaque pixels; what would show less, or make another show less, is not placed
SIDES = (0.2, 0.6)  # a thing's longer side before it is turned, as a fraction of the picture's shorter side
WORLD_SIDES = (0.5, 2.4)  # metres; the same
TRIES = 12  # places tried for one thing before it is dropped
TILE = 1.0  # metres
JOINT = 0.07  # metres, between two tiles; wide enough to be seen in a picture of 126 pixels
JOINT_STEP = 45  # grey levels a joint is darker than the floor; lighter on a dark floor
OPAQUE = [0] * 128 + [255] * 128  # an edge pixel belongs to the sprite when at least half of it does, as in scenes.py

Mask = NDArray[np.bool_]  # (H, W)


@dataclass(frozen=True)
class Camera:
    """A pinhole over a floor; lengths in the picture are in pixels."""

    focal: float
    height: float  # metres over the floor, divided by the cosine of the tilt, which makes the formula exact
    horizon: float  # row
    base: float  # row where the wall meets the floor

    def distance(self, row: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Depth in metres of what stands on the floor at `row`; the wall's above its base."""
        return np.asarray(self.focal * self.height / (np.maximum(row, self.base) - self.horizon))


@dataclass(frozen=True)
class Thing:
    """One sprite as it is seen."""

    concept: int  # index into CONCEPTS
    box: Box  # tight around its visible pixels
    distance: float  # metres, of every pixel of it
    visible: float  # share of its opaque pixels that are inside the picture and not covered, 0..1


@dataclass(frozen=True)
class Landscape:
    """A picture and all that is true of it; H and W are those asked for."""

    pixels: Pixels  # (H, W, 3)
    depth: NDArray[np.float32]  # (H, W), metres along the optical axis
    instances: NDArray[np.uint8]  # (H, W), 0 = floor or wall, k = visible pixels of things[k - 1]
    things: tuple[Thing, ...]  # far to near
    camera: Camera


@dataclass(frozen=True)
class Standing:
    """A sprite and where it stands, before it is painted."""

    concept: int
    distance: float
    image: Image.Image  # RGBA, cropped to its opaque pixels
    centre: tuple[float, float]  # y, x as fractions of the picture
    opaque: Mask  # (H, W), inside the picture
    area: int  # opaque pixels, those outside the picture too


def draw_camera(rng: np.random.Generator, size: Size) -> Camera:
    """A camera whose longer side sees 45 to 64 degrees, over a floor that fills 32 to 73 % of the picture."""
    horizon = rng.uniform(0.15, 0.4) * size[0]
    return Camera(
        focal=rng.uniform(0.8, 1.2) * max(size),
        height=rng.uniform(1.2, 1.8),
        horizon=horizon,
        base=horizon + rng.uniform(0.12, 0.28) * size[0],
    )


def lay_tiles(floor: Canvas, width: float, length: float) -> None:
    """Draw the joints of the tiles on a floor of `width` x `length` metres seen from above, its middle at x = 0."""
    rows, columns = floor.shape[:2]
    x = (np.arange(columns) / columns - 0.5) * width
    z = np.arange(rows) / rows * length
    floor[(x % TILE < JOINT) | (z % TILE < JOINT)[:, None]] += JOINT_STEP if floor.mean() < 90 else -JOINT_STEP


def paint_floor(rng: np.random.Generator, colour: str, size: Size, camera: Camera) -> Canvas:
    """The floor in perspective, (H, W, 3); rows above the wall's base are without meaning."""
    side = max(size) * 5 // 4  # pixels of the floor seen from above
    length = float(camera.distance(camera.base))
    width = length * size[1] / camera.focal * 1.05
    floor = paint_ground(rng, colour, (side, side))
    lay_tiles(floor, width, length)
    image = Image.fromarray(floor.clip(0, 255).astype(np.uint8))
    # Column and row of the floor's image, each times (y - horizon); then both over (y - horizon) = -horizon * (...)
    across, along = camera.height * side / width, camera.focal * camera.height * side / length
    column = np.array([across, side / 2, -across * size[1] / 2 - side / 2 * camera.horizon]) / -camera.horizon
    row = np.array([0, 0, along]) / -camera.horizon
    steps = (*column, *row, 0, -1 / camera.horizon)
    turned = image.transform((size[1], size[0]), Image.Transform.PERSPECTIVE, steps, Image.Resampling.BILINEAR)
    return np.asarray(turned, np.float32)


def paint_room(rng: np.random.Generator, size: Size, camera: Camera) -> tuple[Canvas, NDArray[np.float32]]:
    """Wall and floor in two colours, (H, W, 3), and their depth, (H, W)."""
    wall, floor = rng.choice(len(COLOUR_NAMES), 2, replace=False)
    canvas = paint_ground(rng, COLOUR_NAMES[wall], size)
    centres = np.arange(size[0]) + 0.5
    below = centres > camera.base
    canvas[below] = paint_floor(rng, COLOUR_NAMES[floor], size, camera)[below]
    depth = np.broadcast_to(camera.distance(centres)[:, None], size).astype(np.float32)
    return canvas, depth


def opaque_pixels(image: Image.Image, centre: tuple[float, float], size: Size) -> Mask:
    """Where `paste` puts the sprite's opaque pixels in a picture of `size`, (H, W)."""
    mask = np.zeros((*size, 3), np.float32)
    alpha = image.getchannel("A").point(OPAQUE)
    paste(mask, Image.merge("RGBA", (alpha, alpha, alpha, alpha)), centre)
    return mask[:, :, 0] > 0


def draw_standing(rng: np.random.Generator, concept: int, size: Size, camera: Camera) -> Standing | None:
    """A sprite of the concept somewhere on the floor, None where it would look too small or too large."""
    foot = rng.uniform(camera.base + 0.02 * size[0], 0.99 * size[0])  # row
    distance = float(camera.distance(foot))
    scale = float(rng.uniform(*WORLD_SIDES)) * camera.focal / distance / min(size)
    files = variants(CONCEPTS[concept])
    sprite, x = files[rng.integers(len(files))], float(rng.uniform(0.06, 0.94))
    angle, flipped = float(rng.normal(0, 4)), bool(rng.random() < 0.5)
    if not SIDES[0] <= scale <= SIDES[1]:
        return None
    image = shape_sprite(Placement(sprite, (0, x), scale, angle, flipped), size)
    centre = (foot - image.height / 2) / size[0], x
    area = sum(image.getchannel("A").histogram()[128:])
    return Standing(concept, distance, image, centre, opaque_pixels(image, centre, size), area)


def visible_shares(standing: Sequence[Standing]) -> list[float]:
    """The visible share of each, given far to near."""
    covered, shares = np.zeros(standing[0].opaque.shape, bool), []
    for one in reversed(standing):
        shares.append(int((one.opaque & ~covered).sum()) / one.area)
        covered |= one.opaque
    return shares[::-1]


def place_all(rng: np.random.Generator, size: Size, camera: Camera, concepts: Sequence[int]) -> list[Standing]:
    """One to six sprites far to near, each of which shows enough; the same concept may come twice."""
    placed: list[Standing] = []
    wanted = int(rng.integers(1, MOST_THINGS + 1))
    for _ in range(wanted):
        concept = int(concepts[rng.integers(len(concepts))])
        if placed and rng.random() < 0.08:
            concept = placed[-1].concept
        for _ in range(TRIES if placed else 100 * TRIES):  # the first finds its place sooner or later
            one = draw_standing(rng, concept, size, camera)
            together = sorted([*placed, *([one] if one else [])], key=lambda one: -one.distance)
            if one and min(visible_shares(together)) >= LEAST_VISIBLE:
                placed = together
                break
    return placed


def tight_box(mask: Mask) -> Box:
    """The box around what is set, x1 and y1 exclusive."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def render_landscape(seed: int, size: Size, concepts: Sequence[int] | None = None) -> Landscape:
    """The landscape of this seed at `size` (height, width), its sprites drawn from `concepts`, all when None."""
    placing, painting = np.random.default_rng([seed, 20]).spawn(2)
    camera = draw_camera(placing, size)
    standing = place_all(placing, size, camera, range(len(CONCEPTS)) if concepts is None else concepts)
    canvas, depth = paint_room(painting, size, camera)
    instances = np.zeros(size, np.uint8)
    for number, one in enumerate(standing, 1):
        paste(canvas, one.image, one.centre)
        depth[one.opaque], instances[one.opaque] = one.distance, number
    things = tuple(
        Thing(one.concept, tight_box(instances == number), one.distance, share)
        for number, (one, share) in enumerate(zip(standing, visible_shares(standing), strict=True), 1)
    )
    return Landscape(jitter(painting, canvas), depth, instances, things, camera)
