"""Files that are there whole or not at all, and stay: written beside, fsynced, renamed. Imports nothing heavy."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from visioncli.errors import OutputError


@contextmanager
def durable(path: Path) -> Iterator[BinaryIO]:
    """Open a file that is on the disk when the block ends. Raises OSError."""
    with open(path, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def replacing(path: Path, *, alone: bool = True) -> Iterator[BinaryIO]:
    """Open a file that takes the place of `path` when the block ends, complete; its folder's entry is not fsynced.

    `alone`: nobody else writes to `path` meanwhile. Raises OSError; whatever is raised leaves what was there.
    """
    beside = path.with_name(f".{path.name}.tmp" if alone else f".{path.name}.{os.getpid()}{threading.get_ident()}.tmp")
    try:
        with durable(beside) as file:
            yield file
        os.replace(beside, path)
    except BaseException:
        with suppress(OSError):  # the first error is the one to tell
            beside.unlink(missing_ok=True)
        raise


@contextmanager
def whole_or_absent(path: Path) -> Iterator[BinaryIO]:
    """Open a file that appears under `path` complete and durable, or not at all. Raises OutputError."""
    try:
        with replacing(path) as file:
            yield file
        sync_folder(path.parent)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error


def publish(beside: Path, place: Path) -> None:
    """Rename what is durable, a file or a folder, to the name by which it is looked for. Raises OSError."""
    if beside.is_dir():
        sync_folder(beside)
    os.replace(beside, place)
    sync_folder(place.parent)


def sync_folder(path: Path) -> None:
    """Make renames and removals in `path` durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
