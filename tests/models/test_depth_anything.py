"""Depth Anything V2 against transformers' own processor, model and post-processing, with random weights."""

from dataclasses import replace

import depth_checkpoints as made
import numpy as np
import pytest
import torch
from depth_checkpoints import answers, sample
from PIL import Image

from visioncli import models
from visioncli.errors import ModelError, PredictError, UsageError
from visioncli.models.depth_anything import inverse, recipe_from
from visioncli.models.runtime import RuntimeRequest
from visioncli.models.weights import read_preprocessor
from visioncli.tasks.depth import DepthOptions

CPU = RuntimeRequest("cpu", "float32")
TINY = {"hidden_size": 96, "num_attention_heads": 4, "side": 84}
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Depth-Anything-V2-Small at its real size."""
    return made.v2(tmp_path_factory.mktemp("v2"))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return {kind: made.v2(tmp_path_factory.mktemp(kind), kind, **TINY) for kind in ("relative", "metric")}


def processor(checkpoint):
    from transformers import AutoImageProcessor

    return AutoImageProcessor.from_pretrained(checkpoint.directory, local_files_only=True)


def truth(checkpoint, image):
    """(h, w) at the model's resolution and (H, W) at the picture's, both as transformers gives them."""
    from transformers import DepthAnythingForDepthEstimation

    model = DepthAnythingForDepthEstimation.from_pretrained(checkpoint.directory, local_files_only=True).eval()
    stock = processor(checkpoint)
    with torch.inference_mode():
        outputs = model(**stock(Image.fromarray(image), return_tensors="pt"))
    (full,) = stock.post_process_depth_estimation(outputs, [image.shape[:2]])
    return outputs.predicted_depth[0].numpy(), full["predicted_depth"].numpy()


def answer(predictor, image, options=None):
    return answers(predictor, [sample(image)], options or DepthOptions())[0]


def test_the_real_model_gives_transformers_disparity(small):
    image = made.scene(300, 400)  # seen as 392 x 518
    disparity, full = truth(small, image)
    assert 0.1 < np.mean(disparity > 0) < 0.9
    assert disparity.std() > 0.05
    predictor = models.load(small, "depth", CPU)
    (ours,) = predictor.forward([predictor.preprocess(sample(image), DepthOptions())], DepthOptions())
    assert ours.shape == (392, 518)
    assert np.abs(ours - disparity).max() <= 1e-5 * disparity.max()
    (found,) = predictor.postprocess([ours], [sample(image)], DepthOptions())
    near = full / full.max()
    assert not found.metric
    np.testing.assert_allclose(found.depth, 1 / near.clip(0.01), rtol=1e-3)


def test_a_metric_model_gives_transformers_metres(tiny):
    image = made.scene(50, 90)
    metres, full = truth(tiny["metric"], image)
    predictor = models.load(tiny["metric"], "depth", CPU)
    assert metres.std() > 0.05
    found, at_model = answer(predictor, image), answer(predictor, image, DepthOptions(size="model"))
    assert found.metric and at_model.metric
    np.testing.assert_allclose(found.depth, full.clip(0), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(at_model.depth, metres, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "size", [(300, 400), (400, 300), (518, 518), (37, 91), (91, 37), (1080, 1920), (1, 1), (64, 900)]
)
def test_pixels_are_those_of_the_pillow_backed_processor(small, size):
    image = made.scene(*size)
    values = processor(small)(Image.fromarray(image), return_tensors="np")["pixel_values"][0].transpose(1, 2, 0)
    ours = recipe_from(read_preprocessor(small)).apply(image)
    np.testing.assert_array_equal(ours, np.rint((values.astype(np.float64) * STD + MEAN) * 255))


@pytest.mark.parametrize(("size", "seen"), [((1, 3000), (14, 518)), ((3000, 20), (518, 14))])
def test_a_thin_strip_keeps_one_patch_across(small, size, seen):
    assert recipe_from(read_preprocessor(small)).seen(size) == seen


def test_a_strip_that_would_be_seen_huge_fails_its_row(small):
    with pytest.raises(PredictError, match="strip of 600 x 60000") as caught:
        recipe_from(read_preprocessor(small)).apply(np.zeros((60000, 600, 3), np.uint8))
    assert caught.value.code == "preprocess_failed"


def test_depth_is_the_inverse_of_disparity_in_units_of_the_nearest_point():
    disparity = np.array([[8, 4, 1], [0.08, 0.01, -0.5]], np.float32)
    np.testing.assert_allclose(inverse(disparity), [[1, 2, 8], [100, 100, 100]], rtol=1e-6)
    np.testing.assert_array_equal(inverse(np.zeros((2, 2), np.float32)), np.ones((2, 2)))


@pytest.mark.parametrize("kind", ["relative", "metric"])
@pytest.mark.parametrize("count", [2, 5, 8])
def test_depth_does_not_depend_on_the_neighbours(tiny, kind, count):
    predictor = models.load(tiny[kind], "depth", CPU)
    options = DepthOptions()
    rows = [predictor.preprocess(sample(made.scene(90, 120, seed)), options) for seed in range(count)]
    ((alone,), together) = predictor.forward(rows[:1], options), predictor.forward(rows, options)
    assert np.abs(together[0] - alone).max() <= 1e-4 * alone.max()
    assert np.abs(together[1] - alone).max() > 1e-2 * alone.max()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_narrower_weights_stay_near(tiny, dtype):
    image = made.scene(84, 84)
    exact = answer(models.load(tiny["metric"], "depth", CPU), image)
    rough = answer(models.load(tiny["metric"], "depth", RuntimeRequest("cpu", dtype)), image)
    assert 0 < np.abs(rough.depth / exact.depth - 1).mean() < 0.05


def test_a_1x1_picture_has_a_depth(tiny):
    found = answer(models.load(tiny["relative"], "depth", CPU), np.zeros((1, 1, 3), np.uint8))
    assert found.depth.shape == (1, 1)
    assert np.isfinite(found.depth).all()


@pytest.mark.parametrize("options", [DepthOptions(focal_px=500), DepthOptions(focal_column="f")])
def test_a_focal_length_is_refused(tiny, options):
    with pytest.raises(UsageError, match="a focal length changes nothing"):
        models.load(tiny["metric"], "depth", CPU).check(options)


@pytest.mark.parametrize(
    "file",
    [{"do_pad": True}, {"do_resize": False}, {"resample": 9}, {"size": {"shortest_edge": 3}}, {"image_mean": [1]}],
)
def test_a_recipe_that_is_not_supported_is_refused(file):
    with pytest.raises(ModelError, match=r"preprocessor_config\.json"):
        recipe_from(file)


def test_the_recipe_names_what_is_made_of_disparity(tiny):
    names = [models.load(tiny[kind], "depth", CPU).info.recipe for kind in ("relative", "metric")]
    pixels = "resize 84x84 keeping aspect multiple 14 bicubic mean 0.485,0.456,0.406 std 0.229,0.224,0.225"
    assert names == [f"depth_anything/1 {pixels}; bicubic {made}" for made in ("inverse up to 100", "metres")]


def test_what_the_file_leaves_out_is_the_stock_processors(small):
    from transformers import DPTImageProcessorPil

    recipe, stock = recipe_from({}), DPTImageProcessorPil()
    assert recipe.size == (stock.size["height"], stock.size["width"])
    assert (recipe.keep_aspect, recipe.multiple) == (stock.keep_aspect_ratio, stock.ensure_multiple_of)
    assert (list(recipe.mean), list(recipe.std)) == (list(stock.image_mean), list(stock.image_std))
    assert replace(recipe, resample=int(stock.resample), scale=stock.rescale_factor) == recipe
