"""Who builds what lies beside an index: one process at a time. Knows nothing of what is built."""

from __future__ import annotations

import contextlib
import fcntl
import logging
from collections.abc import Iterator
from pathlib import Path

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
