import numpy as np
import pytest
from PIL import Image
from transformers import CLIPImageProcessorPil, SiglipImageProcessorPil

from visioncli.errors import ModelError
from visioncli.models.preprocess import WHOLE_PIXELS, Recipe, recipe_from

SIGLIP = {"image_processor_type": "SiglipImageProcessor"}
CLIP = {"image_processor_type": "CLIPImageProcessor"}
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


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (1, 5000), (5000, 1), (3, 2), (1, 65_000)])
@pytest.mark.parametrize("family", ["siglip", "clip"])
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
    ],
)
def test_a_file_that_is_not_understood_is_a_model_error(file):
    with pytest.raises(ModelError, match="preprocessor_config"):
        recipe_from(file, "siglip")
