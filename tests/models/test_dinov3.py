"""DINOv3 against transformers' own modules at their real sizes, fed with pixels as the definition makes them."""

import checkpoints
import dinov3_checkpoints
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from visioncli import models
from visioncli.errors import ModelError, UsageError
from visioncli.models.runtime import RuntimeRequest
from visioncli.samples import Facts, ImageRef, Sample
from visioncli.tasks.classify import ClassifyOptions
from visioncli.tasks.embed import EmbedOptions

CPU = RuntimeRequest("cpu", "float32")
POOLED, TOKENS = EmbedOptions(normalize=False), EmbedOptions(features="tokens")
SIZES = {
    "vits16": (201, 384),
    "convnext": (50, 768),
}  # 1 + 4 + 14 * 14 tokens; 1 + 7 * 7 (protocols of the hub's cards)


def pixels_by_definition(pictures, size=(224, 224)):
    """(N, 3, h, w) float32: x / 255, resized as floats, ImageNet's mean and deviation; computed in float64."""
    mean, std = (
        torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    )
    planes = [torch.from_numpy(picture).permute(2, 0, 1)[None].double() / 255 for picture in pictures]
    seen = [
        torch.nn.functional.interpolate(x, size, mode="bilinear", antialias=True, align_corners=False) for x in planes
    ]
    return ((torch.cat(seen) - mean) / std).float()


def samples_of(pictures):
    return [Sample(ImageRef(i, str(i), None), Facts(), picture) for i, picture in enumerate(pictures)]


def ask(predictor, pictures, options, batch=8):
    samples = samples_of(pictures)
    inputs = [predictor.preprocess(sample, options) for sample in samples]
    outputs = [row for i in range(0, len(inputs), batch) for row in predictor.forward(inputs[i : i + batch], options)]
    return predictor.postprocess(outputs, samples, options)


@pytest.fixture(scope="module", params=SIZES)
def both(request, tmp_path_factory, pictures):
    """(predictor, its pooled and token answers, the module's own, shape), for the network at its real size."""
    directory = tmp_path_factory.mktemp(request.param)
    build = {"vits16": dinov3_checkpoints.vit, "convnext": dinov3_checkpoints.convnext}[request.param]
    module = build(directory, **(dinov3_checkpoints.VITS16 if request.param == "vits16" else {}))
    predictor = models.load(checkpoints.of(directory), "embed", CPU)
    with torch.inference_mode():
        theirs = module(pixel_values=pixels_by_definition(pictures))
    pooled = np.stack([row.embedding for row in ask(predictor, pictures, POOLED)])
    tokens = np.stack([row.tokens for row in ask(predictor, pictures, TOKENS)])
    return (
        predictor,
        (pooled, tokens),
        (theirs.pooler_output.numpy(), theirs.last_hidden_state.numpy()),
        SIZES[request.param],
    )


def cosines(a, b):
    a, b = (np.float64(x) / np.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b))
    return a @ b.T


def test_the_pictures_differ_enough_to_prove_anything(both):
    alike = cosines(both[2][0], both[2][0])
    assert alike[~np.eye(16, dtype=bool)].max() < 0.99


def test_vectors_are_the_modules_pooled_ones(both):
    _, (pooled, _), (theirs, _), (_, channels) = both
    assert pooled.shape == (16, channels)
    np.testing.assert_allclose(pooled, theirs, atol=1e-5 * np.abs(theirs).max())


def test_tokens_are_the_modules_last_hidden_state(both):
    predictor, (_, tokens), (_, theirs), shape = both
    assert (predictor.info.token_shape, predictor.info.dimension) == (shape, shape[1])
    assert tokens.shape == (16, *shape)
    np.testing.assert_allclose(tokens, theirs, atol=1e-5 * np.abs(theirs).max())
