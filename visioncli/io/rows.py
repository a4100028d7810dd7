"""What travels between the sources and a listing. Knows nothing of how rows are found."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field, fields
from itertools import islice
from urllib.parse import unquote_to_bytes

import pyarrow as pa

from visioncli.errors import UsageError
from visioncli.io.standard import Arriving
from visioncli.samples import display

NO_COLUMNS = pa.schema([])
_URL = re.compile(rb"[a-zA-Z][a-zA-Z0-9+.-]*://|data:")


@dataclass(frozen=True, slots=True)
class ListingOptions:
    image_column: str | None = None
    id_column: str | None = None
    text_column: str | None = None
    focal_column: str | None = None  # of focal lengths, read beside the images
    version_column: str | None = None
    null_separated: bool = False  # names on standard input end with NUL
    images: bool = True  # False: the rows are texts alone
    reserved: frozenset[str] = frozenset()  # names of our output columns; a column that clashes is kept as `<name>_in`


@dataclass(frozen=True, slots=True)
class Input:
    """One INPUT, or neighbours that are files or URLs."""

    names: tuple[bytes, ...]  # as written
    several: bool = False  # more than one INPUT was given: derived ids say which
    stdin: Arriving | None = None

    @property
    def name(self) -> bytes:
        return self.names[0]

    @property
    def shown(self) -> str:
        return display(self.names[0])


@dataclass(frozen=True, slots=True)
class Rows:
    """A stretch of one source's rows; every array has the same length."""

    id: pa.Array  # string, no nulls
    explicit: pa.Array  # bool: the id was given, not derived
    uri: pa.Array  # binary: absolute path, `tar:<offset>:<size>:<path>` or URL
    source: pa.Array  # string: `uri` for people
    missing: pa.Array  # string: a row code where there is nothing to fetch
    image_index: pa.Array | None  # int32
    version: pa.Array | None  # string
    extras: dict[str, pa.Array]

    def __len__(self) -> int:
        return len(self.id)

    def first(self, count: int) -> Rows:
        """Return the first `count` of them, or all where they are fewer."""
        columns = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "extras"}
        cut = {name: column if column is None else column.slice(0, count) for name, column in columns.items()}
        return Rows(**cut, extras={name: column.slice(0, count) for name, column in self.extras.items()})


@dataclass(slots=True)
class Remarks:
    """What one reading of a listing finds to say of what it left out; known when it has ended or was closed."""

    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)  # pictures that should be there are not


@dataclass(frozen=True, slots=True)
class Source:
    """One INPUT after the survey."""

    read: Callable[[int, Remarks], Generator[Rows]]  # (rows at a time, what to add to when the walk is over)
    extras: pa.Schema = NO_COLUMNS
    notes: tuple[str, ...] = ()
    has_images: bool = True
    lists: bool = False  # several images in one manifest row
    manifest: tuple[str, int, int] | None = None  # path, bytes, modification time in ns


def stamp(path: bytes) -> tuple[str, int, int]:
    """Path, size in bytes and modification time in ns: what a run key keeps of a manifest."""
    facts = os.stat(path)
    return display(absolute(path)), facts.st_size, facts.st_mtime_ns


def absolute(path: bytes, folder: bytes | None = None) -> bytes:
    """Return `path` from `folder` (default: the working folder), without `.` and, where it is the same file, `..`."""
    joined = path if os.path.isabs(path) else os.path.join(here() if folder is None else folder, path)
    plain = os.path.normpath(joined)
    return plain if b".." not in joined.split(b"/") or _same_file(plain, joined) else joined


def here() -> bytes:
    """Return the working folder. Raises UsageError where somebody has removed it."""
    try:
        return os.getcwdb()
    except FileNotFoundError:
        raise UsageError("the working folder is gone; change to one that is there") from None


def _same_file(one: bytes, other: bytes) -> bool:
    # `link/../x` is not `x` where `link` leads elsewhere
    try:
        return os.path.samefile(os.path.dirname(one), os.path.dirname(other))
    except (OSError, ValueError):
        return False


def resolve(cell: bytes, folder: bytes) -> bytes:
    """Return what a cell or a line names: a URL as it is, a path made absolute from `folder`."""
    if not (cell.startswith(b".") or b"/." in cell or b"//" in cell or b":" in cell):
        return cell if cell.startswith(b"/") else folder + b"/" + cell  # nothing to tidy up; the usual case, for speed
    if cell.lower().startswith((b"file:///", b"file://localhost/")):
        return unquote_to_bytes(cell[cell.index(b"/", 7) :])
    return cell if _URL.match(cell) else absolute(cell, folder)


def stretches(entries: Iterable[tuple[bytes, bytes, bytes]], rows: int) -> Generator[Rows]:
    """Gather (id, uri, source) triples into Rows of at most `rows`."""
    remaining = iter(entries)
    while chunk := list(islice(remaining, rows)):
        ids, uris, sources = zip(*chunk, strict=True)
        yield Rows(
            id=pa.array(map(display, ids), pa.string()),
            explicit=pa.repeat(pa.scalar(False), len(chunk)),
            uri=pa.array(uris, pa.binary()),
            source=pa.array(map(display, sources), pa.string()),
            missing=pa.nulls(len(chunk), pa.string()),
            image_index=None,
            version=None,
            extras={},
        )
