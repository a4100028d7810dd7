"""How pictures are got at, and what is done with results on their way out. Values; nothing here runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from visioncli.io.decode import DecodeOptions
from visioncli.io.fetch import FetchOptions
from visioncli.samples import Sample


@dataclass(frozen=True, slots=True)
class Settings:
    """How to get at the pictures. Nothing here but `decode` changes an answer."""

    fetch: FetchOptions = field(default_factory=FetchOptions)
    decode: DecodeOptions = field(default_factory=DecodeOptions)
    workers: int | None = None  # threads that read and decode; None: one per core, at most 16
    ahead_rows: int = 8192  # how far the newest admitted row may be ahead of the next one to be yielded
    ahead_bytes: int = 256 * 2**20  # of fetched files and prepared inputs that wait
    saving_bytes: int = 2**30  # of results that are made and saved at the same time, as their pictures' sizes tell
    flush_after_s: float = 1.0  # how long a row waits for others to fill its batch while more may come


@dataclass(frozen=True, slots=True)
class Save:
    """What is done with each result on its way out: written as files, say, and returned lighter.

    A row whose result is saved is never answered from an equal picture's: each has files of its own.
    """

    write: Callable[[Sample, Any], Any]  # (sample, result) -> result; called from several threads; raises OutputError
    needs_pixels: bool = False  # whether the sample has its picture then, as it was decoded
