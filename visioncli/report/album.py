"""The files that rows name: where they are now, and their bytes. Knows nothing of what is in them.

A `source` is a path, a member of a tar or a URL as an output tells it. URLs are asked for only where that is wanted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

from visioncli.errors import FetchError, UsageError
from visioncli.io.fetch import Fetched, Fetcher, FetchOptions, is_remote, read

_ESCAPED = re.compile(rb"\\x([89a-f][0-9a-f])")  # how a byte that is not UTF-8 shows
_REPEAT = re.compile(r"#\d+$")  # that an id came before


@dataclass
class Album:
    """A context manager; `read` may be called from any thread."""

    root: Path | None = None  # where the pictures are now, if not where `source` says
    fetch: bool = False  # whether URLs are asked for
    _open: ExitStack = field(default_factory=ExitStack)
    _fetcher: Fetcher | None = None

    def __post_init__(self) -> None:
        if self.root is not None and not self.root.is_dir():
            raise UsageError(f"--root: {self.root} is no folder")

    def read(self, source: str, id: str) -> bytes:
        """Return a picture's bytes. Raises FetchError."""
        uri = source.encode("utf-8", "surrogatepass")
        if is_remote(uri):
            return self._fetched(uri)
        found = self._moved(source, id) or _unescaped(uri)
        got = read(found, FetchOptions())
        assert isinstance(got, Fetched)
        return got.data

    def _fetched(self, uri: bytes) -> bytes:
        if self._fetcher is None:
            raise FetchError("url_refused", "URLs are not asked for; --fetch does")
        got = self._fetcher.submit(uri).result()
        assert isinstance(got, Fetched)
        return got.data

    def _moved(self, source: str, id: str) -> bytes | None:
        """The row's file below `root`: by its id, else by the longest end of its source that is there."""
        if self.root is None:
            return None
        tries = [self.root / name for name in (id, _REPEAT.sub("", id)) if _is_below(name)]
        tries += [self.root / end for end in _ends(source)]
        return next((str(path).encode() for path in tries if path.is_file()), None)

    def __enter__(self) -> Self:
        if self.fetch:
            self._fetcher = self._open.enter_context(Fetcher(FetchOptions()))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._open.close()


def _is_below(name: str) -> bool:
    """Whether a relative path stays below where it starts."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\0" not in name


def _ends(source: str) -> Iterator[PurePosixPath]:
    parts = [part for part in PurePosixPath(source).parts if part not in ("/", "..")]
    return (PurePosixPath(*parts[first:]) for first in range(len(parts)) if "\0" not in source)


def _unescaped(uri: bytes) -> bytes:
    """The path itself where it is there, else that whose bytes were no UTF-8."""
    if b"\0" in uri or b"\\x" not in uri or Path(uri.decode("utf-8", "surrogatepass")).exists():
        return uri
    return _ESCAPED.sub(lambda escaped: bytes([int(escaped[1], 16)]), uri)
