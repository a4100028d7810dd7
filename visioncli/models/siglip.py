"""SigLIP and SigLIP 2 at a fixed resolution (`model_type` siglip), through transformers' towers.

Sources: the model cards google/siglip-base-patch16-224 and google/siglip2-base-patch16-224; transformers 5.23,
models/siglip. Knows nothing of pixels or scores.
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
    from transformers import SiglipConfig, SiglipTextModel, SiglipVisionModel

    config = parse_config(SiglipConfig, checkpoint)
    recipe = fitting(recipe_from(read_preprocessor(checkpoint), "siglip"), config.vision_config.image_size, checkpoint)
    files = tensor_files(checkpoint)
    device, dtype = runtime.device.value, runtime.dtype.value
    normalise = normaliser(recipe, device)

    def see(module: Any, pixels: Any) -> Any:
        return module(pixel_values=normalise(pixels).to(module.dtype))

    def read(module: Any, ids: Any) -> Any:
        return module(input_ids=ids).pooler_output  # no attention mask: trained without one

    vision = config.vision_config
    load_image = partial(load_module, SiglipVisionModel, vision, checkpoint, device)
    image = Tower(load_image, lambda module, pixels: see(module, pixels).pooler_output, device, dtype)
    token_shape = patches(recipe.size, vision.patch_size), vision.hidden_size
    return DualEncoder(
        info=described(checkpoint, recipe, vision.hidden_size, runtime, token_shape),
        recipe=recipe,
        image=image,
        tokens=image.read_by(lambda module, pixels: see(module, pixels).last_hidden_state),
        text=Tower(partial(load_module, SiglipTextModel, config.text_config, checkpoint, device), read, device, dtype),
        read_tokenizer=lambda: text_recipe(checkpoint, config.text_config.max_position_embeddings),
        scale=exp(read_number(checkpoint, files, "logit_scale")),
        bias=read_number(checkpoint, files, "logit_bias"),
    )
