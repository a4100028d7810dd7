"""CLIPs with a ResNet in open_clip's layout, with random weights, and open_clip's own modules with the same ones.

The weights are loud, so that different pictures and texts get different vectors: as initialised, blocks do nothing.
"""

from __future__ import annotations

import gzip
import importlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.models import checkpoints
from visioncli.provenance import Checkpoint

PREPROCESS = {
    "mean": [0.48145466, 0.4578275, 0.40821073],
    "std": [0.26862954, 0.26130258, 0.27577711],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12}


def config(dimension: int, blocks: list[int], channels: int, image_size: int, **text: Any) -> dict[str, Any]:
    """open_clip_config.json as timm's repositories have it."""
    vision = {"image_size": image_size, "layers": blocks, "width": channels, "patch_size": None}
    model = {"embed_dim": dimension, "vision_cfg": vision, "text_cfg": TEXT | text, "quick_gelu": True}
    return {"model_cfg": model, "preprocess_cfg": PREPROCESS}


CONFIGS = {
    "RN50": config(1024, [3, 4, 6, 3], 64, 224),
    "RN101": config(512, [3, 4, 23, 3], 64, 224),
    "RN50x4": config(640, [4, 6, 10, 6], 80, 288, width=640, heads=10),
    "RN50x16": config(768, [6, 8, 18, 8], 96, 384, width=768, heads=12),
    "RN50x64": config(1024, [3, 15, 36, 10], 128, 448, width=1024, heads=16),
    "small": config(48, [2, 1, 1, 1], 16, 96, width=64, heads=4, layers=2),
}


def clip_resnet(directory: Path, name: str, half: bool = False) -> Checkpoint:
    """A checkpoint of CONFIGS from our own towers, beside timm's image tower, whose files nothing may read."""
    from visioncli.models.clip_resnet.architecture import sizes_of
    from visioncli.models.clip_resnet.network import ImageTower, TextTower

    image, text = sizes_of(CONFIGS[name])
    with torch.device("meta"):
        towers = ImageTower(image), TextTower(text)
    pictures, texts = (loud(tower.to_empty(device="cpu")).state_dict() for tower in towers)
    tensors = {f"visual.{key}": tensor for key, tensor in pictures.items()} | texts
    tensors["logit_scale"] = torch.tensor(100.0).log()
    return save(directory, CONFIGS[name], tensors, half)


def save(directory: Path, file: dict[str, Any], tensors: dict[str, torch.Tensor], half: bool = False) -> Checkpoint:
    checkpoints.clip_tokenizer(directory)
    checkpoints.write_json(directory / "open_clip_config.json", file)
    checkpoints.write_json(directory / "config.json", {"architecture": "resnet50x4_clip", "num_classes": 640})
    narrowed = {key: t.half() if half and t.is_floating_point() else t for key, t in tensors.items()}
    save_file(
        {key: t.contiguous() for key, t in narrowed.items()},
        directory / "open_clip_model.safetensors",
        {"format": "pt"},
    )
    save_file({"conv1.weight": torch.zeros(3)}, directory / "model.safetensors", {"format": "pt"})
    return checkpoints.of(directory)


def loud(module: Any) -> Any:
    """Fill in place; the same names get the same numbers whatever else the module has."""
    with torch.no_grad():
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            torch.manual_seed(sum(name.removeprefix("visual.").encode()))
            _fill(name, tensor)
    return module.eval()


def _fill(name: str, tensor: torch.Tensor) -> None:
    if name == "attn_mask":
        return
    if name.endswith("num_batches_tracked"):
        tensor.fill_(1000)
    elif name.endswith("running_var"):
        tensor.uniform_(0.5, 1.5)
    elif tensor.dim() == 1 and name.endswith("weight"):  # of a norm; those that end a block are quieter
        tensor.uniform_(0.2, 0.5) if "bn3" in name else tensor.uniform_(0.7, 1.3)
    elif tensor.dim() == 1 or "embedding" in name:
        tensor.normal_(0, 0.1)
    elif tensor.dim():
        fan = tensor.shape[0] if name == "text_projection" else tensor[0].numel()
        tensor.normal_(0, (2 / fan) ** 0.5)


def openai_tokenizer(directory: Path) -> None:
    """tokenizer.json of the published vocabulary, which open_clip brings along."""
    from transformers import CLIPTokenizer

    byte_letters = list(upstream("tokenizer").bytes_to_unicode().values())
    lines = gzip.decompress((package() / "bpe_simple_vocab_16e6.txt.gz").read_bytes()).decode().split("\n")
    merges = [tuple(line.split()) for line in lines[1 : 49152 - 256 - 2 + 1]]
    pieces = [*byte_letters, *(f"{letter}</w>" for letter in byte_letters), *map("".join, merges)]
    ids = {piece: number for number, piece in enumerate([*pieces, "<|startoftext|>", "<|endoftext|>"])}
    CLIPTokenizer(ids, merges, model_max_length=77).save_pretrained(directory)


def original(file: dict[str, Any]) -> Any:
    """open_clip's whole CLIP of a configuration, loud."""
    model = loud(upstream("model").CLIP(**file["model_cfg"]))
    model.logit_scale.data.fill_(4.6052)
    return model


def halved(model: Any) -> Any:
    """Round all weights in place to what fits into half the bytes."""
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.copy_(tensor.half() if tensor.is_floating_point() else tensor)
    return model


def upstream(module: str) -> Any:
    """A module of open_clip, which is installed without what it says that it needs: see the Makefile."""
    package()
    with _bare():
        return importlib.import_module(f"open_clip.{module}")


def package() -> Path:
    spec = importlib.util.find_spec("open_clip")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("open_clip_torch is not installed")
    return Path(spec.submodule_search_locations[0])


@contextmanager
def _bare() -> Iterator[None]:
    """Let modules of open_clip import one another without torchvision, timm and the package's own beginning."""
    bare, torchvision = ModuleType("open_clip"), ModuleType("torchvision.ops.misc")
    bare.__path__ = [str(package())]
    torchvision.FrozenBatchNorm2d = object  # type: ignore[attr-defined]
    foreign = {"hf_model": "HFTextEncoder", "timm_model": "TimmModel"}
    stubs = {"open_clip": bare, "torchvision.ops.misc": torchvision}
    stubs |= {name: ModuleType(name) for name in ("torchvision", "torchvision.ops")}
    for name, attribute in foreign.items():
        stubs[f"open_clip.{name}"] = ModuleType(f"open_clip.{name}")
        setattr(stubs[f"open_clip.{name}"], attribute, None)
    before = {name: found for name, found in sys.modules.items() if _is_stubbed(name)}
    sys.modules.update(stubs)
    try:
        yield
    finally:
        for name in [name for name in sys.modules if _is_stubbed(name)]:
            del sys.modules[name]
        sys.modules.update(before)


def _is_stubbed(name: str) -> bool:
    return name.partition(".")[0] in ("open_clip", "torchvision")
