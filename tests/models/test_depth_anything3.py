"""Depth Anything 3's networks against the original modules, with random weights, and what a checkpoint must be."""

from dataclasses import replace

import depth_checkpoints as made
import numpy as np
import pytest
import torch
from depth_checkpoints import AT_MODEL, answers, sample
from safetensors.torch import load_file, save_file
from torch.nn.functional import interpolate

from visioncli import models
from visioncli.errors import ModelError, PredictError
from visioncli.models.depth_anything3.architecture import PUBLISHED, Architecture, architectures
from visioncli.models.depth_anything3.backbone import Backbone
from visioncli.models.depth_anything3.depths import Maps, mono, nested
from visioncli.models.depth_anything3.network import build
from visioncli.models.runtime import RuntimeRequest
from visioncli.samples import Facts
from visioncli.tasks.depth import DepthOptions

CPU = RuntimeRequest("cpu", "float32")


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
    return made.tiny(tmp_path_factory)


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
