"""What an output says of itself, under the metadata key `visioncli`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from visioncli.provenance import ModelInfo


def provenance(key: Mapping[str, Any], info: ModelInfo) -> dict[str, Any]:
    """Return the JSON that Parquet files keep in their metadata and JSONL outputs in `<out>.meta.json`."""
    return {
        "tool": f"visioncli {version('visioncli')}",
        "task": key["answers"]["task"],
        "model": info.id,
        "commit": info.commit,
        "family": info.family,
        "embedding_space": info.embedding_space,
        "recipe": info.recipe,
        "parameters": key["answers"]["parameters"],
        "device": info.device,
        "dtype": info.dtype,
        "batch_size": info.batch_size,
        "choices": choices(info),
        "key": dict(key),
    }


def choices(info: ModelInfo) -> dict[str, dict[str, str]]:
    """Return each automatic choice with its reason, as JSON keeps it."""
    return {name: {"value": str(choice.value), "reason": choice.reason} for name, choice in info.choices.items()}
