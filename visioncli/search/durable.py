"""Beside an index: files that are durable before they have their name, and a lock. Knows nothing of what they hold."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

log = logging.getLogger("visioncli")

LOCK = "lock"  # in a side-car's folder


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock that one process has at a time, and wait for it; released when the process ends. Raises OSError."""
    with open(path, "wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("another process builds the side-car; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def durable(path: Path) -> Iterator[BinaryIO]:
    """Open a file that is on the disk when it is closed. Raises OSError."""
    with open(path, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def publish(beside: Path, place: Path) -> None:
    """Rename what is durable to the name by which it is looked for. Raises OSError."""
    from visioncli.io.sinks import sync_folder

    if beside.is_dir():
        sync_folder(beside)
    os.replace(beside, place)
    sync_folder(place.parent)
