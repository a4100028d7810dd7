"""Pixels of CLIP's ResNets against the definition of open_clip's preprocessing."""

from io import BytesIO

import clip_resnet_checkpoints as made
import numpy as np
import pytest
from clip_resnet_oracle import truth
from PIL import Image

from visioncli.errors import ModelError
from visioncli.io.decode import DecodeOptions, decode
from visioncli.models.clip_resnet.pixels import recipe_of

RN50X4 = made.CONFIGS["RN50x4"]
PILLOW = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
SIZES = [
    (300, 400),
    (1200, 500),
    (288, 288),
    (1, 1),
    (2, 3),
    (2500, 3500),
    (289, 291),
    (577, 289),
    (640, 427),
    (7, 300),
]


def pictures():
    """Sixteen: portrait, landscape, square, tiny, huge, odd; grey, palette, thin."""
    rng = np.random.default_rng(5)
    colour = [Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in SIZES]
    smooth = [
        Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)).resize(s) for s in ((501, 333), (333, 502))
    ]
    grey = [image.convert("L") for image in (colour[0], smooth[1])]
    palette = [image.quantize(64) for image in smooth]
    return [*colour, *smooth, *grey, *palette]


def as_read(image):
    """(H, W, 3), through a file and the one decoder."""
    file = BytesIO()
    image.save(file, "PNG")
    return decode(file.getvalue(), DecodeOptions()).image


def test_there_are_sixteen():
    assert [(image.mode, image.size) for image in pictures()[-4:]] == [
        ("L", (400, 300)), ("L", (333, 502)), ("P", (501, 333)), ("P", (333, 502)),
    ]  # fmt: skip
    assert len(pictures()) == 16


@pytest.mark.parametrize("number", range(16))
def test_pixels_are_within_a_grey_level_of_open_clips(number):
    image = pictures()[number]
    shown = image.convert("RGB") if image.mode == "P" else image  # see pixels.py: a palette is never resized as one
    ours = recipe_of(RN50X4, 288).apply(as_read(image))
    assert ours.shape == (288, 288, 3)
    assert np.abs(ours.astype(int) - truth(shown, 288)).max() <= 1


@pytest.mark.parametrize("rest", range(9))
def test_every_rest_is_cut_where_torchvision_cuts_it(rest):
    columns = np.arange(40, 40 + 32 + rest, dtype=np.uint8)
    image = np.broadcast_to(columns[None, :, None], (32, 32 + rest, 3)).copy()
    np.testing.assert_array_equal(recipe_of({}, 32).apply(image), truth(Image.fromarray(image), 32))
    turned = image.transpose(1, 0, 2).copy()
    np.testing.assert_array_equal(recipe_of({}, 32).apply(turned), truth(Image.fromarray(turned), 32))


@pytest.mark.parametrize("size", [(1, 330), (300, 1), (3, 1111)])
def test_a_long_strip_is_cut_there_too(size):
    """Within two levels: a strip is not resized whole. Its colours change slowly, so that another place would show."""
    ramp = np.linspace(0, 255, max(size)).astype(np.uint8).reshape([-1 if side == max(size) else 1 for side in size])
    image = np.broadcast_to(ramp[..., None], (*size, 3)).copy()
    ours, stock = recipe_of({}, 288).apply(image), truth(Image.fromarray(image), 288)
    assert np.abs(ours.astype(int) - stock).max() <= 2


@pytest.mark.parametrize("interpolation", PILLOW)
def test_the_filter_is_the_files(interpolation):
    image = pictures()[0]
    recipe = recipe_of({"preprocess_cfg": {"interpolation": interpolation}}, 64)
    np.testing.assert_array_equal(recipe.apply(as_read(image)), truth(image, 64, PILLOW[interpolation]))


def test_squash_takes_the_whole_picture():
    image = pictures()[1]
    recipe = recipe_of({"preprocess_cfg": {"resize_mode": "squash"}}, 64)
    np.testing.assert_array_equal(recipe.apply(as_read(image)), np.asarray(image.resize((64, 64), PILLOW["bicubic"])))


def test_mean_and_deviation_are_the_files_and_openais_by_default():
    mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    assert (recipe_of({}, 64).mean, recipe_of({}, 64).std) == (mean, std)
    own = recipe_of({"preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.1, 0.2, 0.3], "size": [64, 64]}}, 64)
    assert (own.mean, own.std, own.scale) == ((0.5, 0.5, 0.5), (0.1, 0.2, 0.3), 1 / 255)
    assert own.name == "clip_resnet/1 shortest 64 crop 64x64 bicubic mean 0.5 std 0.1,0.2,0.3"


def test_a_size_that_the_tower_does_not_see_is_refused():
    with pytest.raises(ModelError, match=r"preprocess_cfg.size \[64, 32\]; it must be 64 or"):
        recipe_of({"preprocess_cfg": {"size": [64, 32]}}, 64)
