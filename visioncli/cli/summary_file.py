"""`--summary`: where a run's figures go as JSON. Looked at before the run, for they come at its end.

Knows nothing of what the figures are.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from visioncli.errors import OutputError, UsageError

_FLAG = "--summary"
_STANDARD_OUTPUT = frozenset({"-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"})


def is_standard_output(given: str | None) -> bool:
    """Return whether a summary would go where a command's rows or words may go."""
    return given in _STANDARD_OUTPUT


def refuse_unusable_summary(given: str | None, output: str, inputs: Iterable[str] = ()) -> None:
    """Raise UsageError for a summary that could not be written, or would be written over what it is about.

    `output`: where the command's rows or words go; `-` is standard output.
    """
    if given is None or is_standard_output(given):
        return
    place = Path(given)
    _refuse_no_place(place)
    for other in (output, f"{output}.meta.json", *(name for name in inputs if name != "-")):
        if _is_same(place, other):
            raise UsageError(f"{_FLAG} {given} would be written over {other}; name another file")
    if output != "-":
        _refuse_inside(given, output)


def _refuse_inside(place: str, output: str) -> None:
    """Raise UsageError for a place that is removed, or replaced, with what the summary is about."""
    from visioncli.io.own_names import RUN

    for name, folder in (("output", output), ("run's folder", os.path.abspath(output) + RUN)):
        if _real(folder) in _real(place).parents:
            raise UsageError(f"{_FLAG} {place} lies in the {name} {folder}; name a file beside it")


def _refuse_no_place(place: Path) -> None:
    folder = _real(place).parent
    if os.path.isdir(place):  # unlike Path's, it is merely untrue where nobody lets us look
        raise UsageError(f"{_FLAG} {place} is a folder; name a file in it")
    if not os.path.isdir(folder):
        raise UsageError(f"{_FLAG} {place}: there is no folder {folder}; make it first")
    written = place if _is_special(place) else folder
    if not os.access(written, os.W_OK):
        raise UsageError(f"{_FLAG} {place}: {written} cannot be written to")


def _real(path: str | Path) -> Path:
    return Path(os.path.realpath(path))


def _is_special(place: Path) -> bool:
    """Whether it is a pipe or a device, which is written to and not replaced."""
    return os.path.exists(place) and not os.path.isfile(place)


def _is_same(place: Path, other: str) -> bool:
    try:
        there = os.fstat(1) if other == "-" else os.stat(other)
        return not place.is_char_device() and os.path.samestat(place.stat(), there)
    except OSError:  # not there yet
        return _real(place) == _real(other)


def write_summary(summary: Mapping[str, Any], given: str) -> None:
    """Write what a run found out as JSON. Raises OutputError."""
    from visioncli.io.durable import replacing, sync_folder

    text = json.dumps(summary, indent=1, ensure_ascii=False)
    if is_standard_output(given):
        print(text, flush=True)
        return
    place, data = Path(given), (text + "\n").encode("utf-8", "backslashreplace")
    try:
        if _is_special(place):
            place.write_bytes(data)
            return
        place = _real(place)  # a link stays one
        with replacing(place, alone=False) as file:
            file.write(data)
        sync_folder(place.parent)
    except OSError as error:
        raise OutputError(f"{_FLAG}: {given} cannot be written: {error.strerror}") from error
