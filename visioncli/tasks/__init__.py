"""What may be asked, what is answered, and which columns a row has. Knows nothing of models or files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import pyarrow as pa

from visioncli.errors import UsageError
from visioncli.provenance import ModelInfo

OptionsT = TypeVar("OptionsT")
ResultT = TypeVar("ResultT")

TASKS = {
    "classify": "visioncli.tasks.classify:TASK",
    "embed": "visioncli.tasks.embed:TASK",
    "segment": "visioncli.tasks.segment:TASK",
    "detect": "visioncli.tasks.detect:TASK",
    "depth": "visioncli.tasks.depth:TASK",
}


@dataclass(frozen=True)
class Task(Generic[OptionsT, ResultT]):
    """A record, not a class to inherit."""

    name: str
    options: type[OptionsT]  # frozen, hashable
    columns: Callable[[OptionsT, ModelInfo], pa.Schema]  # a vector's width is the model's
    to_row: Callable[[ResultT, OptionsT], dict[str, Any]]  # keys are the names of `columns`
    for_rows: Callable[[OptionsT, bool], OptionsT]  # (options, whether any row has a picture); raises UsageError
    reads: Callable[[OptionsT], tuple[str, ...]]  # the manifest's columns that the model reads
    kind: Callable[[OptionsT], str] | None = None  # which default model answers; None: that of `name`
    in_files: Callable[[OptionsT], str | None] = lambda options: (
        None
    )  # what is asked for that no row by itself can hold

    def default_for(self, options: OptionsT) -> str:
        """What is asked for, as the tables of default and bundled models name it."""
        return self.name if self.kind is None else self.kind(options)


def pictures_needed(options: OptionsT, has_images: bool) -> OptionsT:
    """The `for_rows` of a task that looks at pictures alone."""
    if not has_images:
        raise UsageError("no INPUT has images: name the manifest's image column with --image-col")
    return options


def keep_several(options: object, *names: str) -> None:
    """Make tuples of what was given as sequences of texts. Raises UsageError for a text: its letters are not meant."""
    for name in names:
        given = getattr(options, name)
        if isinstance(given, str):
            raise UsageError(f"{name} is a sequence of texts, ('cat', 'dog') say, not the text {given!r}")
        object.__setattr__(options, name, tuple(given))
