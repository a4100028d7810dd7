"""DINOv3 checkpoints in the hub's layout, with random loud weights, and the module that each was saved from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import checkpoints
import torch

# The sizes of facebook/dinov3-vits16-pretrain-lvd1689m; a ConvNeXt's defaults are those of convnext-tiny.
VITS16 = {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6, "num_register_tokens": 4}
SMALL_VIT = {
    **{"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4},
    **{"num_register_tokens": 2, "use_gated_mlp": True},  # gated, as vits16plus and vit7b16 are
}
SMALL_CONVNEXT = {"hidden_sizes": [16, 24, 32, 48], "depths": [1, 1, 2, 1]}
PROCESSOR = {  # what preprocessor_config.json says on the hub, without what is null there
    **{"image_processor_type": "DINOv3ViTImageProcessorFast", "do_resize": True, "do_rescale": True},
    **{"do_normalize": True, "resample": 2, "rescale_factor": 1 / 255, "data_format": "channels_first"},
    **{"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225], "crop_size": None},
}


def vit(directory: Path, size: tuple[int, int] = (224, 224), **config: Any) -> Any:
    """Save a DINOv3ViTModel that sees `size` (height, width); return it."""
    from transformers import DINOv3ViTConfig, DINOv3ViTModel

    return _saved(DINOv3ViTModel, DINOv3ViTConfig(**config), directory, size)


def convnext(directory: Path, size: tuple[int, int] = (224, 224), **config: Any) -> Any:
    """Save a DINOv3ConvNextModel that sees `size` (height, width); return it."""
    from transformers import DINOv3ConvNextConfig, DINOv3ConvNextModel

    return _saved(DINOv3ConvNextModel, DINOv3ConvNextConfig(**config), directory, size)


def _saved(architecture: Any, config: Any, directory: Path, size: tuple[int, int]) -> Any:
    from transformers.initialization import no_init_weights

    torch.manual_seed(16)
    with no_init_weights():
        module = architecture(config).eval()
    with torch.no_grad():
        for name, weight in module.named_parameters():
            _fill(name, weight)
    module.save_pretrained(directory)
    height, width = size
    processor = {**PROCESSOR, "size": {"height": height, "width": width}}
    checkpoints.write_json(directory / "preprocessor_config.json", processor)
    return module


def _fill(name: str, weight: torch.Tensor) -> None:
    """Loud, so that different pictures get different vectors, and no parameter left where another could stand in.

    Small biases and branches: a ConvNeXt averages over the picture, and what is the same for all would drown the rest.
    """
    if name.endswith("gamma"):
        weight.normal_(0.1, 0.02)
    elif weight.dim() == 1 and not name.endswith("bias"):  # norms and the transformer's layer scales
        weight.normal_(1, 0.2)
    elif weight.dim() > 1 and "token" not in name:
        weight.normal_(0, 1.2 * weight[0].numel() ** -0.5)
    else:
        weight.normal_(0, 0.5 if "token" in name else 0.02)
