"""INPUT arguments to sources: which kind each is, and the kinds that are not tables.

Knows nothing of a manifest's columns (`manifests`) or of several INPUTs together (`listing`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain, groupby
from typing import BinaryIO

from visioncli.errors import UsageError
from visioncli.io.rows import Input, ListingOptions, Remarks, Rows, Source, absolute, here, resolve, stamp, stretches
from visioncli.io.sheets import opened
from visioncli.io.standard import Arriving
from visioncli.io.tars import members
from visioncli.io.walk import Skipped, glob, is_glob, split_glob, walk
from visioncli.samples import display

SOURCES = {  # kind of INPUT -> function (Input, ListingOptions) -> Source; UsageError for one that matches nothing
    "folder": "visioncli.io.sources:read_folder",
    "glob": "visioncli.io.sources:read_glob",
    "file": "visioncli.io.sources:read_files",
    "url": "visioncli.io.sources:read_urls",
    "tar": "visioncli.io.sources:read_tar",
    "txt": "visioncli.io.sources:read_txt",
    "stdin": "visioncli.io.sources:read_stdin",
    "csv": "visioncli.io.manifests:read_csv",
    "jsonl": "visioncli.io.manifests:read_jsonl",
    "parquet": "visioncli.io.manifests:read_parquet",
}
TABLES = ("csv", "jsonl", "parquet")
_NAMING = (*TABLES, "txt", "tar")  # files that name others

_SUFFIXES = {
    b".csv": "csv",
    b".tsv": "csv",
    b".jsonl": "jsonl",
    b".ndjson": "jsonl",
    b".parquet": "parquet",
    b".txt": "txt",
    b".tar": "tar",
}
_COMPRESSED_TAR = (b".tar.gz", b".tgz", b".tar.bz2", b".tar.xz", b".tar.zst")
_LATER = ("s3", "gs", "hf")
_SCHEME = re.compile(rb"([a-zA-Z][a-zA-Z0-9+.-]*)://")

Triples = Iterator[tuple[bytes, bytes, bytes]]  # (id, uri, source)


def classified(names: Sequence[bytes], stdin: Arriving | None) -> Iterator[tuple[str, Input]]:
    """Yield the kind of each INPUT; neighbours that are files, or URLs, come as one."""
    several = len(names) > 1
    expanded = chain.from_iterable(map(_expanded, names))
    for kind, group in groupby(expanded, key=lambda pair: pair[0]):
        found = tuple(name for _, name in group)
        together = [found] if kind in ("file", "url") else [(name,) for name in found]
        yield from ((kind, Input(part, several, stdin)) for part in together)


def _expanded(name: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield an INPUT with its kind; a quoted glob of manifests or tars gives each of them."""
    kind = _kind(name)
    if kind == "glob" and (inner := _kind_by_suffix(name)) != "file":
        base, pattern = split_glob(name)
        matches = glob(base, pattern, Skipped(), wanted=lambda found: True)
        if not (found := [base + match for match in matches]):
            raise UsageError(f"{display(name)} matches nothing")
        yield from ((inner, match) for match in found)
    else:
        yield kind, name


def _kind(name: bytes) -> str:
    if name == b"-":
        return "stdin"
    if scheme := _SCHEME.match(name):
        return _kind_by_scheme(scheme[1].decode().lower(), name)
    if os.path.isdir(name):
        return "folder"
    if os.path.lexists(name):
        return _kind_by_suffix(name)
    if is_glob(name):
        return "glob"
    raise UsageError(f"{display(name)!r} matches nothing: there is no such file or folder")


def _kind_by_scheme(scheme: str, name: bytes) -> str:
    if scheme in ("http", "https"):
        return "url"
    if scheme in _LATER:
        raise UsageError(f"{display(name)}: {scheme}:// is not supported yet; known: http://, https:// and paths")
    raise UsageError(f"{display(name)}: unknown scheme {scheme}://; known: http://, https:// and paths")


def _kind_by_suffix(name: bytes) -> str:
    """Return the kind of a file; one of no known suffix counts as a picture, its bytes will tell."""
    lower = name.lower()
    if lower.endswith(_COMPRESSED_TAR):
        raise UsageError(f"{display(name)}: a compressed tar has no place to start reading at; unpack it to .tar first")
    suffix = os.path.splitext(lower.removesuffix(b".gz"))[1]
    kind = _SUFFIXES.get(suffix, "file")
    if lower.endswith(b".gz") and kind == "parquet":
        raise UsageError(f"{display(name)}: a gzipped Parquet file cannot be read; unpack it first")
    return kind


def manifests(name: str) -> list[str]:
    """Return the files behind an INPUT that name others: their sizes and times belong to a run's key."""
    with suppress(UsageError):  # for the listing to raise, with all that is wrong
        found = _expanded(os.fsencode(name))
        return [os.fsdecode(path) for kind, path in found if kind in _NAMING and os.path.isfile(path)]
    return []


def _walked(triples: Callable[[Skipped], Triples], where: str, rows: int, remarks: Remarks) -> Generator[Rows]:
    skipped = Skipped()
    try:
        yield from stretches(triples(skipped), rows)
    finally:  # a reader may have enough rows before the walk is over
        remarks.notes += skipped.sentences(where)
        remarks.warnings += skipped.warnings(where)


def _reasons(skipped: Skipped) -> list[str]:
    return [*skipped.sentences("there"), *skipped.warnings("there")]


def read_folder(given: Input, options: ListingOptions) -> Source:
    root = absolute(given.name)
    prefix = os.path.join(given.name, b"") if given.several else b""
    if next(walk(root, skipped := Skipped(), ordered=False), None) is None:
        reason = "; ".join(_reasons(skipped)) or "it holds no images"
        raise UsageError(f"{given.shown} matches nothing: {reason}")

    def triples(skipped: Skipped) -> Triples:
        for name in walk(root, skipped):
            path = os.path.join(root, name)
            yield prefix + name, path, path

    return Source(partial(_walked, triples, given.shown))


def read_glob(given: Input, options: ListingOptions) -> Source:
    base, pattern = split_glob(given.name)
    root = absolute(base)
    if next(glob(base, pattern, skipped := Skipped(), ordered=False), None) is None:
        reason = "; ".join(["no image has such a path", *_reasons(skipped)])
        raise UsageError(f"{given.shown} matches nothing: {reason}")

    def triples(skipped: Skipped) -> Triples:
        for name in glob(root, pattern, skipped):
            path = os.path.join(root, name)
            yield base + name, path, path

    return Source(partial(_walked, triples, given.shown))


def _named(names: Sequence[bytes], place: Callable[[bytes], bytes], rows: int, remarks: Remarks) -> Generator[Rows]:
    placed = ((name, place(name)) for name in names)
    return stretches(((name, uri, uri) for name, uri in placed), rows)


def read_files(given: Input, options: ListingOptions) -> Source:
    return Source(partial(_named, given.names, absolute))


def read_urls(given: Input, options: ListingOptions) -> Source:
    return Source(partial(_named, given.names, lambda url: url))


def read_txt(given: Input, options: ListingOptions) -> Source:
    path = absolute(given.name)
    folder = os.path.dirname(path)

    def names() -> Iterator[bytes]:
        with opened(path) as file:
            for number, line in enumerate(_lines(file)):
                yield line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line

    if next(names(), None) is None:
        raise UsageError(f"{given.shown} matches nothing: it has no lines")

    def read(rows: int, remarks: Remarks) -> Generator[Rows]:
        return stretches(_placed(names(), folder), rows)

    return Source(read, manifest=stamp(path))


def read_stdin(given: Input, options: ListingOptions) -> Source:
    """Standard input is read once: a second `batches()` of the listing raises UsageError."""
    if given.stdin is None:
        raise UsageError("there is no standard input to read names from")
    arrivals = _arriving(given.stdin, b"\0" if options.null_separated else b"\n")
    if (first := next(arrivals, None)) is None:
        raise UsageError("standard input matches nothing: it has no lines")
    if not options.null_separated and any(b"\0" in name for name in first):
        raise UsageError("names on standard input end with NUL bytes; say --null (-0)")
    waiting = [chain([first], arrivals)]

    def read(rows: int, remarks: Remarks) -> Generator[Rows]:
        if not waiting:
            raise UsageError("standard input can be read only once")
        folder = here()
        return (found for names in waiting.pop() for found in stretches(_placed(names, folder), rows))

    return Source(read)


def _placed(names: Iterable[bytes], folder: bytes) -> Triples:
    for name in names:
        uri = resolve(name, folder)
        yield name, uri, uri


def _lines(file: BinaryIO) -> Iterator[bytes]:
    for line in file:
        name = line.removesuffix(b"\n").removesuffix(b"\r")
        if name.strip():
            yield name


def _arriving(file: Arriving, end: bytes) -> Iterator[list[bytes]]:
    """Yield the names that are there whenever some are: a row need not wait for a block of names to fill up."""
    rest, ended = bytearray(), False
    while block := file.read1(1 << 16):
        rest += block
        if end in block:
            *pieces, last = bytes(rest).split(end)
            rest, ended = bytearray(last), True
            if names := _names(pieces, end):
                yield names
    if not ended and end == b"\0":
        _refuse_lines(bytes(rest))
    if names := _names([bytes(rest)], end):
        yield names


def _refuse_lines(name: bytes) -> None:
    """Raise UsageError for all of a standard input without NUL bytes that is no one file's name."""
    if b"\n" in name and not os.path.lexists(name):
        raise UsageError("names on standard input end with newlines, not with NUL bytes; leave --null (-0) out")


def _names(pieces: list[bytes], end: bytes) -> list[bytes]:
    if end == b"\0":
        return [piece for piece in pieces if piece]
    return [piece.removesuffix(b"\r") for piece in pieces if piece.strip()]


def read_tar(given: Input, options: ListingOptions) -> Source:
    path = absolute(given.name)
    prefix = given.name + b"!" if given.several else b""
    if next(members(path, given.shown, Skipped()), None) is None:
        raise UsageError(f"{given.shown} matches nothing: it holds no images")

    def triples(skipped: Skipped) -> Triples:
        for name, uri in members(path, given.shown, skipped):
            yield prefix + name, uri, path + b"!" + name

    return Source(partial(_walked, triples, given.shown), manifest=stamp(path))
