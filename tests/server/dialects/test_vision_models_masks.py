"""Masks as the Vision Models API writes them, over masks that are known by construction."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools import mask as coco

from visioncli.errors import UsageError
from visioncli.models.masks import outlines, run_lengths
from visioncli.server.dialects.vision_models import masks as module
from visioncli.server.dialects.vision_models.masks import contours, pixels, refuse_too_many_pixels, runs, simplified
from visioncli.tasks.objects import Objects, Rle

RNG = np.random.default_rng(7)
Mask = NDArray[np.bool_]


def rle_of(mask: Mask) -> Rle:
    counts = coco.encode(np.asfortranarray(mask).view(np.uint8))["counts"]
    return Rle((mask.shape[0], mask.shape[1]), counts.decode())


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (40, 30), (300, 400)])
@pytest.mark.parametrize("share", [0, 0.02, 0.5, 0.98, 1])
def test_pixels_are_those_that_coco_encoded(size: tuple[int, int], share: float) -> None:
    for _ in range(5):
        mask = RNG.random(size) < share
        np.testing.assert_array_equal(pixels(rle_of(mask)), mask)


def test_long_runs_and_short_ones_are_read() -> None:
    mask = RNG.random((3000, 2000)) < 0.001
    mask[:, 500:900] = True
    np.testing.assert_array_equal(pixels(rle_of(mask)), mask)


def test_runs_go_down_the_columns_and_begin_with_zeros() -> None:
    mask = np.array([[1, 0, 0], [1, 0, 1]], bool)
    np.testing.assert_array_equal(runs(rle_of(mask)), [0, 2, 3, 1])


# Outlines


def drawn(*boxes: tuple[int, int, int, int], holes: tuple[tuple[int, int, int, int], ...] = ()) -> Mask:
    """Boxes are y0, x0, y1, x1."""
    mask = np.zeros((60, 80), bool)
    for y0, x0, y1, x1 in boxes:
        mask[y0:y1, x0:x1] = True
    for y0, x0, y1, x1 in holes:
        mask[y0:y1, x0:x1] = False
    return mask


@pytest.mark.parametrize(
    "holes",
    [(), ((20, 30, 30, 40),), ((20, 30, 30, 40), (22, 50, 40, 60)), ((20, 30, 30, 40), (30, 40, 40, 50))],
    ids=["none", "one", "two in a row", "two that touch by a corner"],
)
def test_holes_are_no_part_of_an_outer_outline(holes: tuple[tuple[int, int, int, int], ...]) -> None:
    found = contours(outlines(drawn((10, 20, 50, 70), holes=holes)))
    assert found == [[[20.0, 10.0], [70.0, 10.0], [70.0, 50.0], [20.0, 50.0]]]


def test_a_hole_that_touches_the_outside_by_a_corner_is_none_of_the_outline() -> None:
    mask = drawn((10, 20, 50, 70), holes=((10, 20, 20, 30), (20, 30, 40, 50)))
    (found,) = contours(outlines(mask))
    assert sorted(found) == [[20, 20], [20, 50], [30, 10], [30, 20], [70, 10], [70, 50]]


def test_each_part_has_an_outline_of_its_own() -> None:
    assert len(contours(outlines(drawn((0, 0, 10, 10), (20, 20, 40, 40), (40, 40, 50, 60))))) == 3


@pytest.mark.parametrize("size", [1, 2])
def test_what_the_tolerance_leaves_no_area_is_dropped(size: int) -> None:
    assert contours(outlines(drawn((5, 5, 5 + size, 5 + 1)))) == []


def test_a_simplified_outline_stays_within_the_tolerance() -> None:
    angles = np.sort(RNG.random(300)) * 2 * np.pi
    loop = np.stack([40 + 30 * np.cos(angles), 30 + 20 * np.sin(angles) * (1 + 0.1 * np.sin(9 * angles))], axis=1)
    simple = simplified(loop, 1.5)
    ends = np.roll(simple, -1, axis=0)
    t = np.linspace(0, 1, 2000)[:, None, None]
    way = (simple * (1 - t) + ends * t).reshape(-1, 2)
    away = np.array([np.linalg.norm(way - point, axis=1).min() for point in loop])
    assert 3 <= len(simple) < 40 and away.max() < 1.5 + 0.05


def test_too_many_dense_pixels_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DENSE_PIXELS", 99)
    mask = run_lengths(np.ones((10, 10), bool))
    found = Objects(("a",), np.ones(1, np.float32), np.zeros((1, 4), np.float32), ("a",), (mask,))
    with pytest.raises(UsageError, match="rle or polygons"):
        refuse_too_many_pixels([found])
