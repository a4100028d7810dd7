"""Standard output as a place for data: somebody else opened it, and may close it. Knows nothing of what is written."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from visioncli.errors import OutputError, ReaderLeftError


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
