"""Our process's standard streams: words that cannot be said stop nothing; data that cannot be written stop all.

Whoever imports us as a library keeps theirs as they are. Knows nothing of what is written.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

from visioncli.errors import OutputError, ReaderLeftError
from visioncli.io.standard import writing


def take() -> None:
    """Let all that is printed go through our streams, from now on and until the process ends."""
    _occupy()
    out, err = sys.stdout or os.fdopen(1, "w", closefd=False), sys.stderr or os.fdopen(2, "w", closefd=False)
    cast(Any, out).reconfigure(errors="backslashreplace")  # a letter that the encoding lacks shows as an escape
    sys.stdout, sys.stderr = cast(Any, Data(out)), cast(Any, Words(err))


def _occupy() -> None:
    """Open what was closed: the next files would get these numbers, and what libraries say there would go into them."""
    for number, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):  # data are not to vanish: 1 refuses
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # takes the lowest free number


class _Stream:
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Words(_Stream):
    """Standard error. A log that is full, or whose reader has gone, is no reason to stop working."""

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


class Data(_Stream):
    """Standard output, of text or bytes. Raises as `writing` does."""

    @property
    def buffer(self) -> Data:
        return Data(self._stream.buffer)

    def write(self, data: Any) -> int:
        with _written():
            return int(self._stream.write(data))

    def flush(self) -> None:
        with _written():
            self._stream.flush()


@contextmanager
def _written() -> Iterator[None]:
    try:
        with writing():
            yield
    except (OutputError, ReaderLeftError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else the interpreter complains at its end of what it still holds
        raise
