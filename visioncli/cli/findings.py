"""One line of what `visioncli doctor` found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One line. Sizes are int, in bytes. `lack` is what follows where the thing is not there, else None."""

    section: str
    name: str
    value: str | int | None
    lack: str | None = None
