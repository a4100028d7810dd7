"""What detect and segment find: labelled boxes, with or without masks. Knows nothing of models or files."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from visioncli.errors import UsageError

OBJECT_FIELDS: list[tuple[str, pa.DataType]] = [
    ("label", pa.string()),
    ("score", pa.float32()),
    ("x0", pa.float32()),
    ("y0", pa.float32()),
    ("x1", pa.float32()),
    ("y1", pa.float32()),
    ("phrase", pa.string()),
]


Rings: TypeAlias = list[list[float]]  # each x0 y0 x1 y1 …, pixels of the upright original


@dataclass(frozen=True, slots=True)
class Rle:
    """A mask as COCO's compressed run-length encoding, which pycocotools decodes."""

    size: tuple[int, int]  # height, width: those of the upright original
    counts: str


@dataclass(frozen=True, slots=True)
class Objects:
    """What was found in one picture, best score first; equal scores in the model's order."""

    labels: tuple[str, ...]  # (N,), each one of the prompts
    scores: NDArray[np.float32]  # (N,)
    boxes: NDArray[np.float32]  # (N, 4) x0 y0 x1 y1, pixels of the upright original
    phrases: tuple[str, ...]  # (N,), the model's own words for it; the prompt where it has none
    masks: tuple[Rle, ...] | None = None  # (N,), of the upright original
    polygons: tuple[Rings, ...] | None = None  # (N,), where the masks were asked for as outlines
    mask_paths: tuple[str, ...] | None = None  # (N,), where they were written as files
    overlay_path: str | None = None  # where the picture was drawn with all of these

    @property
    def nbytes(self) -> int:
        """About what it holds, so that what waits can be bounded."""
        corners = sum(len(ring) for rings in self.polygons or () for ring in rings)
        return 256 * (1 + len(self.labels)) + sum(len(mask.counts) for mask in self.masks or ()) + 32 * corners


def object_rows(found: Objects) -> list[dict[str, Any]]:
    """One dict of OBJECT_FIELDS per object."""
    names = [name for name, _ in OBJECT_FIELDS]
    columns = (found.labels, found.scores.tolist(), *found.boxes.T.tolist(), found.phrases)
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def refuse_bad_prompts(prompts: tuple[str, ...]) -> None:
    """Raise UsageError for no prompts, an empty one or one that repeats (upper and lower case are the same)."""
    if not prompts:
        raise UsageError("at least one prompt is needed")
    folded = [" ".join(prompt.lower().split()) for prompt in prompts]
    if "" in folded:
        raise UsageError("a prompt is empty")
    repeated = sorted(prompt for prompt, count in Counter(folded).items() if count > 1)
    if repeated:
        raise UsageError("the prompts repeat: " + ", ".join(repeated))


def refuse_no_share(value: float, name: str) -> None:
    """Raise UsageError for a threshold outside 0 to 1."""
    if not 0 <= value <= 1:
        raise UsageError(f"{name} must be between 0 and 1, not {value:g}")
