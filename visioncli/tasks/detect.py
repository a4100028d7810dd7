"""Boxes for text prompts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from visioncli.provenance import ModelInfo
from visioncli.tasks import Task, keep_several, pictures_needed
from visioncli.tasks.objects import OBJECT_FIELDS, Objects, object_rows, refuse_bad_prompts, refuse_no_share


@dataclass(frozen=True, slots=True)
class DetectOptions:
    prompts: tuple[str, ...]
    box_threshold: float = 0.4  # of an object's best token
    text_threshold: float = 0.3  # of a token that belongs to the phrase
    nms: float | None = None  # intersection over union above which the lesser box of one label goes; None: all stay

    def __post_init__(self) -> None:
        keep_several(self, "prompts")
        refuse_bad_prompts(self.prompts)
        refuse_no_share(self.box_threshold, "--box-threshold")
        refuse_no_share(self.text_threshold, "--text-threshold")
        if self.nms is not None:
            refuse_no_share(self.nms, "--nms")


def _columns(options: DetectOptions, info: ModelInfo) -> pa.Schema:
    return pa.schema([("objects", pa.list_(pa.struct(OBJECT_FIELDS)))])


def _to_row(result: Objects, options: DetectOptions) -> dict[str, Any]:
    return {"objects": object_rows(result)}


TASK: Task[DetectOptions, Objects] = Task(
    "detect", DetectOptions, _columns, _to_row, for_rows=pictures_needed, reads=lambda options: ()
)
