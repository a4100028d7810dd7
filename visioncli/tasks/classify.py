"""Zero-shot classification: every picture against a list of labels."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from visioncli.errors import UsageError
from visioncli.provenance import ModelInfo
from visioncli.tasks import Task, keep_several, pictures_needed

SCORINGS = ("softmax", "sigmoid", "cosine")


@dataclass(frozen=True, slots=True)
class ClassifyOptions:
    labels: tuple[str, ...]
    templates: tuple[str, ...] = ("{}",)  # several are ensembled: mean of the unit vectors, made unit again
    scoring: str = "softmax"  # one of SCORINGS
    top_k: int | None = None  # None: all labels

    def __post_init__(self) -> None:
        keep_several(self, "labels", "templates")
        if not self.labels:
            raise UsageError("at least one label is needed")
        repeated = sorted(label for label, count in Counter(self.labels).items() if count > 1)
        if repeated:
            raise UsageError("the labels repeat: " + ", ".join(repeated))
        if self.scoring not in SCORINGS:
            raise UsageError(f"unknown scoring {self.scoring!r}; known: {', '.join(SCORINGS)}")
        if self.top_k is not None and self.top_k < 1:
            raise UsageError("top-k must be at least 1")
        for template in self.templates:
            if "{}" not in template:
                raise UsageError(f"the template {template!r} has no {{}} for the label")


@dataclass(frozen=True, slots=True)
class Labelled:
    """One picture's scores, best first."""

    labels: tuple[str, ...]
    scores: NDArray[np.float32]  # (K,), in the options' scoring
    logits: NDArray[np.float32]  # (K,), cosine times the model's scale, plus its bias

    @property
    def nbytes(self) -> int:
        """About what it holds, so that what waits can be bounded; the labels' texts are the options'."""
        return 256 + 8 * len(self.labels) + self.scores.nbytes + self.logits.nbytes


def _columns(options: ClassifyOptions, info: ModelInfo) -> pa.Schema:
    return pa.schema(
        [
            ("label", pa.string()),
            ("score", pa.float32()),
            ("labels", pa.list_(pa.string())),
            ("scores", pa.list_(pa.float32())),
            ("logits", pa.list_(pa.float32())),
        ]
    )


def _to_row(result: Labelled, options: ClassifyOptions) -> dict[str, Any]:
    return {
        "label": result.labels[0],
        "score": result.scores[0],
        "labels": result.labels,
        "scores": result.scores,
        "logits": result.logits,
    }


TASK: Task[ClassifyOptions, Labelled] = Task(
    "classify", ClassifyOptions, _columns, _to_row, for_rows=pictures_needed, reads=lambda options: ()
)
