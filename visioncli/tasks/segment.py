"""Instance masks for text prompts."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any

import pyarrow as pa

from visioncli.errors import UsageError
from visioncli.provenance import ModelInfo
from visioncli.tasks import Task, keep_several, pictures_needed
from visioncli.tasks.objects import OBJECT_FIELDS, Objects, object_rows, refuse_bad_prompts, refuse_no_share
from visioncli.wording import counted

RLE = pa.struct([("size", pa.list_(pa.int32())), ("counts", pa.string())])
RINGS = pa.list_(pa.list_(pa.float32()))  # each ring x0 y0 x1 y1 …, pixels of the upright original
MASKS = {  # how masks are stored -> the further field of an object
    "rle": ("mask", RLE),
    "polygons": ("polygons", RINGS),
    "png": ("mask_path", pa.string()),
}


@dataclass(frozen=True, slots=True)
class SegmentOptions:
    prompts: tuple[str, ...]
    threshold: float = 0.5  # of an object's score
    mask_threshold: float = 0.5  # of a pixel's probability
    resolve_overlaps: bool = False  # each pixel goes to the best-scoring object that covers it; see `priors`
    masks: str = "rle"  # one of MASKS
    priors: tuple[float, ...] | None = None  # of each prompt: where overlaps are resolved, the best score times prior

    def __post_init__(self) -> None:
        keep_several(self, "prompts")
        refuse_bad_prompts(self.prompts)
        refuse_no_share(self.threshold, "--threshold")
        refuse_no_share(self.mask_threshold, "--mask-threshold")
        if self.masks not in MASKS:
            raise UsageError(f"unknown masks {self.masks!r}; known: {', '.join(MASKS)}")
        if self.priors is not None:
            self._refuse_bad_priors(self.priors)

    def _refuse_bad_priors(self, priors: tuple[float, ...]) -> None:
        if not self.resolve_overlaps:
            raise UsageError("priors change nothing unless overlaps are resolved")
        if len(priors) != len(self.prompts):
            raise UsageError(f"{counted(len(priors), 'prior')} for {counted(len(self.prompts), 'prompt')}")
        if not all(isfinite(prior) and prior >= 0 for prior in priors):
            raise UsageError("a prior is a number from 0 on")


def _columns(options: SegmentOptions, info: ModelInfo) -> pa.Schema:
    return pa.schema([("objects", pa.list_(pa.struct([*OBJECT_FIELDS, MASKS[options.masks]])))])


def _to_row(result: Objects, options: SegmentOptions) -> dict[str, Any]:
    name = MASKS[options.masks][0]
    stored = {"mask": _rle, "polygons": _polygons, "mask_path": _paths}[name](result)
    return {"objects": [row | {name: value} for row, value in zip(object_rows(result), stored, strict=True)]}


def _rle(result: Objects) -> list[dict[str, Any]]:
    return [{"size": list(mask.size), "counts": mask.counts} for mask in result.masks or ()]


def _polygons(result: Objects) -> list[Any]:
    return list(result.polygons or ())


def _paths(result: Objects) -> list[str]:
    return list(result.mask_paths or ())


def _in_files(options: SegmentOptions) -> str | None:
    return "masks 'png'" if options.masks == "png" else None


TASK: Task[SegmentOptions, Objects] = Task(
    "segment",
    SegmentOptions,
    _columns,
    _to_row,
    for_rows=pictures_needed,
    reads=lambda options: (),
    in_files=_in_files,
)
