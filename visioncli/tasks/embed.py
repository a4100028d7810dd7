"""Embeddings of pictures, of texts, or of both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from visioncli.errors import UsageError
from visioncli.provenance import ModelInfo
from visioncli.tasks import Task

STORES = {"float32": pa.float32(), "float16": pa.float16()}


@dataclass(frozen=True, slots=True)
class EmbedOptions:
    normalize: bool = True  # L2
    image: bool = True
    text_column: str | None = None  # key in ImageRef.extra; alone (image=False) its vector is `embedding`
    store: str = "float32"  # one of STORES

    def __post_init__(self) -> None:
        if self.store not in STORES:
            raise UsageError(f"unknown store {self.store!r}; known: {', '.join(STORES)}")
        if not self.image and self.text_column is None:
            raise UsageError("nothing to embed: neither images nor a text column")


@dataclass(frozen=True, slots=True)
class Embedded:
    embedding: NDArray[np.float32]  # (D,)
    text_embedding: NDArray[np.float32] | None = None  # (D,), of the text beside the picture


def _columns(options: EmbedOptions, info: ModelInfo) -> pa.Schema:
    vector = pa.list_(STORES[options.store], info.dimension)
    both = options.image and options.text_column is not None
    names = ["embedding", "text_embedding"] if both else ["embedding"]
    return pa.schema([(name, vector) for name in names])


def _to_row(result: Embedded, options: EmbedOptions) -> dict[str, Any]:
    row: dict[str, Any] = {"embedding": result.embedding}
    if options.image and options.text_column is not None:
        row["text_embedding"] = result.text_embedding
    return row


def _for_rows(options: EmbedOptions, has_images: bool) -> EmbedOptions:
    return replace(options, image=has_images)


def _reads(options: EmbedOptions) -> tuple[str, ...]:
    return () if options.text_column is None else (options.text_column,)


TASK: Task[EmbedOptions, Embedded] = Task("embed", EmbedOptions, _columns, _to_row, for_rows=_for_rows, reads=_reads)
