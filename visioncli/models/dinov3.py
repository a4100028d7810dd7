"""DINOv3's picture towers (`model_type` dinov3_vit and dinov3_convnext), through transformers' modules.

Sources: the model cards facebook/dinov3-vits16-pretrain-lvd1689m and facebook/dinov3-convnext-tiny-pretrain-lvd1689m;
transformers 5.23, models/dinov3_vit and models/dinov3_convnext. A picture's vector is `pooler_output`, which for both
is the first token. The tokens of a vision transformer are the class token, the registers, then the patches row by row;
those of a ConvNeXt the pooled vector, then the last stage's cells row by row. Any size that preprocessor_config.json
names is seen: position is relative, and a rest that fills no patch is left out. Knows nothing of pixels or texts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from visioncli.errors import ModelError
from visioncli.models import Predictor
from visioncli.models.dual_encoder import ImageEncoder, Tower, described, normaliser, patches
from visioncli.models.preprocess import recipe_from
from visioncli.models.runtime import Runtime, for_pixels
from visioncli.models.weights import load_module, parse_config, read_json, read_preprocessor, tensor_files
from visioncli.models.zero_shot import EmbedPredictor
from visioncli.provenance import Checkpoint


def load(checkpoint: Checkpoint, task: str, runtime: Runtime, need_image: bool, need_text: bool) -> Predictor[Any, Any]:
    """Return the predictor for embed with the tower loaded. Raises ModelError."""
    found = encoder(checkpoint, runtime)
    found.ready(need_image, need_text)
    return EmbedPredictor(found)


def encoder(checkpoint: Checkpoint, runtime: Runtime) -> ImageEncoder:
    """Return the tower, not loaded yet. Raises ModelError."""
    tensor_files(checkpoint)  # refuses what is damaged, missing or a pickle, by name
    network = NETWORKS[read_json(checkpoint, "config.json")["model_type"]](checkpoint)
    recipe = recipe_from(read_preprocessor(checkpoint), "dinov3")
    count = patches(recipe.size, network.patch)
    if not count:
        height, width = recipe.size
        raise ModelError(f"{checkpoint.id} sees {height}x{width} pixels, less than one of its patches")
    runtime = for_pixels(runtime, recipe.size[0] * recipe.size[1])
    device, dtype = runtime.device.value, runtime.dtype.value
    normalise = normaliser(recipe, device)

    def see(module: Any, pixels: Any) -> Any:
        return module(pixel_values=normalise(pixels).to(module.dtype))

    load_image = partial(load_module, network.architecture, network.config, checkpoint, device)
    image = Tower(load_image, lambda module, pixels: see(module, pixels).pooler_output, device, dtype)
    return ImageEncoder(
        info=described(checkpoint, recipe, network.channels, runtime, (network.before + count, network.channels)),
        recipe=recipe,
        image=image,
        tokens=image.read_by(lambda module, pixels: see(module, pixels).last_hidden_state),
    )


@dataclass(frozen=True, slots=True)
class Network:
    """What transformers has under a `model_type`, and the shape of what it gives."""

    architecture: Any  # the module's class
    config: Any
    channels: int
    before: int  # tokens that stand before the patches
    patch: int | Sequence[int]  # pixels that a patch is wide and high


def _vit(checkpoint: Checkpoint) -> Network:
    from transformers import DINOv3ViTConfig, DINOv3ViTModel

    config = parse_config(DINOv3ViTConfig, checkpoint)
    return Network(DINOv3ViTModel, config, config.hidden_size, 1 + config.num_register_tokens, config.patch_size)


def _convnext(checkpoint: Checkpoint) -> Network:
    from transformers import DINOv3ConvNextConfig, DINOv3ConvNextModel

    config = parse_config(DINOv3ConvNextConfig, checkpoint)
    stride = 4 * 2 ** (config.num_stages - 1)  # of the stem, then of each further stage
    return Network(DINOv3ConvNextModel, config, config.hidden_sizes[-1], 1, stride)


NETWORKS: dict[str, Callable[[Checkpoint], Network]] = {"dinov3_vit": _vit, "dinov3_convnext": _convnext}
