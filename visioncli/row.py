"""One reference on its way through the flow. Knows nothing of what is done to it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from visioncli.io.fetch import Fetched, Unchanged
from visioncli.samples import Answer, Facts, Failure, ImageRef, Kept, Sample

Outcome: TypeAlias = Answer[Any] | Failure | Kept
Place: TypeAlias = Literal["network", "here", "twin", "ready", "device", "done"]


@dataclass(slots=True, eq=False)
class Row:
    """`network`: its bytes are on their way; `here`: queued or with a worker; `twin`: an equal one is."""

    number: int  # order of admission, from 0
    ref: ImageRef
    is_remote: bool
    place: Place
    held: int  # bytes counted against `ahead_bytes`; a guess until they are here
    fetched: Fetched | Unchanged | None = None
    facts: Facts | None = None
    key: Hashable = None  # equal keys have equal answers
    sample: Sample | None = None
    inputs: Any = None
    since: float = 0.0  # when it became ready

    @property
    def pixel_bytes(self) -> int:
        """What it holds of its picture for whoever saves its result."""
        return 0 if self.sample is None or self.sample.image is None else self.sample.image.nbytes


def size_of(value: object) -> int:
    """The bytes that a value says it holds; 0 where it says nothing."""
    size: int = getattr(value, "nbytes", 0)
    return size
