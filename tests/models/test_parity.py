"""Ours against transformers' own processor and whole model: full architectures, random weights, sixteen pictures."""

import numpy as np
import oracle
import pytest

from visioncli import models
from visioncli.models.runtime import RuntimeRequest
from visioncli.samples import Facts, ImageRef, Sample
from visioncli.tasks.classify import ClassifyOptions
from visioncli.tasks.embed import EmbedOptions

FAMILY = {"siglip_224": ("siglip", 64), "siglip_512": ("siglip", 64), "clip_b32": ("clip", 77)}


@pytest.fixture(scope="module", params=FAMILY)
def both(request, pictures):
    """(ours, theirs): a float32 predictor and its answers beside the oracle's, computed once per checkpoint."""
    checkpoint = request.getfixturevalue(request.param)
    theirs = oracle.answers(checkpoint, pictures, FAMILY[request.param][1])
    predictor = models.load(checkpoint, "classify", RuntimeRequest(dtype="float32"))
    samples = [Sample(ImageRef(i, str(i), None), Facts(), picture) for i, picture in enumerate(pictures)]
    options = prompts("softmax")
    inputs = [predictor.preprocess(sample, options) for sample in samples]
    return predictor, samples, inputs, forward(predictor, inputs, options, 8), theirs


def prompts(scoring):
    return ClassifyOptions(oracle.PROMPTS, ("{}",), scoring)


def forward(predictor, inputs, options, size):
    return [row for i in range(0, len(inputs), size) for row in predictor.forward(inputs[i : i + size], options)]


def distances(a, b):
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (np.float64(a), np.float64(b)))
    return 1 - a @ b.T


def test_the_pictures_differ_enough_to_prove_anything(both):
    apart = distances(both[4]["images"], both[4]["images"])
    assert apart[~np.eye(16, dtype=bool)].min() > 1e-2


def test_pixels_are_those_of_the_pillow_backed_processor(both):
    predictor, _, inputs, _, theirs = both
    recipe = predictor._encoder.recipe
    mean, std = (np.array(v, np.float64).reshape(1, 3, 1, 1) for v in (recipe.mean, recipe.std))
    levels = np.rint((theirs["pixels"] * std + mean) * 255).astype(np.uint8)
    np.testing.assert_array_equal(np.stack(inputs).transpose(0, 3, 1, 2), levels)


def test_embeddings_are_those_of_the_whole_model(both):
    assert np.diag(distances(both[3], both[4]["images"])).max() < 1e-5


@pytest.mark.parametrize("scoring", ["softmax", "sigmoid"])
def test_scores_are_those_of_the_whole_model(both, scoring):
    predictor, samples, _, outputs, theirs = both
    if scoring == "sigmoid" and predictor.info.family == "clip":
        pytest.skip("CLIP has no trained bias: refused, see test_zero_shot")
    truth = theirs["logits"].astype(np.float64)
    truth = 1 / (1 + np.exp(-truth)) if scoring == "sigmoid" else softmax(truth)
    for row, expected in zip(predictor.postprocess(outputs, samples, prompts(scoring)), truth, strict=True):
        scores = dict(zip(row.labels, row.scores, strict=True))
        np.testing.assert_allclose([scores[label] for label in oracle.PROMPTS], expected, atol=1e-4)


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("name", ["clip_b32", "demo"])
def test_batches_of_1_7_and_32_give_the_same_rows(request, name, pictures):
    predictor = models.load(request.getfixturevalue(name), "embed", RuntimeRequest(dtype="float32"))
    options = EmbedOptions()
    inputs = [predictor.preprocess(Sample(ImageRef(0, "", None), Facts(), p), options) for p in pictures] * 2
    many = {1: 8, 7: 14, 32: 32}  # how many rows to ask: enough to compare the first eight
    rows = [
        np.stack([v.image for v in forward(predictor, inputs[:count], options, size)[:8]])
        for size, count in many.items()
    ]
    scale = np.abs(rows[0]).max()
    np.testing.assert_allclose(rows[1] / scale, rows[0] / scale, atol=1e-5)
    np.testing.assert_allclose(rows[2] / scale, rows[0] / scale, atol=1e-5)


@pytest.mark.parametrize("name", ["siglip_224", "clip_b32", "demo"])
def test_bfloat16_stays_within_a_thousandth_of_a_cosine(request, name, pictures):
    checkpoint = request.getfixturevalue(name)
    options, vectors = EmbedOptions(), {}
    for dtype in ("float32", "bfloat16"):
        predictor = models.load(checkpoint, "embed", RuntimeRequest(dtype=dtype))
        inputs = [predictor.preprocess(Sample(ImageRef(0, "", None), Facts(), p), options) for p in pictures[:4]]
        vectors[dtype] = [v.image for v in predictor.forward(inputs, options)]
    assert np.diag(distances(vectors["bfloat16"], vectors["float32"])).max() < 1e-3
