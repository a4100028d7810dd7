"""Depth checkpoints with random weights, and the original modules of depth-anything-3 with the same ones.

The weights are loud enough that every part shows in the depth, and quiet enough that its exponential stays near 1.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file

from visioncli.models.depth_anything3.architecture import Architecture
from visioncli.models.depth_anything3.weights import NOT_NEEDED
from visioncli.provenance import Checkpoint
from visioncli.samples import Facts, ImageRef, Sample
from visioncli.tasks.depth import DepthMap, DepthOptions

TINY = Architecture(64, 6, 4, (2, 3, 4, 5), 16, (8, 16, 16, 24), 2, trained_size=70, process_size=84)
TINY_MONO = Architecture(64, 4, 4, (0, 1, 2, 3), 16, (8, 16, 16, 24), trained_size=70, process_size=84)
TINY_METRIC = Architecture(64, 4, 4, (0, 1, 2, 3), 16, (8, 16, 16, 24), metric=True, trained_size=70, process_size=84)

AT_MODEL = DepthOptions(size="model")


def loud(module: Any, seed: int = 0) -> Any:
    """Fill in place; the same names get the same numbers whatever else the module has."""
    with torch.no_grad():
        for name, weight in module.named_parameters():
            torch.manual_seed(seed + sum(name.encode()))
            _fill(name, weight)
    return module.eval()


def _fill(name: str, weight: torch.Tensor) -> None:
    if name.endswith(("gamma", "lambda1")):
        weight.uniform_(0.2, 0.6)
    elif "norm" in name:
        weight.normal_(0 if name.endswith("bias") else 1, 0.1)
    elif name.endswith(("token", "pos_embed", "position_embeddings")):
        weight.normal_(0, 0.5)
    elif weight.dim() == 1:
        weight.normal_(0.5 if any(part in name for part in ("fov", "output_conv2.2")) else 0, 0.1)
    else:
        quiet = any(part in name for part in ("output_conv2.2", "fc_"))
        weight.normal_(0, (0.2 if quiet else 1.2) * weight[0].numel() ** -0.5)


def original(name: str, **parts: Any) -> Any:
    """The module of depth-anything-3 for a published name, its head and backbone changed by `parts`."""
    from transformers.initialization import no_init_weights

    cfg, registry = upstream("cfg"), upstream("registry")
    config = cfg.load_config(registry.MODEL_REGISTRY[name])
    for part, changes in parts.items():
        config[part].update(changes)
    upstream("model.da3")  # create_object would import it with all its warnings
    with no_init_weights():
        return cfg.create_object(config)


def upstream(module: str) -> Any:
    """A module of depth-anything-3, which is installed without what it says that it needs: see the Makefile."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it scripts functions and registers resolvers in ways that are going
        return pytest.importorskip(f"depth_anything_3.{module}", reason="depth-anything-3 is not installed")


def needed(module: Any) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in module.state_dict().items() if not NOT_NEEDED.search(name)}


def save(directory: Path, config: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Checkpoint:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config))
    named = {f"model.{name}": tensor.contiguous().clone() for name, tensor in tensors.items()}
    save_file(named, directory / "model.safetensors", {"format": "pt"})
    return Checkpoint(directory.name, directory, "files:test")


def custom(directory: Path, *parts: Architecture) -> Checkpoint:
    """A checkpoint of sizes that were never published; two parts are a nested one."""
    from visioncli.models.depth_anything3.network import build

    blocks = [{key: getattr(part, key) for key in Architecture.__slots__} for part in parts]
    config = {"model_name": "da3-test", "visioncli": blocks[0] if len(blocks) == 1 else blocks}
    return save(directory, config, loud(build(parts)).state_dict())


def tiny(tmp_path_factory: Any) -> dict[str, Checkpoint]:
    """A small checkpoint of each kind."""
    parts = {"any_view": [TINY], "mono": [TINY_MONO], "metric": [TINY_METRIC], "nested": [TINY, TINY_METRIC]}
    return {kind: custom(tmp_path_factory.mktemp(kind), *sizes) for kind, sizes in parts.items()}


def v2(directory: Path, kind: str = "relative", side: int = 518, **small: Any) -> Checkpoint:
    """A Depth Anything V2 Small in transformers' layout; `small` shrinks its backbone."""
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config, DPTImageProcessorPil
    from transformers.initialization import no_init_weights

    sizes = {"hidden_size": 384, "num_attention_heads": 6, "image_size": side, **small}
    backbone = Dinov2Config(**sizes, out_indices=[9, 10, 11, 12], reshape_hidden_states=False, apply_layernorm=True)
    config = DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=backbone.hidden_size,
        depth_estimation_type=kind,
        max_depth=20 if kind == "metric" else 1,
    )
    with no_init_weights():
        model = DepthAnythingForDepthEstimation(config)
    loud(model)
    if kind == "relative":
        model.head.conv3.bias.data.fill_(14)  # as found: about half of a scene is then infinitely far
    model.save_pretrained(directory)
    values = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    size = {"size": {"height": side, "width": side}, "keep_aspect_ratio": True, "ensure_multiple_of": 14}
    DPTImageProcessorPil(**size, **values).save_pretrained(directory)
    return Checkpoint(directory.name, directory, "files:test")


def scene(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """(H, W, 3): large shapes and noise."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 4, 3), dtype=np.uint8))
    shapes = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    return np.clip(shapes + rng.integers(-30, 30, (height, width, 3)), 0, 255).astype(np.uint8)


def sample(image: NDArray[np.uint8], extra: dict[str, object] | None = None, exif: Any = None) -> Sample:
    return Sample(ImageRef(0, "0", None, extra or {}), Facts(size=image.shape[:2], exif=exif), image)


def answers(predictor: Any, samples: list[Sample], options: DepthOptions = AT_MODEL) -> list[DepthMap]:
    """One answer a sample; each shape's pictures in one forward."""
    inputs = [predictor.preprocess(each, options) for each in samples]
    keys = [predictor.batch_key(options, row) for row in inputs]
    found: dict[int, DepthMap] = {}
    for key in dict.fromkeys(keys):
        which = [i for i, each in enumerate(keys) if each == key]
        outputs = predictor.forward([inputs[i] for i in which], options)
        found |= dict(zip(which, predictor.postprocess(outputs, [samples[i] for i in which], options), strict=True))
    return [found[i] for i in range(len(samples))]
