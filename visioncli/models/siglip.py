"""SigLIP and SigLIP 2 at a fixed resolution (`model_type` siglip), through transformers' towers.

Sources: the model cards google/siglip-base-patch16-224 and google/siglip2-base-patch16-224; transformers 5.23,
models/siglip. Knows nothing of pixels or scores.
"""

from __future__ import annotations

from functools import partial
from math import exp
from typing import Any

from visioncli.models import Predictor
from visioncli.models.dual_encoder import DualEncoder, Tower, described, fitting, normaliser
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
        return module(pixel_values=normalise(pixels).to(module.dtype)).pooler_output

    def read(module: Any, ids: Any) -> Any:
        return module(input_ids=ids).pooler_output  # no attention mask: trained without one

    return DualEncoder(
        info=described(checkpoint, recipe, config.vision_config.hidden_size, runtime),
        recipe=recipe,
        image=Tower(
            partial(load_module, SiglipVisionModel, config.vision_config, checkpoint, device), see, device, dtype
        ),
        text=Tower(partial(load_module, SiglipTextModel, config.text_config, checkpoint, device), read, device, dtype),
        read_tokenizer=lambda: text_recipe(checkpoint, config.text_config.max_position_embeddings),
        scale=exp(read_number(checkpoint, files, "logit_scale")),
        bias=read_number(checkpoint, files, "logit_bias"),
    )
