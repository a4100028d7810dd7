"""Embeddings of pictures, of texts, or of both; or a picture's features token by token."""

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
SIDE_FILES = "npz"  # a further store, of tokens alone: one file a picture, its path in the table
FEATURES = {  # what may be asked of a picture -> how it may be stored
    "pooled": (*STORES,),  # one vector
    "tokens": (*STORES, SIDE_FILES),  # the model's last hidden state, as it is: never normalised
}


@dataclass(frozen=True, slots=True)
class EmbedOptions:
    normalize: bool = True  # L2; of the pooled vector alone
    image: bool = True
    text_column: str | None = None  # key in ImageRef.extra; alone (image=False) its vector is `embedding`
    store: str = "float32"  # one of FEATURES[features]
    features: str = "pooled"  # one of FEATURES

    def __post_init__(self) -> None:
        if self.features not in FEATURES:
            raise UsageError(f"unknown features {self.features!r}; known: {', '.join(FEATURES)}")
        if self.store not in FEATURES[self.features]:
            known = ", ".join(FEATURES[self.features])
            raise UsageError(f"unknown store {self.store!r} for {self.features} features; known: {known}")
        if not self.image and self.text_column is None:
            raise UsageError("nothing to embed: neither images nor a text column")
        if self.features == "tokens":
            self._refuse_what_tokens_have_not()

    def _refuse_what_tokens_have_not(self) -> None:
        if self.text_column is not None:
            raise UsageError("--features tokens is of pictures alone; ask for text vectors in a run of their own")
        if not self.normalize:
            raise UsageError("--features tokens is never normalised; leave --no-normalize out")


@dataclass(frozen=True, slots=True)
class Embedded:
    embedding: NDArray[np.float32] | None  # (D,), of the picture or of a text alone; None where tokens were asked for
    text_embedding: NDArray[np.float32] | None = None  # (D,), of the text beside the picture
    tokens: NDArray[np.float32] | None = None  # (T, C), in the model's order: class and registers first, then rows
    tokens_path: str | None = None  # where they were written as a file, and let go

    @property
    def nbytes(self) -> int:
        """What it holds, so that what waits can be bounded."""
        return 256 + sum(part.nbytes for part in (self.embedding, self.text_embedding, self.tokens) if part is not None)


def _columns(options: EmbedOptions, info: ModelInfo) -> pa.Schema:
    if options.features == "tokens":
        return pa.schema([_token_field(options, info)])
    vector = pa.list_(STORES[options.store], info.dimension)
    both = options.image and options.text_column is not None
    names = ["embedding", "text_embedding"] if both else ["embedding"]
    return pa.schema([(name, vector) for name in names])


def _token_field(options: EmbedOptions, info: ModelInfo) -> pa.Field:
    if options.store == SIDE_FILES:
        return pa.field("tokens_path", pa.string())
    if info.token_shape is None:
        raise UsageError(f"{info.id} has no token features")
    return pa.field("tokens", pa.fixed_shape_tensor(STORES[options.store], info.token_shape))


def _to_row(result: Embedded, options: EmbedOptions) -> dict[str, Any]:
    if options.features == "tokens":
        return {"tokens_path": result.tokens_path} if options.store == SIDE_FILES else {"tokens": result.tokens}
    row: dict[str, Any] = {"embedding": result.embedding}
    if options.image and options.text_column is not None:
        row["text_embedding"] = result.text_embedding
    return row


def _for_rows(options: EmbedOptions, has_images: bool) -> EmbedOptions:
    return replace(options, image=has_images)


def _reads(options: EmbedOptions) -> tuple[str, ...]:
    return () if options.text_column is None else (options.text_column,)


def _in_files(options: EmbedOptions) -> str | None:
    return f"store {SIDE_FILES!r}" if options.store == SIDE_FILES else None


def _kind(options: EmbedOptions) -> str:
    return "features" if options.features == "tokens" else "embed"


TASK: Task[EmbedOptions, Embedded] = Task(
    "embed", EmbedOptions, _columns, _to_row, for_rows=_for_rows, reads=_reads, kind=_kind, in_files=_in_files
)
