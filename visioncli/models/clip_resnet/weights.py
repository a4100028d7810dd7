"""open_clip's state dict, into the tower that is needed. Knows nothing of pixels, tokens or tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from visioncli.errors import ModelError
from visioncli.models.clip_resnet.architecture import ImageSizes, TextSizes
from visioncli.provenance import Checkpoint

IMAGE_PREFIX = "visual."  # of every name of the image tower; the text tower's have none
SCALE = "logit_scale"
NOT_NEEDED = {"input_resolution", "context_length", "vocab_size"}  # numbers that OpenAI's own archives carry along


def empty_towers(image: ImageSizes, text: TextSizes) -> tuple[Any, Any]:
    """Return both towers without any memory behind their weights."""
    import torch

    from visioncli.models.clip_resnet.network import ImageTower, TextTower

    with torch.device("meta"):
        return ImageTower(image), TextTower(text)


def refuse_other_names(image: ImageSizes, text: TextSizes, given: Iterable[str], checkpoint: Checkpoint) -> None:
    """Raise ModelError unless the file's names are exactly those of both towers and the scale."""
    pictures, texts = empty_towers(image, text)
    needed = {SCALE, *texts.state_dict(), *(f"{IMAGE_PREFIX}{name}" for name in pictures.state_dict())}
    if absent := sorted(needed - set(given)):
        raise ModelError(f"the weights of {checkpoint.id} lack {len(absent)} tensors, {absent[0]} among them")
    if unknown := sorted(set(given) - needed - NOT_NEEDED):
        raise ModelError(
            f"the weights of {checkpoint.id} hold {len(unknown)} tensors that its network has no place for, "
            f"{unknown[0]} among them"
        )


def load_tower(
    tower: Any, prefix: str, files: Mapping[str, Path], checkpoint: Checkpoint, device: str, dtype: str
) -> Any:
    """Return a copy of the empty `tower` on the device, its weights in `dtype` whatever they are stored in.

    Raises ModelError where they do not fit.
    """
    import copy

    import torch

    loaded = copy.deepcopy(tower)
    wanted = {name: f"{prefix}{name}" for name in loaded.state_dict()}
    try:
        loaded.load_state_dict(_read(wanted, files, getattr(torch, dtype)), assign=True)
    except RuntimeError as error:
        fault = str(error).strip().splitlines()[-1].strip()
        raise ModelError(f"the weights of {checkpoint.id} cannot be loaded: {fault}") from error
    # Pixels lie channel by channel at the end, as they come: convolutions on a CPU take two thirds of the time so.
    return loaded.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)


def _read(wanted: Mapping[str, str], files: Mapping[str, Path], dtype: Any) -> dict[str, Any]:
    """Name in the tower -> tensor; counters of batches stay whole numbers."""
    from safetensors import safe_open

    tensors = {}
    for path in {files[full] for full in wanted.values()}:
        with safe_open(path, "pt") as file:
            for name, full in wanted.items():
                if files[full] == path:
                    tensor = file.get_tensor(full)
                    tensors[name] = tensor.to(dtype) if tensor.is_floating_point() else tensor
    return tensors
