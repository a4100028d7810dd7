"""SAM 3 checkpoints with random weights, and what transformers itself makes of them.

The weights are loud, so that different pictures and prompts get different scores, boxes and masks.
"""

from __future__ import annotations

import ast
import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import checkpoints
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from visioncli.provenance import Checkpoint

PROCESSOR = {  # the fields of facebook/sam3's image processor
    "do_convert_rgb": True, "do_normalize": True, "do_rescale": True, "do_resize": True,
    "image_mean": [0.5, 0.5, 0.5], "image_processor_type": "Sam3ImageProcessorFast", "image_std": [0.5, 0.5, 0.5],
    "resample": 2, "rescale_factor": 1 / 255,
}  # fmt: skip
NARROW = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64, "num_layers": 2}
SMALL: dict[str, Any] = {
    "vision_config": {
        "backbone_config": {
            "model_type": "sam3_vit_model", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
            "num_attention_heads": 4, "image_size": 64, "patch_size": 8, "pretrain_image_size": 32, "window_size": 4,
            "global_attn_indexes": [1],
        },
        "fpn_hidden_size": 32,
        "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
    },
    "text_config": {
        "model_type": "clip_text_model", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4, "max_position_embeddings": 16, "projection_dim": 32, "hidden_act": "gelu",
    },
    "geometry_encoder_config": {**NARROW, "num_layers": 1},
    "detr_encoder_config": NARROW,
    "detr_decoder_config": {**NARROW, "num_queries": 30},
    "mask_decoder_config": {"hidden_size": 32, "num_attention_heads": 4},
}  # fmt: skip
BACKBONE = {"model_type": "sam3_vit_model", "num_hidden_layers": 2, "global_attn_indexes": [1]}
SHALLOW: dict[str, Any] = {  # facebook/sam3 as it is, but for the layers
    "vision_config": {"backbone_config": BACKBONE},
    "text_config": {
        "model_type": "clip_text_model", "vocab_size": 49408, "hidden_size": 1024, "intermediate_size": 4096,
        "projection_dim": 512, "num_hidden_layers": 1, "num_attention_heads": 16, "max_position_embeddings": 32,
        "hidden_act": "gelu",
    },
    "geometry_encoder_config": {"num_layers": 1},
    "detr_encoder_config": {"num_layers": 1},
    "detr_decoder_config": {"num_layers": 2},
}  # fmt: skip


def sam3(directory: Path, config: dict[str, Any] = SMALL, loudness: float = 1) -> Checkpoint:
    """A whole checkpoint in the hub's layout; `config` is config.json's content, but for its `model_type`."""
    module = loud(config, loudness)
    module.save_pretrained(directory)
    side = module.config.image_size
    checkpoints.write_json(
        directory / "preprocessor_config.json", PROCESSOR | {"size": {"height": side, "width": side}}
    )
    checkpoints.clip_tokenizer(directory)
    return checkpoints.of(directory)


def loud(config: dict[str, Any], loudness: float = 1) -> Any:
    """The module that `config` describes, every weight drawn anew."""
    from transformers import Sam3Config, Sam3Model
    from transformers.initialization import no_init_weights

    torch.manual_seed(3)
    with no_init_weights():
        module = Sam3Model(Sam3Config(**config)).eval()
    with torch.no_grad():
        for name, weight in module.named_parameters():
            _fill(name, weight, loudness)
    return module


def _fill(name: str, weight: torch.Tensor, loudness: float) -> None:
    if weight.dim() == 1:
        weight.fill_(1) if "norm" in name and name.endswith("weight") else weight.normal_(0, 0.1)
    elif "embedding" in name or name.endswith(("_embed.weight", "_token.weight", "reference_points.weight")):
        weight.normal_(0, 1)
    else:
        weight.normal_(0, QUIETER.get(_kind(name), 1) * loudness * weight[0].numel() ** -0.5)
    if name.endswith("presence_head.layer3.bias"):
        weight.fill_(1)  # most prompts are there, each a little differently


QUIETER = {  # shares of the loudness, so that queries stay different and most prompts are there
    "decoder attention": 0.3,
    "presence": 0.3,
    "scores": 2,
}


def _kind(name: str) -> str:
    if "dot_product" in name:
        return "scores"
    if "presence_head.layer3" in name:
        return "presence"
    return "decoder attention" if "detr_decoder" in name and "o_proj" in name else ""


def as_video(checkpoint: Checkpoint, directory: Path) -> Checkpoint:
    """The same detector as a video model's part: how facebook/sam3 itself is stored."""
    checkpoints.clip_tokenizer(directory)
    detector = json.loads((checkpoint.directory / "config.json").read_text())
    processor = json.loads((checkpoint.directory / "preprocessor_config.json").read_text())
    checkpoints.write_json(directory / "config.json", {"model_type": "sam3_video", "detector_config": detector})
    checkpoints.write_json(directory / "processor_config.json", {"image_processor": processor})
    weights = load_file(checkpoint.directory / "model.safetensors")
    tracker = {"tracker_model.no_memory_embedding": torch.zeros(3), "tracker_neck.x": torch.zeros(3)}
    save_file(
        {f"detector_model.{name}": each for name, each in weights.items()} | tracker,
        directory / "model.safetensors",
        {"format": "pt"},
    )
    return checkpoints.of(directory)


def tokens(checkpoint: Checkpoint, prompts: Sequence[str]) -> Any:
    """transformers' own ids and mask for the prompts."""
    from transformers import CLIPTokenizer

    length = json.loads((checkpoint.directory / "config.json").read_text())["text_config"]["max_position_embeddings"]
    tokenizer = CLIPTokenizer.from_pretrained(checkpoint.directory, local_files_only=True)
    return tokenizer(list(prompts), padding="max_length", truncation=True, max_length=length, return_tensors="pt")


def answers(checkpoint: Checkpoint, levels: NDArray[np.uint8], prompts: Sequence[str]) -> list[Any]:
    """transformers' whole model, asked each prompt by itself of one picture (h, w, 3) of its own size."""
    from transformers import Sam3Model

    module = Sam3Model.from_pretrained(checkpoint.directory, local_files_only=True).eval()
    pixels = torch.tensor(levels).permute(2, 0, 1)[None] / 127.5 - 1  # protocols: rescale 1/255, mean and std 0.5
    with torch.inference_mode():
        return [module(pixel_values=pixels, **tokens(checkpoint, [prompt])) for prompt in prompts]


def instances(answer: Any, size: tuple[int, int], threshold: float, mask_threshold: float = 0.5) -> dict[str, Any]:
    """`scores`, `boxes` and `masks` of one picture, by transformers' own post-processing, as it stands in its source:
    its module cannot be imported without torchvision."""
    found = importlib.util.find_spec("transformers.models.sam3.image_processing_sam3")
    assert found is not None and found.origin is not None
    wanted = {"_scale_boxes", "post_process_instance_segmentation"}
    functions = [
        node
        for node in ast.walk(ast.parse(Path(found.origin).read_text()))
        if isinstance(node, ast.FunctionDef) and node.name in wanted
    ]
    namespace: dict[str, Any] = {"torch": torch}
    exec(compile(ast.Module(functions, []), found.origin, "exec"), namespace)
    (first,) = namespace["post_process_instance_segmentation"](None, answer, threshold, mask_threshold, [size])
    return {name: each.numpy() for name, each in first.items()}
