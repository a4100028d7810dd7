"""CLIP with a vision transformer (`model_type` clip), through transformers' towers.

Sources: the model card openai/clip-vit-base-patch32; transformers 5.23, models/clip. Logits have a scale and no bias:
CLIP was trained with softmax, so sigmoid scores are refused (see zero_shot). Knows nothing of pixels or scores.
"""

from __future__ import annotations

from functools import partial
from math import exp
from typing import Any

from visioncli.models import Predictor
from visioncli.models.dual_encoder import DualEncoder, Tower, described, fitting, normaliser, patches
from visioncli.models.preprocess import recipe_from
from visioncli.models.runtime import Runtime
from visioncli.models.text import text_recipe
from visioncli.models.weights import load_module, parse_config, read_number, read_preprocessor, tensor_files
from visioncli.models.zero_shot import predictor
from visioncli.provenance import Checkpoint


def load(checkpoint: Checkpoint, task: str, runtime: Runtime, need_image: bool, need_text: bool) -> Predictor[Any, Any]:
    """Return the predictor with the towers that are needed loaded; the other one waits for its first use.

    Raises ModelError.
    """
    return predictor(encoder(checkpoint, runtime), task, need_image, need_text)


def encoder(checkpoint: Checkpoint, runtime: Runtime) -> DualEncoder:
    """Return both towers, not loaded yet. Raises ModelError."""
    from transformers import CLIPConfig, CLIPTextModelWithProjection, CLIPVisionModelWithProjection

    config = parse_config(CLIPConfig, checkpoint)
    # The projection's width stands on the whole config; the towers' own copies of it may be a default.
    config.vision_config.projection_dim = config.text_config.projection_dim = config.projection_dim
    recipe = fitting(recipe_from(read_preprocessor(checkpoint), "clip"), config.vision_config.image_size, checkpoint)
    files = tensor_files(checkpoint)
    device, dtype = runtime.device.value, runtime.dtype.value
    normalise = normaliser(recipe, device)

    def see(module: Any, pixels: Any) -> Any:
        return module(pixel_values=normalise(pixels).to(module.dtype))

    def read(module: Any, ids: Any) -> Any:
        return module(input_ids=ids).text_embeds  # the first end mark's position; what is right of it is not seen

    vision, architectures = config.vision_config, (CLIPVisionModelWithProjection, CLIPTextModelWithProjection)
    pairs = zip(architectures, (vision, config.text_config), strict=True)
    load_image, load_text = (partial(load_module, *pair, checkpoint, device) for pair in pairs)
    image = Tower(load_image, lambda module, pixels: see(module, pixels).image_embeds, device, dtype)
    token_shape = 1 + patches(recipe.size, vision.patch_size), vision.hidden_size
    return DualEncoder(
        info=described(checkpoint, recipe, config.projection_dim, runtime, token_shape),
        recipe=recipe,
        image=image,
        tokens=image.read_by(lambda module, pixels: see(module, pixels).last_hidden_state),  # not projected, not normed
        text=Tower(load_text, read, device, dtype),
        read_tokenizer=lambda: text_recipe(checkpoint, config.text_config.max_position_embeddings),
        scale=exp(read_number(checkpoint, files, "logit_scale")),
        bias=None,
    )
