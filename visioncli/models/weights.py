"""The files of a checkpoint, read from its directory alone: no network, no pickle, no remote code.

Knows nothing of families, devices or tasks.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from visioncli.errors import ModelError, first_line
from visioncli.provenance import OPEN_CLIP, OPEN_CLIP_CONFIG, PREPROCESSORS, Checkpoint, is_open_clip

ONE_FILE, SHARDS = "model.safetensors", "model.safetensors.index.json"
SAVERS = {ONE_FILE: "transformers: save_pretrained", OPEN_CLIP: "safetensors.torch: save_file"}


def read_json(checkpoint: Checkpoint, name: str, default: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the object in `name`; `default` where the file is absent. Raises ModelError without a default."""
    path = checkpoint.directory / name
    if default is not None and not path.is_file():
        return default
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{checkpoint.id} has no {name} in {checkpoint.directory}") from error
    except ValueError as error:
        raise ModelError(f"{name} of {checkpoint.id} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{name} of {checkpoint.id} is not a JSON object")
    return content


def _is_open_clip(checkpoint: Checkpoint) -> bool:
    names = (OPEN_CLIP_CONFIG, *PREPROCESSORS)
    return is_open_clip(name for name in names if (checkpoint.directory / name).is_file())


def read_config(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the file that says of which family a checkpoint is. Raises ModelError."""
    return read_json(checkpoint, OPEN_CLIP_CONFIG if _is_open_clip(checkpoint) else "config.json")


def read_preprocessor(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return preprocessor_config.json, or what newer versions of transformers write in its place."""
    if not (checkpoint.directory / "preprocessor_config.json").is_file():
        nested = read_json(checkpoint, "processor_config.json", {}).get("image_processor")
        if isinstance(nested, dict):
            return nested
    return read_json(checkpoint, "preprocessor_config.json")


def tensor_files(checkpoint: Checkpoint) -> dict[str, Path]:
    """Return the file of every tensor name, from headers alone.

    Raises ModelError where there are no safetensors, or damaged ones.
    """
    from safetensors import SafetensorError, safe_open

    found: dict[str, Path] = {}
    for path in _weight_files(checkpoint):
        try:
            with safe_open(path, "pt") as file:
                found |= dict.fromkeys(file.keys(), path)
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{path.name} of {checkpoint.id} is damaged: {error}") from error
    return found


def count_parameters(checkpoint: Checkpoint) -> int:
    """Return how many numbers the checkpoint's tensors hold, from headers alone. Raises ModelError."""
    from safetensors import safe_open

    count = 0
    for path in set(tensor_files(checkpoint).values()):
        with safe_open(path, "pt") as file:
            count += sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    return count


def read_number(checkpoint: Checkpoint, files: dict[str, Path], name: str) -> float:
    """Return a tensor of one element."""
    from safetensors import safe_open

    if name not in files:
        raise ModelError(f"the weights of {checkpoint.id} lack {name}")
    with safe_open(files[name], "pt") as file:
        return float(file.get_tensor(name).float().item())


def parse_config(kind: Any, checkpoint: Checkpoint) -> Any:
    """Return config.json as transformers' configuration class `kind`. Raises ModelError."""
    content = read_json(checkpoint, "config.json")
    try:
        with _quiet():
            return kind.from_dict(content)
    except (TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"config.json of {checkpoint.id} is not understood: {first_line(error)}") from error


def load_module(architecture: Any, config: Any, checkpoint: Checkpoint, device: str, dtype: str) -> Any:
    """Return the transformers module with its weights, and no others, on the device.

    Raises ModelError where weights are missing or do not fit.
    """
    import torch
    from safetensors import SafetensorError

    try:
        with _quiet():
            module, report = architecture.from_pretrained(
                checkpoint.directory,
                config=config,
                dtype=getattr(torch, dtype),
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
            )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"the weights of {checkpoint.id} cannot be loaded: {first_line(error)}") from error
    if absent := sorted(report["missing_keys"]):
        raise ModelError(f"the weights of {checkpoint.id} lack {len(absent)} tensors, {absent[0]} among them")
    return module.to(device).eval().requires_grad_(False)


def _weight_files(checkpoint: Checkpoint) -> list[Path]:
    directory, whole = checkpoint.directory, OPEN_CLIP if _is_open_clip(checkpoint) else ONE_FILE
    if (directory / whole).is_file():
        return [directory / whole]
    if whole == ONE_FILE and (directory / SHARDS).is_file():
        names = sorted(set(read_json(checkpoint, SHARDS).get("weight_map", {}).values()))
        return [directory / Path(name).name for name in names]
    if any(directory.glob("*.bin")) or any(directory.glob("*.pt")) or any(directory.glob("*.pth")):
        raise ModelError(
            f"{checkpoint.id} has its weights as a pickle only, which can run code when it is read; "
            f"save it as {whole} ({SAVERS[whole]})"
        )
    raise ModelError(f"{checkpoint.id} has no {whole} in {directory}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence transformers' report of the other tower's weights and its progress bar, and put back what was set."""
    import transformers.utils.logging as untyped

    logging: Any = untyped
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
