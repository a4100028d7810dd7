"""What Depth Anything 3 sees of a picture, and what becomes of its depth: truths known by construction."""

from dataclasses import replace

import depth_checkpoints as made
import numpy as np
import pytest
import torch
from depth_checkpoints import answers, sample
from torch.nn.functional import interpolate

from visioncli import models
from visioncli.errors import PredictError, UsageError
from visioncli.models.depth_anything3.depths import Maps, exif_focal, metric, mono, nested
from visioncli.models.depth_anything3.pixels import Recipe, resized
from visioncli.models.runtime import RuntimeRequest
from visioncli.tasks.depth import DepthOptions

CPU = RuntimeRequest("cpu", "float32")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return made.tiny(tmp_path_factory)


SIZES = {  # by the definition: longest side to 504, then the nearest multiples of 14, ties upwards
    (480, 640): (378, 504), (640, 480): (504, 378), (1080, 1920): (280, 504), (100, 100): (504, 504),
    (505, 504): (504, 504), (504, 371): (504, 378), (504, 370): (504, 364), (3, 504): (14, 504),
}  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
def test_the_longest_side_is_504_and_both_are_whole_patches(size):
    assert Recipe(504, 14).sizes(size)[1] == SIZES[size]


@pytest.mark.parametrize("size", [(10, 12), (7, 5), (13, 17), (1, 1), (20, 24)])
def test_shrinking_averages_exact_areas(size):
    image = made.scene(20, 24)
    spread = image.repeat(size[0], axis=0).repeat(size[1], axis=1).astype(float)  # a pixel is size[0] x size[1] now
    truth = spread.reshape(size[0], 20, size[1], 24, 3).mean(axis=(1, 3))
    assert np.abs(resized(image, size) - truth).max() < 0.501


@pytest.mark.parametrize("size", [(21, 24), (40, 50), (19, 25), (61, 23)])
def test_growing_is_torchs_bicubic(size):
    image = made.scene(20, 24)
    grid = torch.from_numpy(image).permute(2, 0, 1)[None].double()
    truth = interpolate(grid, size, mode="bicubic")[0].permute(1, 2, 0).clamp(0, 255).numpy()
    assert np.abs(resized(image, size) - truth).max() < 0.501


def test_the_sky_is_put_behind_nearly_all_else():
    depth = np.linspace(1, 10, 200, dtype=np.float32).reshape(10, 20)
    sky = np.zeros((10, 20), np.float32)
    sky[:3] = 0.3
    found = mono(Maps(depth, sky=sky), None)
    assert (found.sky == (sky > 0)).all()
    np.testing.assert_allclose(found.depth[:3], np.quantile(depth[3:], 0.99), rtol=1e-6)
    np.testing.assert_array_equal(found.depth[3:], depth[3:])


@pytest.mark.parametrize("pixels", [0, 10, 190, 200])
def test_a_sky_of_nearly_nothing_or_nearly_all_changes_nothing(pixels):
    depth = np.linspace(1, 10, 200, dtype=np.float32).reshape(10, 20)
    sky = (np.arange(200) < pixels).astype(np.float32).reshape(10, 20)
    np.testing.assert_array_equal(mono(Maps(depth, sky=sky), None).depth, depth)


def test_metres_are_in_proportion_to_the_focal_length():
    maps = Maps(np.full((4, 6), 5, np.float32), sky=np.zeros((4, 6), np.float32))
    found = metric(maps, (500.0, 700.0))
    np.testing.assert_allclose(found.depth, 5 * 600 / 300)  # the model card: focal * depth / 300
    np.testing.assert_array_equal(found.intrinsics, [[500, 0, 3], [0, 700, 2], [0, 0, 1]])
    assert found.metric


GIVEN = [  # options, the row's columns, its EXIF; the focal length that counts, in pixels of the original
    (DepthOptions(focal_px=600), {}, None, 600),
    (DepthOptions(focal_px=600), {}, {"focal_length_35mm": 20}, 600),
    (DepthOptions(focal_column="f"), {"f": "450.5"}, None, 450.5),
    (DepthOptions(focal_column="f"), {"f": 450}, {"focal_length_35mm": 20}, 450),
    (DepthOptions(focal_column="f"), {"f": " "}, {"focal_length_35mm": 36}, 150.0 * 36 / 43.2666153),
    (DepthOptions(), {}, {"focal_length_35mm": 26.0}, 150.0 * 26 / 43.2666153),
    (DepthOptions(focal_column="f"), {"f": None}, {"focal_length_35mm": 0}, None),
    (DepthOptions(), {}, {"focal_length_mm": 4.2}, None),
    (DepthOptions(), {}, None, None),
]


@pytest.mark.parametrize(("options", "extra", "exif", "focal"), GIVEN)
def test_a_metric_model_takes_the_focal_length_that_is_known(tiny, options, extra, exif, focal):
    predictor = models.load(tiny["metric"], "depth", CPU)
    image = made.scene(90, 120)  # seen as 70 x 84 (63 x 84, then whole patches); the diagonal is 150
    (plain,) = answers(predictor, [sample(image)])
    (found,) = answers(predictor, [sample(image, extra, exif)], replace(options, size="model"))
    assert found.metric == (focal is not None)
    assert plain.metric is False
    factor = 1 if focal is None else focal * (84 / 120 + 70 / 90) / 2 / 300
    np.testing.assert_allclose(found.depth, plain.depth * factor, rtol=1e-5)


def test_a_given_focal_length_replaces_the_one_that_a_nested_model_estimates(tiny):
    predictor = models.load(tiny["nested"], "depth", CPU)
    row = sample(made.scene(84, 84))
    one, two = (answers(predictor, [row], DepthOptions(focal_px=focal))[0] for focal in (100, 300))
    assert one.metric and two.metric
    np.testing.assert_allclose(two.depth, 3 * one.depth, rtol=1e-5)
    np.testing.assert_allclose(two.intrinsics[0], [300, 0, 42])


@pytest.mark.parametrize("focal", [0, -3, float("nan"), float("inf"), 1e300, 1_000_001])
def test_what_no_camera_has_is_no_focal_length(focal):
    with pytest.raises(UsageError, match="--focal must be more than 0 and at most 1,000,000 pixels"):
        DepthOptions(focal_px=focal)


@pytest.mark.parametrize("cell", ["wide", "-3", 0, "nan", "inf", "1e300", True])
def test_a_cell_that_is_no_focal_length_fails_its_row(tiny, cell):
    predictor = models.load(tiny["metric"], "depth", CPU)
    with pytest.raises(PredictError, match="no focal length") as caught:
        predictor.preprocess(sample(made.scene(20, 20), {"f": cell}), DepthOptions(focal_column="f"))
    assert caught.value.code == "preprocess_failed"


@pytest.mark.parametrize("kind", ["any_view", "mono"])
@pytest.mark.parametrize("options", [DepthOptions(focal_px=500), DepthOptions(focal_column="f")])
def test_a_focal_length_that_would_change_nothing_is_refused(tiny, kind, options):
    with pytest.raises(UsageError, match="a focal length changes nothing"):
        models.load(tiny[kind], "depth", CPU).check(options)


def test_a_focal_length_of_35_mm_film_is_in_proportion_to_the_diagonal():
    assert exif_focal({"focal_length_35mm": 50}, (2400, 3600)) == pytest.approx(5000)  # 3600 px are 36 mm
    assert exif_focal({"focal_length_35mm": "50"}, (2400, 3600)) is None


@pytest.mark.parametrize("sky", [0.0, 0.3])
def test_a_nested_depth_whose_scale_nothing_tells_stays_without_one(sky):
    """All is sky, or the metric network's depth is too near to count."""
    ones = np.ones((6, 8), np.float32)
    camera = np.eye(3, 4, dtype=np.float32), np.diag([300, 300, 1]).astype(np.float32)
    found = nested(Maps(ones, ones, *camera, sky=ones * sky, metric_depth=ones * (1 if sky else 1e-3)), None)
    assert not found.metric
    np.testing.assert_array_equal(found.depth, ones)
    assert found.sky.all() == (sky > 0)
