"""Uncompressed tars: where each of their images lies. Nothing is unpacked, and no pixels are read.

A link in a tar stands for the file that it names, as it would where the tar was unpacked.
"""

from __future__ import annotations

import os
import posixpath
import tarfile
from collections.abc import Iterator
from contextlib import closing
from functools import lru_cache
from typing import Any, cast

from visioncli.errors import UsageError
from visioncli.io.walk import Skipped, is_image_name
from visioncli.samples import display

Extent = tuple[int, int]  # offset and size, in bytes


def members(path: bytes, shown: str, skipped: Skipped) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and uri of each image in a tar, as stored; `shown` is how people call it.

    Raises UsageError, at its end too, where that is in the middle of something.
    """
    for member in _headers(path, shown):
        name = _name(member)
        if any(part.startswith(b".") for part in name.split(b"/")):
            skipped.dot_files += 1
        elif is_image_name(name) and not member.isdir():
            extent = _extent(member) or _linked(path, name, member)
            if extent is None:
                skipped.no_files += 1
            else:
                yield name, b"tar:%d:%d:%s" % (*extent, path)


def tar_members(path: bytes) -> dict[bytes, bytes]:
    """Return the uri of each image in a tar, by its name; nothing when it cannot be read."""
    try:
        return _images(path, *_stamp(path))
    except (UsageError, OSError):
        return {}


@lru_cache(maxsize=4)
def _images(path: bytes, size: int, changed: int) -> dict[bytes, bytes]:
    return dict(members(path, display(path), Skipped()))


def _headers(path: bytes, shown: str) -> Iterator[tarfile.TarInfo]:
    try:
        with closing(tarfile.open(os.fsdecode(path), "r:", encoding="utf-8", errors="surrogateescape")) as tar:
            while (member := tar.next()) is not None:
                cast(Any, tar).members.clear()  # else it would remember every member
                yield member
            _refuse_a_cut_off(tar)
    except (tarfile.TarError, OSError) as error:
        raise UsageError(f"{shown} cannot be read as an uncompressed tar: {error}") from error


def _refuse_a_cut_off(tar: tarfile.TarFile) -> None:
    """Raise unless the tar ends as it should: for tarfile, what is no header is the end too."""
    file = cast(Any, tar).fileobj
    file.seek(tar.offset)
    if file.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
        raise tarfile.ReadError(f"it is damaged or cut off at byte {tar.offset}, where a member or its end should be")


def _name(member: tarfile.TarInfo) -> bytes:
    return member.name.encode("utf-8", "surrogateescape").removeprefix(b"./")


def _extent(member: tarfile.TarInfo) -> Extent | None:
    """Return where a plain file's bytes lie; a sparse one has them in pieces."""
    return (member.offset_data, member.size) if member.isreg() and not member.issparse() else None


def _linked(path: bytes, name: bytes, link: tarfile.TarInfo) -> Extent | None:
    target = link.linkname.encode("utf-8", "surrogateescape")
    if link.issym():
        target = posixpath.join(posixpath.dirname(name), target)
    return _files(path, *_stamp(path)).get(posixpath.normpath(target)) if link.islnk() or link.issym() else None


@lru_cache(maxsize=4)
def _files(path: bytes, size: int, changed: int) -> dict[bytes, Extent]:
    """Return where each file of a tar lies, by its name; asked for by a tar that has links."""
    found = ((_name(member), _extent(member)) for member in _headers(path, display(path)))
    return {posixpath.normpath(name): extent for name, extent in found if extent is not None}


def _stamp(path: bytes) -> Extent:
    facts = os.stat(path)
    return facts.st_size, facts.st_mtime_ns
