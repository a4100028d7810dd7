"""CLIP's ResNets against open_clip's own modules, with random weights, and what a checkpoint must be."""

import json
import shutil
from dataclasses import replace

import checkpoints
import clip_resnet_checkpoints as made
import numpy as np
import pytest
import torch
from clip_resnet_checkpoints import CONFIGS
from safetensors.torch import load_file, save_file

from visioncli import models
from visioncli.errors import ModelError, UsageError
from visioncli.models.clip_resnet.architecture import sizes_of
from visioncli.models.clip_resnet.weights import empty_towers
from visioncli.models.runtime import RuntimeRequest
from visioncli.samples import Facts, ImageRef, Sample
from visioncli.tasks.classify import ClassifyOptions
from visioncli.tasks.embed import EmbedOptions

CPU = RuntimeRequest("cpu", "float32")
CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"
SIZES = [(1, 1), (333, 500), (300, 288), (640, 427)]


def samples():
    rng = np.random.default_rng(3)
    images = [np.kron(rng.integers(0, 256, (2, 2, 3)), np.ones((h, w, 1)))[:h, :w] for h, w in SIZES]
    refs = [ImageRef(i, str(i), None, {"t": text}) for i, text in enumerate(checkpoints.TEXTS[:4])]
    return [Sample(ref, Facts(), image.astype(np.uint8)) for ref, image in zip(refs, images, strict=True)]


def unit(vectors):
    vectors = np.float64(vectors)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def rows(predictor, options):
    """Each sample's result, in one batch."""
    inputs = [predictor.preprocess(sample, options) for sample in samples()]
    return predictor.postprocess(predictor.forward(inputs, options), samples(), options), inputs


def normalised(predictor, inputs):
    """(n, 3, H, W) float32, as open_clip's ToTensor and Normalize give it."""
    recipe = predictor._encoder.recipe
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (recipe.mean, recipe.std))
    return (torch.from_numpy(np.stack(inputs)).permute(0, 3, 1, 2).float() / 255 - mean) / std


def read(texts):
    return made.upstream("tokenizer").SimpleTokenizer()(list(texts))


def kept(directory, name, theirs, **changes):
    """A checkpoint of open_clip's own state dict and vocabulary."""
    checkpoint = made.save(directory, CONFIGS[name] | changes, theirs.state_dict())
    made.openai_tokenizer(directory)
    return checkpoint


@pytest.fixture(scope="module", params=["small", "RN50", "RN50x4"])
def both(request, tmp_path_factory):
    """(checkpoint, open_clip's CLIP), the same weights in both."""
    theirs = made.original(CONFIGS[request.param])
    return kept(tmp_path_factory.mktemp(request.param), request.param, theirs), theirs


@pytest.fixture(scope="module")
def embedded(both):
    """(results of ours, their features of pictures and texts), before any is made unit."""
    predictor = models.load(both[0], "embed", CPU)
    found, inputs = rows(predictor, EmbedOptions(text_column="t", normalize=False))
    with torch.inference_mode():
        images = both[1].encode_image(normalised(predictor, [each.pixels for each in inputs]))
        texts = both[1].encode_text(read(checkpoints.TEXTS[:4]))
    return found, images.numpy(), texts.numpy()


@pytest.mark.parametrize(("part", "truth"), [("embedding", 1), ("text_embedding", 2)])
def test_features_are_those_of_open_clip(embedded, part, truth):
    ours, theirs = np.stack([getattr(row, part) for row in embedded[0]]), embedded[truth]
    assert ours.dtype == np.float32
    assert np.abs(unit(ours) - unit(theirs)).max() <= 1e-5
    # Before that within float32: RN50x4's lengths differ by up to 1e-5, open_clip's own from float64 by as much.
    assert (np.linalg.norm(ours - theirs, axis=1) <= 3e-5 * np.linalg.norm(theirs, axis=1)).all()


def test_the_features_differ_enough_to_prove_anything(embedded):
    for vectors in embedded[1:]:
        assert (unit(vectors) @ unit(vectors).T)[~np.eye(4, dtype=bool)].max() < 1 - 1e-3


def test_logits_are_those_of_open_clip(both):
    checkpoint, theirs = both
    predictor = models.load(checkpoint, "classify", CPU)
    found, inputs = rows(predictor, ClassifyOptions(("cat", "dog", "a red car"), ("{}",)))
    with torch.inference_mode():
        truth, _ = theirs.get_logits(normalised(predictor, inputs), read(["cat", "dog", "a red car"]))
        scale, wanted = theirs.logit_scale.exp().item(), truth.softmax(dim=-1).numpy()
    assert predictor._encoder.scale == pytest.approx(scale, rel=1e-6)
    for row, logits, scores in zip(found, truth.numpy(), wanted, strict=True):
        places = [("cat", "dog", "a red car").index(label) for label in row.labels]
        np.testing.assert_allclose(row.logits, logits[places], atol=2e-4)
        np.testing.assert_allclose(row.scores, scores[places], atol=1e-4)


def test_tokens_are_the_mean_and_the_cells_of_the_last_stage(both):
    checkpoint, theirs = both
    predictor = models.load(checkpoint, "embed", CPU)
    found, inputs = rows(predictor, EmbedOptions(features="tokens"))
    pixels = normalised(predictor, [each.pixels for each in inputs])
    with torch.inference_mode():
        stages = theirs.visual.forward_intermediates(pixels, intermediates_only=True)["image_intermediates"]
    cells = stages[-1].flatten(2).transpose(1, 2).numpy()
    ours = np.stack([row.tokens for row in found])
    assert ours.shape[1:] == predictor.info.token_shape
    np.testing.assert_allclose(ours[:, 1:], cells, atol=1e-5 * np.abs(cells).max())
    np.testing.assert_allclose(ours[:, 0], cells.mean(axis=1), atol=1e-5 * np.abs(cells).max())


@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "small"])
def test_names_and_shapes_are_those_of_the_published_state_dicts(name):
    with torch.device("meta"):
        theirs = made.upstream("model").CLIP(**CONFIGS[name]["model_cfg"]).state_dict()
    pictures, texts = (tower.state_dict() for tower in empty_towers(*sizes_of(CONFIGS[name])))
    ours = {f"visual.{key}": tensor for key, tensor in pictures.items()} | texts
    assert {key: t.shape for key, t in theirs.items()} == {key: t.shape for key, t in ours.items()} | {
        "logit_scale": ()
    }


def test_the_sizes_are_those_that_open_clip_ships():
    folder = made.package() / "model_configs"
    for name in [name for name in CONFIGS if name != "small"]:
        assert json.loads((folder / f"{name}-quickgelu.json").read_text()) == CONFIGS[name]["model_cfg"]


def test_without_quick_gelu_it_is_gelu(tmp_path):
    model = CONFIGS["small"]["model_cfg"] | {"quick_gelu": False}
    theirs = made.original({"model_cfg": model})
    encoder = models.load(kept(tmp_path, "small", theirs, model_cfg=model), "classify", CPU)._encoder
    with torch.inference_mode():
        truth = theirs.encode_text(read(["a red car"])).numpy()
    np.testing.assert_allclose(encoder.texts([encoder.tokenizer.ids("a red car")]), truth, rtol=1e-4, atol=1e-5)


def test_weights_stored_in_half_are_read_as_they_are(tmp_path):
    theirs = made.halved(made.original(CONFIGS["small"]))
    narrow = made.save(tmp_path / "narrow", CONFIGS["small"], theirs.state_dict(), half=True)
    wide = made.save(tmp_path / "wide", CONFIGS["small"], theirs.state_dict())
    assert (narrow.directory / WEIGHTS).stat().st_size < 0.6 * (wide.directory / WEIGHTS).stat().st_size
    vectors = [np.stack([row.embedding for row in rows(models.load(one, "embed", CPU), EmbedOptions())[0]])
               for one in (narrow, wide)]  # fmt: skip
    np.testing.assert_allclose(*vectors, rtol=0, atol=1e-6)


def test_texts_become_the_ids_that_open_clip_gives(tmp_path):
    made.clip_resnet(tmp_path, "small")
    made.openai_tokenizer(tmp_path)
    tokenizer = models.load(checkpoints.of(tmp_path), "classify", CPU)._encoder.tokenizer
    for text, theirs in zip(checkpoints.TEXTS, read(checkpoints.TEXTS).numpy(), strict=True):
        end = theirs.argmax() + 1  # after it we put the end mark again, open_clip 0: nothing sees it
        np.testing.assert_array_equal(tokenizer.ids(text)[:end], theirs[:end], text)
        assert set(tokenizer.ids(text)[end:]) <= {49407}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_narrower_weights_stay_near(small_clip_resnet, dtype):
    exact, rough = (rows(models.load(small_clip_resnet, "embed", RuntimeRequest("cpu", each)), EmbedOptions())[0]
                    for each in ("float32", dtype))  # fmt: skip
    for one, other in zip(exact, rough, strict=True):
        assert 0 < 1 - float(one.embedding @ other.embedding) < 2e-3


def test_sigmoid_scores_are_refused(small_clip_resnet):
    predictor = models.load(small_clip_resnet, "classify", CPU)
    with pytest.raises(UsageError, match="no trained bias for sigmoid"):
        predictor.check(ClassifyOptions(("cat",), scoring="sigmoid"))


def test_everything_is_known_of_a_loaded_model(small_clip_resnet):
    info = models.load(small_clip_resnet, "embed", CPU).info
    colours = "mean 0.481455,0.457827,0.408211 std 0.26863,0.261303,0.275777"
    assert (info.family, info.dimension, info.token_shape) == ("clip_resnet", 48, (10, 512))
    assert info.recipe == f"clip_resnet/1 shortest 96 crop 96x96 bicubic {colours}"
    assert models.count_parameters(small_clip_resnet) == sum(
        tensor.numel() for tensor in load_file(small_clip_resnet.directory / WEIGHTS).values()
    )


# What a checkpoint must be


@pytest.fixture
def copy(small_clip_resnet, tmp_path):
    shutil.copytree(small_clip_resnet.directory, tmp_path / "copy")
    return checkpoints.of(tmp_path / "copy")


@pytest.mark.parametrize("name", [WEIGHTS, "tokenizer.json"])
def test_a_missing_file_is_named(copy, name):
    (copy.directory / name).unlink()
    for other in ("vocab.json", "merges.txt"):
        (copy.directory / other).unlink(missing_ok=True)
    with pytest.raises(ModelError, match=name):
        models.load(copy, "classify", CPU)


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS, "tokenizer.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\x00" * 99])
def test_a_damaged_file_is_a_model_error(copy, name, content):
    (copy.directory / name).write_bytes(content)
    with pytest.raises(ModelError, match=name.split(".")[0]):
        models.load(copy, "classify", CPU)


@pytest.mark.parametrize("beside", ["model.safetensors", "config.json"])
def test_a_pickle_is_refused_whatever_of_timm_lies_beside_it(copy, beside):
    (copy.directory / WEIGHTS).rename(copy.directory / "open_clip_pytorch_model.bin")
    (copy.directory / beside).unlink()
    with pytest.raises(ModelError, match=f"as a pickle only, which can run code when it is read; save it as {WEIGHTS}"):
        models.load(copy, "embed", CPU)


CHANGES = [  # of the tensors; what is said
    (lambda w: w.pop("visual.attnpool.c_proj.bias"), "lack 1 tensors, visual.attnpool.c_proj.bias"),
    (lambda w: w.pop("logit_scale"), "lack 1 tensors, logit_scale"),
    (lambda w: w.update({"visual.proj": torch.zeros(1)}), "no place for, visual.proj"),
    (lambda w: w.update({"text_projection": torch.zeros(3)}), "cannot be loaded: size mismatch for text_projection"),
    (lambda w: w.update({"visual.conv1.weight": torch.zeros(3)}), "cannot be loaded: size mismatch for conv1.weight"),
]


@pytest.mark.parametrize(("change", "words"), CHANGES)
def test_weights_that_do_not_fit_are_named(copy, change, words):
    weights = load_file(copy.directory / WEIGHTS)
    change(weights)
    save_file(weights, copy.directory / WEIGHTS, {"format": "pt"})
    with pytest.raises(ModelError, match=words):
        models.load(copy, "classify", CPU)


def test_numbers_that_openai_stored_beside_the_weights_are_passed_over(copy):
    numbers = {name: torch.tensor(1) for name in ("input_resolution", "context_length", "vocab_size")}
    save_file(load_file(copy.directory / WEIGHTS) | numbers, copy.directory / WEIGHTS, {"format": "pt"})
    assert models.load(copy, "classify", CPU).info.dimension == 48


def changed(part, **values):
    """CONFIGS["small"] with other values in a part of model_cfg, or with another preprocess_cfg."""
    file = json.loads(json.dumps(CONFIGS["small"]))
    place = {"": file["model_cfg"], "preprocess_cfg": file["preprocess_cfg"]}.get(part)
    (file["model_cfg"][part] if place is None else place).update(values)
    return file


REFUSED = [
    (changed("text_cfg", pool_type="last"), "text_cfg.pool_type 'last'"),
    (changed("text_cfg", hf_model_name="roberta-base"), "text_cfg.hf_model_name 'roberta-base'"),
    (changed("text_cfg", no_causal_mask=True), "text_cfg.no_causal_mask True"),
    (changed("text_cfg", heads=5), "width 64, heads 5"),
    (changed("", custom_text=True), "has custom_text True"),
    (changed("", init_logit_bias=-10), "has init_logit_bias -10"),
    (changed("", embed_dim="48"), "no whole number above 0"),
    (changed("vision_cfg", layers=[3, 4, 6]), "not understood"),
    (changed("vision_cfg", width=15), "width 15"),
    (changed("vision_cfg", image_size=None), "no whole number"),
    (changed("preprocess_cfg", resize_mode="longest"), "preprocess_cfg.resize_mode 'longest'; it must be shortest or"),
    (changed("preprocess_cfg", interpolation="random"), "preprocess_cfg.interpolation 'random'; it must be bicubic or"),
    (changed("preprocess_cfg", size=64), "preprocess_cfg.size 64; it must be 96 or"),
    (changed("preprocess_cfg", mode="L"), "preprocess_cfg.mode 'L'"),
    (changed("preprocess_cfg", mean=0.5), "preprocess_cfg.mean 0.5: not three numbers"),
]


@pytest.mark.parametrize(("file", "words"), REFUSED)
def test_what_is_not_built_here_is_refused_by_its_name(copy, file, words):
    checkpoints.write_json(copy.directory / CONFIG, file)
    with pytest.raises(ModelError, match=words):
        models.load(copy, "classify", CPU)


@pytest.mark.parametrize("vision", [{"layers": 12, "patch_size": 32}, {"timm_model_name": "resnetaa50d"}])
def test_other_towers_in_this_layout_are_refused_with_what_to_use(copy, vision):
    checkpoints.write_json(copy.directory / CONFIG, changed("vision_cfg", **vision))
    with pytest.raises(ModelError, match="only CLIP's ResNets are read, so use the model as transformers has it"):
        models.load(copy, "embed", CPU)


def test_one_that_is_in_transformers_layout_too_is_read_as_that(small_clip, tmp_path):
    shutil.copytree(small_clip.directory, tmp_path, dirs_exist_ok=True)
    checkpoints.write_json(tmp_path / CONFIG, CONFIGS["small"])
    assert models.load(replace(small_clip, directory=tmp_path), "embed", CPU).info.family == "clip"
