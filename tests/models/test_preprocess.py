import dinov3_oracle
import numpy as np
import pytest
from PIL import Image
from transformers import CLIPImageProcessorPil, SiglipImageProcessorPil

from visioncli.errors import ModelError
from visioncli.models.preprocess import WHOLE_PIXELS, Recipe, recipe_from

SIGLIP = {"image_processor_type": "SiglipImageProcessor"}
CLIP = {"image_processor_type": "CLIPImageProcessor"}
DINOV3 = {"image_processor_type": "DINOv3ViTImageProcessorFast", "crop_size": None}
OLD_CLIP = {"feature_extractor_type": "CLIPFeatureExtractor", "size": 224, "crop_size": 224, "resample": 3}


def theirs(processor, file, image):
    """uint8 pixels of transformers' processor: its own resize and crop, without the values' normalisation."""
    own = processor(**{**file, "do_rescale": False, "do_normalize": False})
    return own(Image.fromarray(image), return_tensors="np")["pixel_values"][0].transpose(1, 2, 0).astype(np.uint8)


@pytest.mark.parametrize(
    ("file", "family", "processor"),
    [
        ({}, "siglip", SiglipImageProcessorPil),
        (SIGLIP | {"size": {"height": 96, "width": 64}, "resample": 2}, "siglip", SiglipImageProcessorPil),
        (SIGLIP | {"size": [48, 80], "resample": 1, "image_mean": 0.4}, "siglip", SiglipImageProcessorPil),
        ({}, "clip", CLIPImageProcessorPil),
        (OLD_CLIP, "clip", CLIPImageProcessorPil),
        (
            CLIP | {"size": {"shortest_edge": 60}, "crop_size": {"height": 64, "width": 48}},
            "clip",
            CLIPImageProcessorPil,
        ),
        (CLIP | {"size": {"shortest_edge": 50}, "crop_size": 63}, "clip", CLIPImageProcessorPil),
        (CLIP | {"size": {"height": 40, "width": 40}, "crop_size": 40, "resample": 0}, "clip", CLIPImageProcessorPil),
    ],
)
def test_pixels_are_those_of_the_stock_processor(file, family, processor, pictures):
    recipe = recipe_from(file, family)
    for picture in pictures:
        np.testing.assert_array_equal(recipe.apply(picture), theirs(processor, file, picture))


@pytest.mark.parametrize(
    ("file", "size", "mode"),
    [
        ({}, (224, 224), "bilinear"),
        (DINOV3 | {"size": {"height": 256, "width": 256}, "resample": 2}, (256, 256), "bilinear"),
        (DINOV3 | {"size": {"height": 48, "width": 80}, "resample": 3}, (48, 80), "bicubic"),
    ],
)
def test_floats_are_resized_as_the_definition_says_and_not_rounded(file, size, mode, pictures):
    recipe = recipe_from(file, "dinov3")
    mean, std = (np.array(values) for values in (recipe.mean, recipe.std))
    for picture, truth in zip(pictures, dinov3_oracle.pixels(pictures, size, mode), strict=True):
        levels = recipe.apply(picture)
        assert levels.dtype == np.float32
        normalised = (levels * np.float32(recipe.scale) - mean) / std  # as on the device
        np.testing.assert_allclose(normalised.transpose(2, 0, 1), truth.numpy(), rtol=0, atol=1e-6)


def test_floats_are_cut_out_of_the_centre_as_levels_are(pictures):
    crop = {"size": {"shortest_edge": 96}, "crop_size": 80, "do_center_crop": True, "resample": 2}
    for picture in [*pictures, np.full((3, 1111, 3), 7, np.uint8)]:
        floats, levels = (recipe_from(kind | crop, "dinov3").apply(picture) for kind in (DINOV3, CLIP))
        assert floats.shape == levels.shape == (80, 80, 3)
        assert np.abs(floats - levels).max() <= 1  # a level is rounded twice: after each direction


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (1, 5000), (5000, 1), (3, 2), (1, 65_000)])
@pytest.mark.parametrize("family", ["siglip", "clip", "dinov3"])
def test_no_shape_is_too_extreme(family, size):
    image = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert recipe_from({}, family).apply(image).shape == (224, 224, 3)


@pytest.mark.parametrize("size", [(1, 400), (400, 1), (3, 1111), (700, 2)])
def test_a_long_strip_is_within_two_levels_of_the_stock_processor(size):
    image = np.random.default_rng(2).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert 224 * 224 * max(size) // min(size) > WHOLE_PIXELS
    ours, stock = recipe_from({}, "clip").apply(image), theirs(CLIPImageProcessorPil, {}, image)
    assert np.abs(ours.astype(int) - stock).max() <= 2


def test_what_a_file_leaves_out_is_its_classs_default():
    half, third = (0.5, 0.5, 0.5), 1 / 255
    assert recipe_from({}, "siglip") == Recipe("siglip", (224, 224), None, 3, third, half, half)
    old = recipe_from(OLD_CLIP, "clip")
    assert old == recipe_from({}, "clip")
    assert (old.mean, old.std) == (tuple(CLIPImageProcessorPil.image_mean), tuple(CLIPImageProcessorPil.image_std))
    mean, std = dinov3_oracle.MEAN, dinov3_oracle.STD
    assert recipe_from({}, "dinov3") == Recipe("dinov3", (224, 224), None, 2, third, mean, std, rounded=False)


@pytest.mark.parametrize(
    ("file", "family", "name", "decode_size"),
    [
        ({"size": {"height": 64, "width": 64}}, "siglip", "siglip/1 resize 64x64 bicubic mean 0.5 std 0.5", (64, 64)),
        ({"do_normalize": False}, "siglip", "siglip/1 resize 224x224 bicubic mean 0 std 1", (224, 224)),
        ({"do_rescale": False}, "siglip", "siglip/1 resize 224x224 bicubic scale 1 mean 0.5 std 0.5", (224, 224)),
        (
            {"crop_size": 200},
            "clip",
            "clip/1 shortest 224 crop 200x200 bicubic mean 0.481455,0.457827,0.408211 std 0.26863,0.261303,0.275777",
            (224, 224),
        ),
        (
            DINOV3 | {"size": {"height": 256, "width": 224}},
            "dinov3",
            "dinov3/1 resize 256x224 bilinear float mean 0.485,0.456,0.406 std 0.229,0.224,0.225",
            (256, 224),
        ),
    ],
)
def test_a_recipe_has_a_stable_name_and_a_least_size(file, family, name, decode_size):
    recipe = recipe_from(file, family)
    assert (recipe.name, recipe.decode_size) == (name, decode_size)


@pytest.mark.parametrize(
    "file",
    [
        {"do_resize": False},
        {"resample": 9},
        {"size": {"longest_edge": 3}},
        {"size": {"shortest_edge": 224}},  # without a crop, in a SigLIP file
        {"size": "large"},
        {"image_mean": [0.5, 0.5]},
        {"image_processor_type": "ViTImageProcessor"},
        DINOV3 | {"resample": 1},  # torch resizes nothing with a Lanczos filter
    ],
)
def test_a_file_that_is_not_understood_is_a_model_error(file):
    with pytest.raises(ModelError, match="preprocessor_config"):
        recipe_from(file, "siglip")
