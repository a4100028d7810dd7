"""The run directory: resume without a database. The parts' names are the journal: what exists is done.

    run.json            the run key; also the lock (flock)
    inputs.parquet      the snapshot of the enumerated inputs
    part-<first>-<end>.parquet   rows [first, end) of the snapshot, answered

In a directory output the first two begin with `_`, so that readers of data sets pass over them.
Knows nothing of columns or models.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from visioncli.errors import LockHeldError, OutputError, UsageError
from visioncli.io.sinks import sync_folder

_PART = re.compile(r"part-(\d+)-(\d+)\.parquet")


class RunDirectory:
    """One run's directory, locked while this object lives. Raises LockHeldError when another run has it."""

    def __init__(self, path: Path, prefix: str = "") -> None:
        self.path = path
        self.snapshot = path / f"{prefix}inputs.parquet"
        self._run_json = path / f"{prefix}run.json"
        self._lock = self._locked()

    def _locked(self) -> int:
        while True:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(self._run_json, os.O_RDWR | os.O_CREAT, 0o644)
            except OSError as error:
                raise OutputError(f"{self.path} cannot be made: {error.strerror}") from error
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                raise LockHeldError(f"another run is working on {self.path}") from None
            if os.fstat(descriptor).st_nlink:
                return descriptor
            os.close(descriptor)  # the run that had the lock finished and removed the file meanwhile

    def release(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    @property
    def key(self) -> dict[str, Any] | None:
        """The key of the run that was begun here; None for a new one, or one that died before it wrote anything."""
        try:
            key: dict[str, Any] = json.loads(self._run_json.read_text())
        except ValueError:
            return None
        return key

    def write_key(self, key: Mapping[str, Any]) -> None:
        # In place: the file is the lock, and a rename would leave the lock on a file that nobody opens.
        text = json.dumps(key, indent=1, ensure_ascii=False).encode() + b"\n"
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, text, 0)
        os.fsync(self._lock)

    def part(self, first: int, end: int) -> Path:
        return self.path / f"part-{first:012d}-{end:012d}.parquet"

    def parts(self) -> list[tuple[int, int, Path]]:
        """Return (first, end, path) of what is done, in order."""
        found = ((_PART.fullmatch(entry.name), entry) for entry in self.path.iterdir())
        return sorted((int(match[1]), int(match[2]), entry) for match, entry in found if match)

    def gaps(self, rows: int) -> list[tuple[int, int]]:
        """Return the ranges [first, end) of `rows` that no part holds, in order."""
        gaps, reached = [], 0
        for first, end, _ in self.parts():
            if first > reached:
                gaps.append((reached, first))
            reached = max(reached, end)
        return gaps + ([(reached, rows)] if reached < rows else [])

    def clear(self) -> None:
        """Forget the run that was begun here; the lock stays."""
        for _, _, part in self.parts():
            part.unlink()
        for stale in self.path.glob(".*.tmp"):
            stale.unlink()
        self.snapshot.unlink(missing_ok=True)
        os.ftruncate(self._lock, 0)

    def remove(self) -> None:
        """Remove the directory with everything in it, and give the lock back."""
        shutil.rmtree(self.path)
        sync_folder(self.path.parent)
        self.release()


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return one phrase per value that differs, nested keys joined by dots."""
    found = []
    for name in [*old, *(name for name in new if name not in old)]:
        before, after = old.get(name), new.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += differences(before, after, f"{prefix}{name}.")
        elif before != after:
            found.append(f"{prefix}{name} was {_short(before)}, is {_short(after)}")
    return found


def refuse_other_key(old: Mapping[str, Any], new: Mapping[str, Any], what: str, advice: str) -> None:
    """Raise UsageError naming what differs between two run keys, if anything does."""
    found = differences(old, new)
    if found:
        raise UsageError(f"{what} with other settings ({'; '.join(found)}); {advice}")


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."
