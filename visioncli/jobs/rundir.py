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
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from visioncli.errors import LockHeldError, OutputError
from visioncli.io.durable import publish, sync_folder

_PART = re.compile(r"part-(\d+)-(\d+)\.parquet")
_SCRATCH = (".*.tmp", ".previous.*")
_TRIES = 100  # to lock a directory that others remove and make again, or look at, meanwhile
_LOOK_S = 0.01  # far longer than `refuse_locked` holds its lock


class RunFiles:
    """What is in a run's directory, to be looked at; it need not be there. Locks and writes nothing."""

    def __init__(self, path: Path, prefix: str = "") -> None:
        self.path = path
        self.snapshot = path / f"{prefix}inputs.parquet"
        self._run_json = path / f"{prefix}run.json"

    @property
    def key(self) -> dict[str, Any] | None:
        """The key of the run that was begun here; None for a new one, one that died before it wrote it, a torn one."""
        return key_in(self._run_json)

    def parts(self) -> list[tuple[int, int, Path]]:
        """Return (first, end, path) of what is done, in order."""
        return parts_in(self.path) if self.path.is_dir() else []

    def refuse_unwritable(self) -> None:
        """Raise OutputError where it is not there, and could not be made."""
        there = next(place for place in (self.path, *self.path.absolute().parents) if place.exists())
        if not there.is_dir():
            raise OutputError(f"{self.path} cannot be made: {there} is no folder")
        if not os.access(there, os.W_OK | os.X_OK):
            raise OutputError(f"{self.path} cannot be made: nothing may be written into {there}")

    def refuse_locked(self) -> None:
        """Raise LockHeldError where a run is working here just now."""
        with suppress(OSError), open(self._run_json, "rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # two who only look do not see one another
            except BlockingIOError:
                raise _held(self.path) from None


class RunDirectory(RunFiles):
    """One run's directory, locked while this object lives. Raises LockHeldError when another run has it."""

    def __init__(self, path: Path, prefix: str = "") -> None:
        super().__init__(path, prefix)
        self.draft = path / ".inputs.tmp"  # the snapshot of a run that may still be refused
        self._removed = path.with_name(f".{path.name}.removed")
        self._ours = not path.exists() or self._run_json.exists()  # else somebody made the folder for us
        self._lock = self._locked()
        shutil.rmtree(self._removed, ignore_errors=True)

    def _locked(self) -> int:
        for _ in range(_TRIES):
            if (descriptor := self._opened()) is None:
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                only_looked_at = _is_shared(descriptor)
                os.close(descriptor)
                if only_looked_at:
                    time.sleep(_LOOK_S)
                    continue
                break
            if _is_at(descriptor, self._run_json):
                return descriptor
            os.close(descriptor)  # the run that had the lock moved or removed the file meanwhile
        raise _held(self.path)

    def _opened(self) -> int | None:
        """Return the lock's file; None where the run that had it removed its directory just now."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if isinstance(error, FileExistsError) and not self.path.exists():
                return None
            raise OutputError(f"{self.path} cannot be made: {error.strerror}") from error
        try:
            return os.open(self._run_json, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise OutputError(f"{self._run_json} cannot be opened: {error.strerror}") from error

    def close(self) -> None:
        """Give the lock back; a draft goes, and a directory in which nothing was begun."""
        if self._lock < 0:
            return
        self.draft.unlink(missing_ok=True)
        if self.key is None and not self.parts() and _is_at(self._lock, self._run_json):
            self._forget()
        self._unlock()

    def _unlock(self) -> None:
        os.close(self._lock)
        self._lock = -1

    def write_key(self, key: Mapping[str, Any]) -> None:
        """Keep the run's key. Raises OutputError."""
        # In place: the file is the lock, and a rename would leave the lock on a file that nobody opens. What is there
        # is written over, never emptied first: losing the key would lose every finished part.
        text = json.dumps(key, indent=1, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
        try:
            written = 0
            while written < len(text):  # a full disk, or a signal, may leave the rest for the next call
                written += os.pwrite(self._lock, text[written:], written)
            os.ftruncate(self._lock, len(text))
            os.fsync(self._lock)
        except OSError as error:
            raise OutputError(f"{self._run_json} cannot be written: {error.strerror}") from error

    def part(self, first: int, end: int) -> Path:
        return self.path / f"part-{first:012d}-{end:012d}.parquet"

    def gaps(self, rows: int) -> list[tuple[int, int]]:
        """Return the ranges [first, end) of `rows` that no part holds, in order."""
        gaps, reached = [], 0
        for first, end, _ in self.parts():
            if first > reached:
                gaps.append((reached, first))
            reached = max(reached, end)
        return gaps + ([(reached, rows)] if reached < rows else [])

    def begin(self) -> None:
        """Forget the run that was begun here, for one whose draft becomes the snapshot."""
        self._forget_run()
        publish(self.draft, self.snapshot)

    def clear(self) -> None:
        """Forget the run that was begun here, and all scratch; the lock stays."""
        self.clear_scratch()
        self._forget_run()

    def _forget_run(self) -> None:
        for _, _, part in self.parts():
            part.unlink()
        self.snapshot.unlink(missing_ok=True)
        os.ftruncate(self._lock, 0)  # last: parts without a key are nobody's, a key whose parts are gone asks anew

    def clear_scratch(self) -> None:
        """Remove what only a run at work needs: half-written files and copies."""
        for scratch in (path for pattern in (*_SCRATCH, "whole-*") for path in self.path.glob(pattern)):
            scratch.unlink()

    def remove(self) -> None:
        """Remove the directory with everything in it, and give the lock back; to others it is there whole or gone."""
        shutil.rmtree(self._removed, ignore_errors=True)
        os.rename(self.path, self._removed)
        sync_folder(self.path.parent)
        shutil.rmtree(self._removed, ignore_errors=True)
        self._unlock()

    def move(self, path: Path) -> None:
        """Give the directory another name, and the lock back."""
        os.rename(self.path, path)
        sync_folder(path.parent)
        self._unlock()

    def _forget(self) -> None:
        self.clear()
        self._run_json.unlink()
        if self._ours:
            with suppress(OSError):  # somebody put something in
                self.path.rmdir()


def key_in(run_json: Path) -> dict[str, Any] | None:
    """Return the run key that a file holds; None when there is none, or a torn one."""
    try:
        key, _ = json.JSONDecoder().raw_decode(run_json.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return key if isinstance(key, dict) and "mode" in key else None


def parts_in(folder: Path) -> list[tuple[int, int, Path]]:
    """Return (first, end, path) of a folder's parts, in order."""
    found = ((_PART.fullmatch(entry.name), entry) for entry in folder.iterdir())
    return sorted((int(match[1]), int(match[2]), entry) for match, entry in found if match)


def strangers(folder: Path) -> list[Path]:
    """Return what others put into a folder of parts."""
    ours = ("_run.json", "_inputs.parquet", *_SCRATCH)
    return [
        path
        for path in folder.iterdir()
        if not _PART.fullmatch(path.name) and not any(path.match(pattern) for pattern in ours)
    ]


def _held(path: Path) -> LockHeldError:
    return LockHeldError(f"another run is working on {path}")


def _is_shared(descriptor: int) -> bool:
    """Whether those who have a file locked only look at it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
