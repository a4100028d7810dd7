"""Depth Anything 3 against the original modules, with random weights; and against truths known by construction."""

from dataclasses import replace

import depth_checkpoints as made
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import interpolate

from visioncli import models
from visioncli.errors import ModelError, PredictError, UsageError
from visioncli.models.depth_anything3.architecture import PUBLISHED, Architecture, architectures
from visioncli.models.depth_anything3.backbone import Backbone
from visioncli.models.depth_anything3.depths import Maps, exif_focal, metric, mono, nested
from visioncli.models.depth_anything3.network import build
from visioncli.models.depth_anything3.pixels import Recipe, resized
from visioncli.models.runtime import RuntimeRequest
from visioncli.samples import Facts, ImageRef, Sample
from visioncli.tasks.depth import DepthOptions

CPU = RuntimeRequest("cpu", "float32")
AT_MODEL = DepthOptions(size="model")


def sample(image, extra=None, exif=None):
    return Sample(ImageRef(0, "0", None, extra or {}), Facts(size=image.shape[:2], exif=exif), image)


def answers(predictor, samples, options=AT_MODEL):
    """One answer a sample; each shape's pictures in one forward."""
    inputs = [predictor.preprocess(each, options) for each in samples]
    found = {}
    for key in dict.fromkeys(predictor.batch_key(options, row) for row in inputs):
        which = [i for i, row in enumerate(inputs) if predictor.batch_key(options, row) == key]
        outputs = predictor.forward([inputs[i] for i in which], options)
        results = predictor.postprocess(outputs, [samples[i] for i in which], options)
        found |= dict(zip(which, results, strict=True))
    return [found[i] for i in range(len(samples))]


def close(ours, theirs, tolerance=1e-5):
    """Within `tolerance` of the largest number."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= tolerance * np.abs(theirs).max()


def of(seen, row=0):
    return Maps(**{name: None if part is None else part[row].numpy() for name, part in seen._asdict().items()})


@pytest.mark.parametrize(
    ("name", "tensors", "size"),
    [("da3-small", 443, (378, 504)), ("da3-base", 443, (196, 252)), ("da3mono-large", 406, (196, 252))],
)
def test_a_network_at_its_real_size_says_what_the_original_does(name, tensors, size):
    theirs = made.loud(made.original(name))
    assert len(theirs.state_dict()) == tensors
    with torch.device("meta"):
        ours = build(architectures({"model_name": name}))
    ours.load_state_dict(made.needed(theirs), assign=True)
    pixels = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        maps, truth = of(ours(pixels)), theirs(pixels[None])
    depth = maps.depth if maps.sky is None else mono(maps, None).depth
    assert depth.std() > 0.05
    close(depth, truth.depth[0, 0])
    for key, value in (("confidence", "depth_conf"), ("extrinsics",) * 2, ("intrinsics",) * 2, ("sky",) * 2):
        assert (getattr(maps, key) is None) == (value not in truth)
        if value in truth:
            close(getattr(maps, key), truth[value][0, 0])


def test_the_giants_blocks_are_the_originals():
    giant = made.upstream("model.dinov2.vision_transformer").vit_giant2
    starts = {"alt_start": 1, "qknorm_start": 1, "rope_start": 1}
    theirs = made.loud(giant(14, depth=4, img_size=518, ffn_layer="swiglufused", cat_token=True, **starts))
    with torch.device("meta"):
        ours = Backbone(replace(PUBLISHED["da3-giant"], depth=4, alternate_from=1, out_layers=(0, 1, 2, 3)))
    ours.load_state_dict(theirs.state_dict(), assign=True)
    pixels = torch.randn(2, 3, 56, 70)
    with torch.inference_mode():
        (tokens, camera), (truth, _) = ours(pixels), theirs.get_intermediate_layers(pixels[:, None], [0, 1, 2, 3])
    for mine, (wanted, _) in zip(tokens, truth, strict=True):
        close(mine, wanted[:, 0])
    close(camera, truth[-1][1][:, 0])


@pytest.fixture(scope="module")
def nested_original():
    """A nested network of two small parts, as the original wires it."""
    kind = made.upstream("model.da3").NestedDepthAnything3Net
    head = {"dim_in": 384, "features": 64, "out_channels": [48, 96, 192, 384]}
    net = kind.__new__(kind)
    torch.nn.Module.__init__(net)
    net.da3 = made.original("da3-small")
    net.da3_metric = made.original("da3metric-large", net={"name": "vits", "out_layers": [2, 5, 8, 11]}, head=head)
    return made.loud(net, seed=3)


def test_a_nested_network_takes_its_scale_as_the_original_does(nested_original):
    ours = build([PUBLISHED["da3-small"], Architecture(384, 12, 6, (2, 5, 8, 11), 64, (48, 96, 192, 384))])
    ours.load_state_dict(made.needed(nested_original))
    pixels = torch.randn(1, 3, 126, 98, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        maps, truth = of(ours(pixels)), nested_original(pixels[None])
    found = nested(maps, None)
    assert found.metric
    assert 0.05 < found.sky.mean() < 0.95
    close(found.depth, truth.depth[0, 0])
    close(found.confidence, truth.depth_conf[0, 0])
    close(found.extrinsics, truth.extrinsics[0, 0])
    close(found.intrinsics, truth.intrinsics[0, 0])


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """(checkpoint, original): DA3-SMALL, as it lies on the hub."""
    theirs = made.loud(made.original("da3-small"))
    return made.save(tmp_path_factory.mktemp("da3"), {"model_name": "da3-small"}, theirs.state_dict()), theirs


def test_a_picture_gives_the_originals_depth_at_both_sizes(small):
    checkpoint, theirs = small
    image = made.scene(168, 504)  # no resizing: 504 is the longest side, 168 = 12 * 14
    values = (image / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    with torch.inference_mode():
        truth = theirs(torch.from_numpy(values).float().permute(2, 0, 1)[None, None])
    predictor = models.load(checkpoint, "depth", CPU)
    (found,) = answers(predictor, [sample(image)])
    close(found.depth, truth.depth[0, 0])
    close(found.confidence, truth.depth_conf[0, 0])
    facts = Facts(size=(336, 1008))  # of which `image` is a scaled decoding
    (large,) = answers(predictor, [replace(sample(image), facts=facts)], DepthOptions())
    close(large.depth, interpolate(truth.depth, (336, 1008), mode="bilinear")[0, 0])
    close(large.intrinsics, truth.intrinsics[0, 0] * torch.tensor([[2.0], [2.0], [1.0]]))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    kinds = {"any_view": [made.TINY], "mono": [made.TINY_MONO], "metric": [made.TINY_METRIC]}
    kinds["nested"] = [made.TINY, made.TINY_METRIC]
    return {kind: made.custom(tmp_path_factory.mktemp(kind), *parts) for kind, parts in kinds.items()}


@pytest.mark.parametrize("kind", ["any_view", "mono", "metric", "nested"])
@pytest.mark.parametrize("count", [2, 5, 8])
def test_depth_does_not_depend_on_the_neighbours(tiny, kind, count):
    predictor = models.load(tiny[kind], "depth", CPU)
    sizes = [(90, 120), (120, 90), (90, 121), (84, 84), (1, 1), (60, 80), (200, 30), (96, 128)]
    samples = [sample(made.scene(*size, seed)) for seed, size in enumerate(sizes)]
    (alone,), together = answers(predictor, samples[:1]), answers(predictor, samples[:count])
    close(together[0].depth, alone.depth, 1e-4)
    crowd = predictor.forward([predictor.preprocess(samples[0], AT_MODEL)] * count, AT_MODEL)
    close(crowd[-1].depth, predictor.forward([predictor.preprocess(samples[0], AT_MODEL)], AT_MODEL)[0].depth, 1e-4)


@pytest.mark.parametrize(("dtype", "near"), [("bfloat16", 0.05), ("float16", 0.01)])
def test_narrower_products_stay_near(tiny, dtype, near):
    scenes = [sample(made.scene(84, 70, seed)) for seed in range(2)]
    exact = answers(models.load(tiny["any_view"], "depth", CPU), scenes)
    rough = answers(models.load(tiny["any_view"], "depth", RuntimeRequest("cpu", dtype)), scenes)
    for one, other in zip(exact, rough, strict=True):
        assert 0 < np.abs(other.depth / one.depth - 1).mean() < near


def test_a_depth_without_bounds_fails_its_row_alone(tiny):
    predictor = models.load(tiny["any_view"], "depth", CPU)
    network = predictor._tower._module("float32")
    with torch.no_grad():
        network.head.scratch["output_conv2"][2].bias[0] = 1000.0
    (row,) = predictor.forward([np.zeros((84, 84, 3), np.uint8)], AT_MODEL)
    assert isinstance(row, PredictError)
    assert row.code == "non_finite"


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (40, 1), (83, 85)])
def test_any_shape_of_picture_has_a_depth_for_each_pixel(tiny, size):
    (found,) = answers(models.load(tiny["nested"], "depth", CPU), [sample(made.scene(*size))], DepthOptions())
    assert found.depth.shape == found.confidence.shape == found.sky.shape == size
    assert np.isfinite(found.depth).all()
    assert (found.depth.dtype, found.sky.dtype) == (np.float32, bool)


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


@pytest.mark.parametrize("cell", ["wide", "-3", 0, "nan", "inf", True])
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


CHANGES = [  # of the tensors; what is said
    (lambda w: w.pop("model.head.norm.weight"), "lack 1 tensors, head.norm.weight"),
    (lambda w: w.update({"model.head.extra": torch.zeros(1)}), "no place for, head.extra"),
    (lambda w: w.update({"model.head.norm.weight": torch.zeros(3)}), "cannot be loaded: size mismatch for head.norm"),
]


@pytest.mark.parametrize(("change", "words"), CHANGES)
def test_weights_that_do_not_fit_are_named(tiny, tmp_path, change, words):
    weights = load_file(tiny["any_view"].directory / "model.safetensors")
    change(weights)
    (tmp_path / "config.json").write_bytes((tiny["any_view"].directory / "config.json").read_bytes())
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=words):
        models.load(replace(tiny["any_view"], directory=tmp_path), "depth", CPU)


CONFIGS = [
    ({"model_name": "da3-huge"}, "unknown model 'da3-huge'.*known: da3-small"),
    ({"model_name": "da3-x", "visioncli": {"colour": 3}}, "unknown size 'colour'"),
    ({"model_name": "da3-x", "visioncli": {"width": 64}}, "not understood"),
    ({"model_name": "da3-x", "visioncli": {"width": "64"}}, "not understood"),
]


@pytest.mark.parametrize(("config", "words"), CONFIGS)
def test_a_config_that_says_no_sizes_is_named(config, words):
    with pytest.raises(ModelError, match=words):
        architectures(config)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": 66}, "multiple of 4"), ({"depth": 5}, "within depth"), ({"features": 12}, "multiple of 8"),
        ({"process_size": 85}, "multiples of patch"), ({"feed_forward": "relu"}, "mlp or swiglu"),
        ({"heads": 0}, "above 0"), ({"out_layers": (5, 4, 3, 2)}, "in order"),
    ],
)  # fmt: skip
def test_sizes_that_make_no_network_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        replace(made.TINY, **change)


@pytest.mark.parametrize("name", ["da3-large-1.1", "DA3-LARGE", "da3nested-giant-large-1.1"])
def test_every_published_name_is_known(name):
    with torch.device("meta"):
        count = sum(each.numel() for each in build(architectures({"model_name": name})).parameters())
    assert count > 300e6
