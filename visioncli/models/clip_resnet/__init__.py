"""CLIP with a ResNet for pictures (RN50, RN101, RN50x4, x16, x64), in open_clip's layout.

Sources: the model cards timm/resnet50_clip.openai and timm/resnet50x4_clip.openai; open_clip 3.3. A checkpoint is
open_clip_config.json, open_clip_model.safetensors and CLIP's tokenizer. As with CLIP's other towers there is no trained
bias, so sigmoid scores are refused (see zero_shot). A picture's tokens are the mean of the last stage's cells, then the
cells row by row: what the attention pool reads, before its positions; not projected, not normed.

One deviation from open_clip: it repairs a text's encoding (ftfy) and unescapes its HTML first; here a text is taken as
it is written, as transformers' CLIP tokenizers take it. Knows nothing of pixels or scores.
"""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from functools import partial
from math import exp
from typing import Any

from visioncli.models import Predictor
from visioncli.models.clip_resnet.architecture import sizes_of
from visioncli.models.clip_resnet.pixels import recipe_of
from visioncli.models.clip_resnet.weights import IMAGE_PREFIX, SCALE, empty_towers, load_tower, refuse_other_names
from visioncli.models.dual_encoder import DualEncoder, Tower, described, normaliser
from visioncli.models.runtime import Runtime, for_pixels
from visioncli.models.text import TextRecipe, text_recipe
from visioncli.models.weights import read_json, read_number, tensor_files
from visioncli.models.zero_shot import predictor
from visioncli.provenance import OPEN_CLIP_CONFIG, Checkpoint


def load(checkpoint: Checkpoint, task: str, runtime: Runtime, need_image: bool, need_text: bool) -> Predictor[Any, Any]:
    """Return the predictor with the towers that are needed loaded; the other one waits for its first use.

    Raises ModelError.
    """
    return predictor(encoder(checkpoint, runtime), task, need_image, need_text)


def encoder(checkpoint: Checkpoint, runtime: Runtime) -> DualEncoder:
    """Return both towers, not loaded yet. Raises ModelError."""
    config = read_json(checkpoint, OPEN_CLIP_CONFIG)
    image_sizes, text_sizes = sizes_of(config)
    recipe = recipe_of(config, image_sizes.image_size)
    files = tensor_files(checkpoint)
    refuse_other_names(image_sizes, text_sizes, files, checkpoint)
    runtime = for_pixels(runtime, image_sizes.image_size**2)
    device, dtype = runtime.device.value, runtime.dtype.value
    normalise = normaliser(recipe, device)
    pictures, texts = empty_towers(image_sizes, text_sizes)

    def see(module: Any, pixels: Any) -> Any:
        return normalise(pixels).to(module.conv1.weight.dtype)

    image = Tower(
        partial(load_tower, pictures, IMAGE_PREFIX, files, checkpoint, device),
        lambda module, pixels: module(see(module, pixels)),
        device,
        dtype,
    )
    token_shape = 1 + image_sizes.side**2, image_sizes.channels
    return DualEncoder(
        info=described(checkpoint, recipe, image_sizes.dimension, runtime, token_shape),
        recipe=recipe,
        image=image,
        tokens=image.read_by(lambda module, pixels: module.tokens(see(module, pixels))),
        text=Tower(
            partial(load_tower, texts, "", files, checkpoint, device), lambda module, ids: module(ids), device, dtype
        ),
        read_tokenizer=lambda: tokenizer(checkpoint, text_sizes.length),
        scale=exp(read_number(checkpoint, files, SCALE)),
        bias=None,
    )


def tokenizer(checkpoint: Checkpoint, length: int) -> TextRecipe:
    """Return CLIP's way from a text to ids. Raises ModelError.

    A word's last sigma has a form of its own, which tokenizer.json's lower-casing, letter by letter, does not know.
    """
    return replace(text_recipe(checkpoint, length), clean=lambda text: unicodedata.normalize("NFC", text).lower())
