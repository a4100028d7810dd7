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
        "choices": {name: {"value": str(c.value), "reason": c.reason} for name, c in info.choices.items()},
        "key": dict(key),
    }
