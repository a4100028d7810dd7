"""Texts whose vectors were computed elsewhere, in the JSON of Hailo's CLIP application.

    {"text_prefix": "A photo of a ", "entries": [{"text": "cat", "embedding": [...], "ensemble": false}, ...]}

An entry answers for its `text`, and unless it is an ensemble's mean for the prefix and its text together. `threshold`
and `negative` belong to that application's own scoring and are not read. Knows nothing of towers or tables.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visioncli.errors import ModelError, PredictError, UsageError
from visioncli.wording import counted


class Precomputed:
    """A tokenizer whose ids are places in the file, and the tower behind it."""

    def __init__(self, path: Path, dimension: int) -> None:
        self._path = path
        content = _content(path)
        prefix = str(content.get("text_prefix") or "")
        self._places: dict[str, int] = {}
        self._vectors = np.stack([_vector(path, entry, dimension) for entry in content["entries"]])
        for place, entry in enumerate(content["entries"]):
            self._places.setdefault(entry["text"], place)
            if not entry.get("ensemble"):
                self._places.setdefault(prefix + entry["text"], place)

    def ids(self, text: str) -> NDArray[np.int64]:
        """(1,), the text's place. Raises PredictError("text_unknown")."""
        if text not in self._places:
            raise PredictError("text_unknown", self._lack([text]))
        return np.array([self._places[text]], np.int64)

    def refuse_unknown(self, texts: Iterable[str]) -> None:
        """Raise UsageError that names the texts which are not in the file."""
        unknown = [text for text in texts if text not in self._places]
        if unknown:
            raise UsageError(self._lack(unknown))

    def ready(self) -> None:
        """Everything was read already."""

    def vectors(self, rows: Sequence[NDArray[np.int64]]) -> list[NDArray[np.float32] | PredictError]:
        return [self._vectors[row[0]] for row in rows]

    def _lack(self, texts: Sequence[str]) -> str:
        shown = ", ".join(map(repr, texts[:3])) + (" and others" if len(texts) > 3 else "")
        return f"{self._path.name} has no embedding of {shown}; it has {counted(len(self._places), 'text')}"


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--text-embeddings: {path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--text-embeddings: {path} is not JSON: {error}") from error
    entries = content.get("entries") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries or not all(_is_entry(entry) for entry in entries):
        raise UsageError(f'--text-embeddings: {path} has no "entries" with a "text" and an "embedding" each')
    found: dict[str, Any] = content
    return found


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("text"), str) and isinstance(entry.get("embedding"), list)


def _vector(path: Path, entry: dict[str, Any], dimension: int) -> NDArray[np.float32]:
    try:
        with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, and is refused below
            vector = np.array(entry["embedding"], np.float32)
    except (TypeError, ValueError, OverflowError):
        vector = np.zeros(0, np.float32)
    if vector.shape != (dimension,) or not np.isfinite(vector).all():
        raise ModelError(
            f"{path.name}: the embedding of {entry['text']!r} is not {dimension} numbers, as the model's are"
        )
    return vector
