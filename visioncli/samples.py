"""What travels from a source to a table: a reference, a decoded picture, an answer or a failure.

Knows nothing of models, files or columns.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from visioncli.errors import RowError

ResultT = TypeVar("ResultT")


def display(uri: bytes) -> str:
    """A path or URL as text: bytes that are not UTF-8 show as `\\xNN`."""
    return uri.decode("utf-8", errors="backslashreplace")


def legible(text: str) -> str:
    """A text from outside as UTF-8 can hold it: bytes that hide in it as half surrogate pairs show as in `display`."""
    try:
        return text if text.isascii() else display(text.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:  # a half pair that stands for no byte
        return text.encode("utf-8", "backslashreplace").decode()


def _uri(place: str | os.PathLike[str]) -> bytes:
    is_url = isinstance(place, str) and re.match("[a-zA-Z][a-zA-Z0-9+.-]*://", place)
    return os.fsencode(place if is_url else os.path.abspath(place))


@dataclass(frozen=True, slots=True, init=False)
class ImageRef:
    """Where a picture is; no pixels. Picklable."""

    position: int  # row number in the snapshot, from 0
    id: str
    uri: bytes | None  # absolute path, `tar:` reference or URL; None for a row that is text alone
    extra: Mapping[str, object] = field(default_factory=dict)  # the manifest's columns that the task reads
    version: str | None = None  # given by --version-col: stands for the file's own version
    seen: str | None = None  # version of an earlier answer: a fetch may then say "unchanged"
    error: RowError | None = None  # the source already knows that there is nothing to fetch

    def __init__(
        self,
        position: int,
        id: str,
        uri: bytes | str | os.PathLike[str] | None,
        extra: Mapping[str, object] | None = None,
        version: str | None = None,
        seen: str | None = None,
        error: RowError | None = None,
    ) -> None:
        """`uri` may be as people write it: a path, from the working directory where it is relative, or a URL."""
        put = object.__setattr__
        put(self, "position", position)
        put(self, "id", id)
        put(self, "uri", uri if uri is None or isinstance(uri, bytes) else _uri(uri))
        put(self, "extra", {} if extra is None else extra)
        put(self, "version", version)
        put(self, "seen", seen)
        put(self, "error", error)

    @property
    def source(self) -> str | None:
        return None if self.uri is None else display(self.uri)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a file, for rows and for metric depth."""

    sha256: str | None = None  # hex, of the file's bytes
    bytes: int | None = None
    version: str | None = None  # modification time in ns, ETag or Last-Modified
    size: tuple[int, int] | None = None  # (height, width), upright pixels of the original
    exif: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """A decoded picture. In jobs it is upright; it may be a scaled decoding of `facts.size`."""

    ref: ImageRef
    facts: Facts
    image: NDArray[np.uint8] | None  # (H, W, 3) RGB; None for a row that is text alone


@dataclass(frozen=True, slots=True)
class Answer(Generic[ResultT]):
    ref: ImageRef
    facts: Facts
    result: ResultT


@dataclass(frozen=True, slots=True)
class Failure:
    """Never a missing row, never another image in its place."""

    ref: ImageRef
    facts: Facts | None
    error: RowError


@dataclass(frozen=True, slots=True)
class Kept:
    """An earlier answer stands. `facts` is None where the bytes did not have to be read to know it."""

    ref: ImageRef
    facts: Facts | None
