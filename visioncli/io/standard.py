"""Standard input and output as places for data: somebody else opened them, and may close them.

Knows nothing of what is read or written.
"""

from __future__ import annotations

import errno
import select
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import BufferedReader, UnsupportedOperation
from typing import Protocol, cast

from visioncli.errors import OutputError, ReaderLeftError

_LOOK_S = 0.1  # how long somebody who stops a run waits for one that waits


class Arriving(Protocol):
    """Bytes that come when they come."""

    def read1(self, size: int, /) -> bytes:
        """Return what is there, at most `size` bytes, waiting for the first; none at the end."""
        ...


class StandardInput:
    """Standard input, with `look` called ten times a second while it is waited for; what that raises comes through."""

    def __init__(self, file: BufferedReader, look: Callable[[], None]) -> None:
        self._file, self._look = file, look

    @classmethod
    def of(cls, look: Callable[[], None]) -> StandardInput | None:
        """Return it; None where it is closed, or a notebook's."""
        file = getattr(sys.stdin, "buffer", None)
        return None if file is None else cls(cast(BufferedReader, file), look)

    def read1(self, size: int, /) -> bytes:
        while not self._is_there():
            self._look()
        found = self._file.read1(size)
        self._look()  # Ctrl-C ends also the command before the pipe, and so the names
        return found

    def _is_there(self) -> bool:
        """Wait a little, and return whether reading would not wait."""
        try:
            descriptor = self._file.fileno()
        except UnsupportedOperation:  # it is in memory
            return True
        return bool(select.select([descriptor], [], [], _LOOK_S)[0])


@contextmanager
def writing() -> Iterator[None]:
    """Translate what writing to standard output raises.

    Raises ReaderLeftError where nobody reads it any more, OutputError where it cannot be written.
    """
    try:
        yield
    except BrokenPipeError:
        raise ReaderLeftError("nobody reads standard output any more") from None
    except OSError as error:
        reason = "it is closed" if error.errno == errno.EBADF else error.strerror
        raise OutputError(f"standard output cannot be written: {reason}") from error


def put(lines: Iterable[str]) -> None:
    """Write lines to standard output at once, as UTF-8 whatever the locale says. Raises as `writing` does."""
    if sys.stdout is None:  # what Python makes of a closed one
        raise OutputError("standard output cannot be written: it is closed")
    out = sys.stdout.buffer
    with writing():
        sys.stdout.flush()
    for line in lines:
        with writing():
            out.write(line.encode("utf-8", "backslashreplace") + b"\n")
    with writing():
        out.flush()
