import numpy as np
import pytest
import torch
from pycocotools import mask as coco

from visioncli.models.masks import covered, outlines, run_lengths, unshared

# pycocotools 2.0.11 asks numpy 2 for an array in numpy 1's way; its `decode` warns, its `encode` does not.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

RNG = np.random.default_rng(5)


def blobs(size, share=0.5):
    """A mask with parts, holes, holes that touch by corners, and parts inside holes."""
    return RNG.random(size) < share


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (64, 64), (65, 63), (480, 640), (1200, 900)])
@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.9])
def test_a_mask_is_the_thresholded_enlargement_of_its_probabilities(size, threshold):
    logits = RNG.normal(-1, 4, (24, 36)).astype(np.float32)
    shares = torch.from_numpy(logits).sigmoid()[None, None]
    truth = torch.nn.functional.interpolate(shares, size=size, mode="bilinear", align_corners=False)[0, 0] > threshold
    np.testing.assert_array_equal(covered(logits, size, threshold), truth.numpy())


@pytest.mark.parametrize(("y", "x"), [(0, 0), (23, 35), (0, 35), (11, 17)])
def test_one_sure_point_is_where_it_should_be(y, x):
    logits = np.full((24, 36), -9, np.float32)
    logits[y, x] = 9
    truth = np.zeros((240, 720), bool)
    truth[y * 10 : y * 10 + 10, x * 20 : x * 20 + 20] = True
    found = covered(logits, (240, 720), 0.5)
    assert found.any() and not (found & ~np.asarray(truth)).any()


@pytest.mark.parametrize(
    ("logit", "expected"), [(-1e30, False), (-1.0, False), (0.0, False), (1.0, True), (1e30, True)]
)
def test_a_picture_of_one_probability_is_all_or_nothing(logit, expected):
    assert np.all(covered(np.full((4, 4), logit, np.float32), (7, 9), 0.5) == expected)


def test_a_pixel_stays_with_the_first_mask_that_has_it():
    masks = [blobs((30, 40)) for _ in range(5)]
    own = list(unshared(iter(masks)))
    assert np.sum(own, axis=0).max() == 1
    np.testing.assert_array_equal(np.any(own, axis=0), np.any(masks, axis=0))
    np.testing.assert_array_equal(own[0], masks[0])
    np.testing.assert_array_equal(own[2], masks[2] & ~masks[0] & ~masks[1])


def test_a_mask_without_a_pixel_of_its_own_is_empty():
    mask = blobs((6, 6))
    assert [each.sum() for each in unshared(iter([mask, mask]))] == [mask.sum(), 0]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("share", [0, 0.3, 1])
def test_run_lengths_decode_to_the_mask(order, share):
    mask = np.asarray(blobs((17, 31), share), order=order)
    found = run_lengths(mask)
    assert found.size == (17, 31)
    np.testing.assert_array_equal(coco.decode({"size": found.size, "counts": found.counts.encode()}), mask)


def union(rings, size):
    """As pycocotools fills a list of polygons."""
    if not rings:
        return np.zeros(size, np.uint8)
    return coco.decode(coco.merge(coco.frPyObjects(rings, *size)))


def even_odd(rings, size):
    """Pixels with an odd number of vertical edges, of all rings together, to their left."""
    edges = np.zeros((size[0], size[1] + 1), int)
    for points in (np.reshape(ring, (-1, 2)).astype(int) for ring in rings):
        for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
            assert x0 == x1 or y0 == y1
            if x0 == x1:
                edges[min(y0, y1) : max(y0, y1), x0] += 1
    return np.cumsum(edges, axis=1)[:, :-1] % 2


@pytest.mark.parametrize("fill", [union, even_odd])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.7, 0.9])
def test_outlines_filled_again_are_the_mask(fill, share):
    for _ in range(100):
        size = tuple(RNG.integers(1, 20, 2).tolist())
        mask = blobs(size, share)
        np.testing.assert_array_equal(fill(outlines(mask), size), mask)


def test_an_outline_runs_clockwise_along_the_edges_of_pixels():
    mask = np.zeros((5, 7), bool)
    mask[1:4, 2:6] = True
    assert outlines(mask) == [[2, 1, 6, 1, 6, 4, 2, 4]]


def test_a_hole_is_reached_by_a_seam_from_the_left():
    mask = np.ones((3, 4), bool)
    mask[1, 2] = False
    (ring,) = outlines(mask)
    assert sorted(zip(ring[::2], ring[1::2], strict=True)) == sorted(
        [(0, 0), (4, 0), (4, 3), (0, 3), (2, 1), (3, 1), (3, 2), (2, 2), (0, 1), (0, 1)]
    )


def test_pixels_that_touch_by_a_corner_alone_have_a_ring_each():
    assert outlines(np.eye(2, dtype=bool)) == [[0, 0, 1, 0, 1, 1, 0, 1], [1, 1, 2, 1, 2, 2, 1, 2]]


def test_nothing_has_no_outline():
    assert outlines(np.zeros((4, 4), bool)) == []
