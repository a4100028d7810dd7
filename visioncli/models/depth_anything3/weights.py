"""The official checkpoints' weights, into the network that config.json describes. Knows nothing of pixels or tasks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from visioncli.errors import ModelError
from visioncli.models.depth_anything3.architecture import Architecture
from visioncli.models.weights import tensor_files
from visioncli.provenance import Checkpoint

PREFIX = "model."  # of every name in the official files
# Rays, cameras given by a user, Gaussian splats: official checkpoints have them, and depth needs none of them.
NOT_NEEDED = re.compile(r"_aux\.|(^|\.)(cam_enc|gs_head|gs_adapter)\.")


def load_network(parts: Sequence[Architecture], checkpoint: Checkpoint, device: str, dtype: str) -> Any:
    """Return the network on the device, its backbones' matrix products in `dtype`, all else in float32.

    Raises ModelError where tensors are missing, unknown or do not fit.
    """
    import torch

    from visioncli.models.depth_anything3.network import build

    files = {name.removeprefix(PREFIX): (path, name) for name, path in tensor_files(checkpoint).items()}
    with torch.device("meta"):
        network = build(parts)
    _refuse_other_names(set(network.state_dict()), set(files), checkpoint)
    try:
        network.load_state_dict(_read(files, network.state_dict()), assign=True)
    except RuntimeError as error:
        fault = str(error).strip().splitlines()[-1].strip()
        raise ModelError(f"the weights of {checkpoint.id} cannot be loaded: {fault}") from error
    _narrow(network, getattr(torch, dtype))
    return network.to(device).eval().requires_grad_(False)


def _refuse_other_names(needed: set[str], given: set[str], checkpoint: Checkpoint) -> None:
    if absent := sorted(needed - given):
        raise ModelError(f"the weights of {checkpoint.id} lack {len(absent)} tensors, {absent[0]} among them")
    if unknown := sorted(name for name in given - needed if not NOT_NEEDED.search(name)):
        raise ModelError(
            f"the weights of {checkpoint.id} hold {len(unknown)} tensors that its network has no place for, "
            f"{unknown[0]} among them"
        )


def _read(files: Mapping[str, tuple[Path, str]], needed: Mapping[str, Any]) -> dict[str, Any]:
    """Name in the network -> float32 tensor."""
    from safetensors import safe_open

    tensors = {}
    for path in {path for path, _ in files.values()}:
        with safe_open(path, "pt") as file:
            for name, (where, full) in files.items():
                if where == path and name in needed:
                    tensors[name] = file.get_tensor(full).float()
    return tensors


def _narrow(network: Any, dtype: Any) -> None:
    """Norms, positions and heads stay in float32, as under the autocast that the original runs in."""
    from torch import nn

    from visioncli.models.depth_anything3.backbone import Backbone

    for backbone in (part for part in network.modules() if isinstance(part, Backbone)):
        for layer in backbone.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                layer.to(dtype)
