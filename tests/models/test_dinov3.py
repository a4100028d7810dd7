"""DINOv3 against transformers' own modules at their real sizes, fed with pixels as the definition makes them."""

import shutil
from functools import partial

import checkpoints
import dinov3_checkpoints
import dinov3_oracle
import numpy as np
import oracle
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file

from visioncli import models
from visioncli.errors import ModelError, UsageError
from visioncli.models.runtime import RuntimeRequest
from visioncli.samples import Facts, ImageRef, Sample
from visioncli.tasks.embed import EmbedOptions

CPU = RuntimeRequest("cpu", "float32")
POOLED, TOKENS = EmbedOptions(normalize=False), EmbedOptions(features="tokens")
SHAPES = {"vits16": (201, 384), "convnext": (50, 768)}  # 1 + 4 + 14 * 14 tokens, 1 + 7 * 7
BUILD = {
    "vits16": partial(dinov3_checkpoints.vit, **dinov3_checkpoints.VITS16),
    "convnext": dinov3_checkpoints.convnext,
}


def samples_of(pictures):
    return [Sample(ImageRef(i, str(i), None), Facts(), picture) for i, picture in enumerate(pictures)]


def ask(predictor, pictures, options, batch=8):
    samples = samples_of(pictures)
    inputs = [predictor.preprocess(sample, options) for sample in samples]
    outputs = [row for i in range(0, len(inputs), batch) for row in predictor.forward(inputs[i : i + batch], options)]
    return predictor.postprocess(outputs, samples, options)


@pytest.fixture(scope="module", params=SHAPES)
def both(request, tmp_path_factory, pictures):
    """(predictor, its vectors of eight pictures, its tokens of four, the module's own), at the network's real size."""
    directory = tmp_path_factory.mktemp(request.param)
    module = BUILD[request.param](directory)
    predictor = models.load(checkpoints.of(directory), "embed", CPU)
    with torch.inference_mode():
        theirs = module(pixel_values=dinov3_oracle.pixels(pictures[:8]).float())
    pooled = np.stack([row.embedding for row in ask(predictor, pictures[:8], POOLED)])
    tokens = np.stack([row.tokens for row in ask(predictor, pictures[4:8], TOKENS)])
    return predictor, pooled, tokens, (theirs.pooler_output.numpy(), theirs.last_hidden_state[4:8].numpy())


def cosines(a, b):
    a, b = (np.float64(x) / np.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b))
    return a @ b.T


def test_the_pictures_differ_enough_to_prove_anything(both):
    alike = cosines(both[3][0], both[3][0])
    assert alike[~np.eye(8, dtype=bool)].max() < 0.99


def test_vectors_are_the_modules_pooled_ones(both):
    predictor, pooled, _, (truth, _) = both
    assert pooled.shape == (8, predictor.info.dimension)
    np.testing.assert_allclose(pooled, truth, atol=1e-5 * np.abs(truth).max())


def test_tokens_are_the_modules_last_hidden_state(both):
    predictor, _, tokens, (_, truth) = both
    assert (predictor.info.token_shape, predictor.info.dimension) in [(s, s[1]) for s in SHAPES.values()]
    assert tokens.shape == (4, *predictor.info.token_shape)
    np.testing.assert_allclose(tokens, truth, atol=1e-5 * np.abs(truth).max())


def test_a_vector_is_the_first_token_made_unit(both, pictures):
    predictor, pooled, tokens, _ = both
    np.testing.assert_allclose(tokens[:, 0], pooled[4:8], atol=1e-5 * np.abs(pooled).max())
    (row,) = ask(predictor, pictures[4:5], EmbedOptions())
    np.testing.assert_allclose(row.embedding, pooled[4] / np.linalg.norm(pooled[4]), atol=1e-6)
    assert (row.tokens, row.text_embedding) == (None, None)


@pytest.mark.parametrize("name", ["small_dinov3_vit", "small_dinov3_convnext"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_sixteen_bits_stay_within_a_thousandth_of_a_cosine(request, name, dtype, pictures):
    checkpoint, found = request.getfixturevalue(name), []
    for kind in (dtype, "float32"):
        rows = ask(models.load(checkpoint, "embed", RuntimeRequest("cpu", kind)), pictures[4:8], EmbedOptions())
        found.append(np.stack([row.embedding for row in rows]))
    assert np.diag(cosines(*found)).min() > 1 - 1e-3


def test_a_checkpoint_with_the_hubs_names_loads_alike(small_dinov3_vit, tmp_path, pictures):
    """On the hub it is layer.0 …, in transformers 5 model.layer.0 …"""
    shutil.copytree(small_dinov3_vit.directory, tmp_path, dirs_exist_ok=True)
    weights = load_file(tmp_path / "model.safetensors")
    renamed = {name.removeprefix("model."): tensor for name, tensor in weights.items()}
    assert "layer.0.attention.q_proj.weight" in renamed
    save_file(renamed, tmp_path / "model.safetensors", {"format": "pt"})
    one, other = (
        ask(models.load(checkpoint, "embed", CPU), pictures[4:5], TOKENS)[0].tokens
        for checkpoint in (small_dinov3_vit, checkpoints.of(tmp_path))
    )
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("build", "size", "config", "shape"),
    [
        (dinov3_checkpoints.vit, (64, 64), dinov3_checkpoints.SMALL_VIT, (1 + 2 + 16, 64)),
        (dinov3_checkpoints.vit, (40, 100), dinov3_checkpoints.SMALL_VIT, (1 + 2 + 2 * 6, 64)),  # a rest is left out
        (dinov3_checkpoints.convnext, (70, 96), dinov3_checkpoints.SMALL_CONVNEXT, (1 + 2 * 3, 48)),
    ],
)
def test_a_picture_has_the_tokens_of_its_whole_patches(tmp_path, pictures, build, size, config, shape):
    build(tmp_path, size, **config)
    predictor = models.load(checkpoints.of(tmp_path), "embed", CPU)
    assert (predictor.info.token_shape, predictor.decode_size) == (shape, size)
    assert ask(predictor, pictures[4:5], TOKENS)[0].tokens.shape == shape


def test_larger_pictures_make_smaller_automatic_batches(tmp_path):
    dinov3_checkpoints.vit(tmp_path, (448, 448), **dinov3_checkpoints.SMALL_VIT)
    assert models.load(checkpoints.of(tmp_path), "embed", CPU).info.batch_size == 2  # four times 224 x 224


def test_a_size_below_one_patch_is_a_model_error(tmp_path):
    dinov3_checkpoints.vit(tmp_path, (15, 64), **dinov3_checkpoints.SMALL_VIT)
    with pytest.raises(ModelError, match="sees 15x64 pixels"):
        models.load(checkpoints.of(tmp_path), "embed", CPU)


def test_everything_is_known_of_a_loaded_model(small_dinov3_vit):
    info = models.load(small_dinov3_vit, "embed", CPU).info
    assert (info.family, info.dimension, info.token_shape) == ("dinov3", 64, (23, 64))
    assert info.recipe == "dinov3/1 resize 80x64 bilinear float mean 0.485,0.456,0.406 std 0.229,0.224,0.225"


def test_inputs_are_floats_and_say_so(small_dinov3_vit, pictures):
    predictor = models.load(small_dinov3_vit, "embed", CPU)
    inputs = predictor.preprocess(samples_of(pictures)[4], POOLED)
    assert (inputs.pixels.dtype, inputs.pixels.shape) == (np.float32, (80, 64, 3))
    assert inputs.nbytes == 80 * 64 * 3 * 4


def test_what_is_answered_says_how_much_it_holds(small_dinov3_vit, pictures):
    predictor = models.load(small_dinov3_vit, "embed", CPU)
    vector, tokens = (ask(predictor, pictures[4:5], options)[0] for options in (POOLED, TOKENS))
    assert 64 * 4 <= vector.nbytes < 64 * 4 + 1000
    assert 23 * 64 * 4 <= tokens.nbytes < 23 * 64 * 4 + 1000


@pytest.mark.parametrize("options", [EmbedOptions(text_column="t"), EmbedOptions(image=False, text_column="t")])
def test_texts_are_refused_in_one_sentence(small_dinov3_vit, options):
    predictor = models.load(small_dinov3_vit, "embed", CPU, need_image=options.image, need_text=True)
    with pytest.raises(UsageError, match="reads no text; a SigLIP or CLIP model"):
        predictor.check(options)
    with pytest.raises(UsageError):
        predictor.preprocess(Sample(ImageRef(0, "0", None, {"t": "a cat"}), Facts(), None), options)


def test_it_does_not_classify(small_dinov3_vit):
    with pytest.raises(ModelError, match="can embed, not classify"):
        models.load(small_dinov3_vit, "classify", CPU)


def test_pooled_vectors_and_tokens_share_no_batch(small_dinov3_vit, pictures):
    predictor = models.load(small_dinov3_vit, "embed", CPU)
    keys = {predictor.batch_key(o, predictor.preprocess(samples_of(pictures)[4], o)) for o in (POOLED, TOKENS)}
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("name", "architecture"), [("small_siglip", "SiglipVisionModel"), ("small_clip", "CLIPVisionModel")]
)
def test_the_image_towers_of_siglip_and_clip_have_tokens_too(request, name, architecture, pictures):
    checkpoint = request.getfixturevalue(name)
    predictor = models.load(checkpoint, "embed", CPU)
    module = getattr(transformers, architecture).from_pretrained(checkpoint.directory).eval()
    pixels = oracle.processor(checkpoint)([Image.fromarray(p) for p in pictures[4:8]], return_tensors="pt")
    with torch.inference_mode():
        truth = module(**pixels).last_hidden_state.numpy()
    found = np.stack([row.tokens for row in ask(predictor, pictures[4:8], TOKENS)])
    assert found.shape[1:] == predictor.info.token_shape
    np.testing.assert_allclose(found, truth, atol=1e-5 * np.abs(truth).max())


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "model.safetensors"])
@pytest.mark.parametrize("content", [None, b"{", b"\x00" * 99], ids=["missing", "cut short", "zeros"])
def test_a_missing_or_damaged_file_is_a_model_error(small_dinov3_convnext, tmp_path, name, content):
    shutil.copytree(small_dinov3_convnext.directory, tmp_path, dirs_exist_ok=True)
    (tmp_path / name).unlink() if content is None else (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=name.split(".")[0]):
        models.load(checkpoints.of(tmp_path), "embed", CPU)
