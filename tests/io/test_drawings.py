"""Drawings, decoded by Pillow again: what is drawn where, in which colour, and what is left alone."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco

from visioncli.io.drawings import colour_of, mask_png, overlay
from visioncli.tasks.objects import Objects, Rings, Rle

Pixels = NDArray[np.uint8]  # (h, w, 3)
Mask = NDArray[np.bool_]  # (H, W)
JPEG = 24  # levels that a flat area may be off beside an edge


def flat(height: int, width: int, level: int = 128) -> Pixels:
    return np.full((height, width, 3), level, np.uint8)


def objects(boxes: list[list[float]], labels: list[str] | None = None) -> Objects:
    names = tuple(labels or ["dog"] * len(boxes))
    scores = np.linspace(0.9, 0.5, len(boxes), dtype=np.float32)
    return Objects(names, scores, np.array(boxes, np.float32).reshape(-1, 4), names)


def drawn(image: Pixels, found: Objects, size: tuple[int, int] | None = None) -> NDArray[np.int64]:
    picture = Image.open(io.BytesIO(overlay(image, found, size or image.shape[:2])))
    assert (picture.format, picture.mode) == ("JPEG", "RGB")
    return np.asarray(picture).astype(np.int64)


def changed(image: Pixels, found: Objects) -> Mask:
    return np.abs(drawn(image, found) - image).max(axis=2) > JPEG


def rle(mask: Mask) -> Rle:
    return Rle((mask.shape[0], mask.shape[1]), coco.encode(np.asfortranarray(mask, np.uint8))["counts"].decode())


def ring() -> Mask:
    """A disc with a hole, away from the middle."""
    y, x = np.mgrid[:240, :320]
    distance = np.hypot(y - 110, x - 190)
    return (distance < 80) & (distance > 30)


def test_nothing_found_is_the_picture_itself() -> None:
    image = np.asarray(Image.linear_gradient("L").convert("RGB"))
    before = image.copy()
    assert np.abs(drawn(image, objects([])) - image).max() <= 4
    drawn(image, objects([[10, 10, 200, 200]]))
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("size", [(240, 320), (480, 640), (2400, 3200), (120, 640)])
def test_a_box_is_drawn_where_it_is_in_the_original(size: tuple[int, int]) -> None:
    sy, sx = size[0] / 240, size[1] / 320  # of the original over what was decoded
    picture = drawn(flat(240, 320), objects([[100 * sx, 90 * sy, 220 * sx, 180 * sy]]), size)
    colour = np.array(colour_of("dog"))
    for y, x in ((135, 100), (135, 219), (90, 160), (179, 160)):  # the first and last columns and rows
        assert np.abs(picture[y, x] - colour).max() < 60, (y, x)
    for y, x in ((135, 90), (135, 230), (135, 160), (195, 160), (100, 208)):
        assert np.abs(picture[y, x] - 128).max() < JPEG, (y, x)


def test_a_label_has_one_colour_in_all_pictures_and_others_have_others() -> None:
    box = [[40.0, 40, 160, 160]]
    first, other = drawn(flat(200, 200, 0), objects(box, ["dog"])), drawn(flat(200, 300, 0), objects(box, ["dog"]))
    cat = drawn(flat(200, 200, 0), objects(box, ["cat"]))
    assert np.abs(first[100, 40] - other[100, 40]).max() < JPEG
    assert np.abs(first[100, 40] - cat[100, 40]).max() > 60
    assert len({colour_of(f"thing {n}") for n in range(1000)}) > 950


@pytest.mark.parametrize("kind", ["masks", "polygons"])
@pytest.mark.parametrize("shrink", [1, 2])
def test_a_mask_is_seen_through_and_its_hole_is_left_alone(kind: str, shrink: int) -> None:
    mask, label = ring(), "dog"
    angles = np.linspace(0, 2 * np.pi, 200)
    circle = [np.stack([190 + r * np.cos(angles), 110 + r * np.sin(angles)], 1) for r in (80, 30)]
    rings: Rings = [np.concatenate([circle[0], circle[1][::-1]]).ravel().tolist()]  # joined by a seam
    given = {"masks": (rle(mask),)} if kind == "masks" else {"polygons": (rings,)}
    box = np.array([[110, 30, 271, 191]], np.float32)
    found = Objects((label,), np.array([0.9], np.float32), box, (label,), **given)
    image = flat(240 // shrink, 320 // shrink)
    picture = drawn(image, found, (240, 320))
    middle = picture[110 // shrink, 135 // shrink]
    expected = 128 + (np.array(colour_of(label)) - 128) * 0.45
    assert np.abs(middle - expected).max() < 8
    assert np.abs(picture[110 // shrink, 190 // shrink] - 128).max() < JPEG
    tinted = np.abs(picture - 128).max(axis=2) > JPEG
    assert (tinted & mask[::shrink, ::shrink]).sum() > 0.95 * mask[::shrink, ::shrink].sum()


def test_the_best_is_drawn_over_the_others() -> None:
    box = [50.0, 50, 150, 150]
    found = objects([box, box], ["dog", "cat"])
    found = Objects(found.labels, found.scores, found.boxes, found.phrases, (rle(np.ones((200, 200), bool)),) * 2)
    picture = drawn(flat(200, 200), found)
    assert np.abs(picture[100, 50] - colour_of("dog")).max() < 60
    under = 128 + (np.array(colour_of("cat")) - 128) * 0.45
    assert np.abs(picture[100, 100] - (under + (colour_of("dog") - under) * 0.45)).max() < 8


@pytest.mark.parametrize("level", [0, 128, 255, None])
@pytest.mark.parametrize("label", ["dog", "cat", "person", "blue", "a"])
def test_text_is_legible_on_any_ground(label: str, level: int | None) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    image = noise if level is None else flat(300, 400, level)
    picture = drawn(image, objects([[100, 100, 300, 250]], [label]))
    plate = picture[86:98, 102:140].reshape(-1, 3) / 255  # just above the box
    light = np.where(plate <= 0.04045, plate / 12.92, ((plate + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]
    low, high = np.percentile(light, (3, 97))
    assert (high + 0.05) / (low + 0.05) > 3  # WCAG 2.2 for large text; the inks are at least 4.5 apart


@pytest.mark.parametrize("y", [0, 3, 150, 296, 299])
@pytest.mark.parametrize("x", [0, 200, 396, 399])
def test_text_is_never_outside_the_picture(y: int, x: int) -> None:
    image = flat(300, 400, 128)
    middle = changed(image, objects([[200, 150, 201, 151]])).sum()
    here = changed(image, objects([[x, y, x + 1, y + 1]]))
    assert here.sum() == pytest.approx(middle, rel=0.06)  # the whole plate and the dot


def test_two_labels_of_one_place_are_both_read() -> None:
    image, dot = flat(300, 400), [200.0, 150, 201, 151]
    one, both = (changed(image, objects([dot] * n)).sum() for n in (1, 2))
    assert both == pytest.approx(2 * one, rel=0.06)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (50, 20_000), (20_000, 50), (9, 9), (30, 30)])
def test_a_picture_of_any_shape_is_drawn_on(size: tuple[int, int]) -> None:
    height, width = size
    boxes = [[0, 0, width, height], [width * 0.4, height * 0.4, width * 0.6, height * 0.6], [-5, -5, width + 9, 0.1]]
    found = objects(boxes, ["a long label", "猫", ""])
    masks = (rle(np.ones(size, bool)), rle(np.zeros(size, bool)), rle(np.ones(size, bool)))
    found = Objects(found.labels, found.scores, found.boxes, found.phrases, masks)
    picture = drawn(flat(*size), found)
    assert picture.shape == (*size, 3)
    assert np.abs(picture - 128).max() > JPEG


def test_a_picture_too_long_for_a_jpeg_is_made_smaller() -> None:
    picture = drawn(flat(20, 70_000), objects([[35_000, 0, 70_000, 20]]))
    assert picture.shape == (18, 65_500, 3)
    assert np.abs(picture[9, 32_750] - 128).max() > JPEG > np.abs(picture[9, 32_000] - 128).max()


@pytest.mark.parametrize("share", [0, 1e-4, 0.3, 0.9999, 1])
@pytest.mark.parametrize("size", [(1, 1), (37, 53), (3, 40_000), (1000, 1200)])
def test_a_mask_becomes_a_picture_of_0_and_255(size: tuple[int, int], share: float) -> None:
    mask = np.random.default_rng(0).random(size) < share
    picture = Image.open(io.BytesIO(mask_png(rle(mask))))
    assert (picture.format, picture.mode) == ("PNG", "L")
    np.testing.assert_array_equal(np.asarray(picture), mask * 255)


def test_an_outline_of_pixels_is_filled_as_its_mask() -> None:
    mask = np.zeros((40, 60), np.uint8)
    mask[10:20, 15:35] = 1
    rings: Rings = [[15, 10, 35, 10, 35, 20, 15, 20]]
    scores, box = np.array([0.9], np.float32), np.array([[15, 10, 35, 20]], np.float32)
    by_rle = drawn(flat(40, 60), Objects(("dog",), scores, box, ("dog",), masks=(rle(mask > 0),)))
    by_rings = drawn(flat(40, 60), Objects(("dog",), scores, box, ("dog",), polygons=(rings,)))
    np.testing.assert_array_equal(by_rle, by_rings)
