"""Folders and globs, in one order: depth first, each directory's entries sorted by name bytes.

Knows nothing of rows. Names are bytes throughout, so those that are not UTF-8 survive.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc

from visioncli.errors import UsageError
from visioncli.io.own_names import is_own_file, is_own_folder
from visioncli.wording import counted

IMAGE_SUFFIXES = (
    *(b".jpg", b".jpeg", b".jpe", b".jfif", b".png", b".gif", b".webp", b".bmp"),
    *(b".tif", b".tiff", b".avif", b".heic", b".heif"),
)
_FOLDER = b"\0"  # marks a folder behind its name: the smallest byte, so that the order stays that of the names
_SORT_ROWS = 65_536  # names of a directory that are Python objects at one time
_GLOB_TOKEN = re.compile(rb"\*\*/|\*\*\Z|\*|\?|\[!?\]?[^\]]*\]|.", re.DOTALL)


@dataclass(slots=True)
class Skipped:
    """What a walk left out, counted while it goes."""

    dot_files: int = 0
    folder_links: int = 0
    no_files: int = 0  # members of a tar: links to nowhere in it, devices, files with holes
    own: int = 0  # what earlier runs, or this one, wrote beside their tables
    unreadable: list[str] = field(default_factory=list)

    def sentences(self, where: str) -> Iterator[str]:
        """Yield what is as it should be."""
        if self.dot_files:
            yield f"{where}: {counted(self.dot_files, 'dot-file or dot-folder', 'dot-files or dot-folders')} skipped"
        if self.folder_links:
            yield f"{where}: {counted(self.folder_links, 'link to a folder', 'links to folders')} not followed"
        if self.no_files:
            members = counted(self.no_files, "member that is no whole file", "members that are no whole files")
            yield f"{where}: {members} skipped"
        if self.own:
            drawings = counted(self.own, "drawing, or folder", "drawings, or folders")
            yield f"{where}: {drawings} beside an output, of visioncli's own skipped"

    def warnings(self, where: str) -> Iterator[str]:
        """Yield what somebody should look into: pictures are missing."""
        yield from (f"{where}: a folder could not be read and was skipped: {reason}" for reason in self.unreadable)


def is_image_name(name: bytes) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES)


def _anywhere(folder: bytes) -> bool:
    return True


def walk(
    root: bytes,
    skipped: Skipped,
    ordered: bool = True,
    wanted: Callable[[bytes], bool] = is_image_name,
    enter: Callable[[bytes], bool] = _anywhere,
) -> Iterator[bytes]:
    """Yield the paths of images below `root`, relative to it.

    `ordered=False` is for finding out if there is any. `wanted` is asked for each file by its name, `enter` for each
    folder by its relative path.
    """
    arrange: Callable[[Iterator[bytes]], Iterator[bytes]] = _sorted if ordered else iter
    open_folders = [(b"", arrange(_entries(root, skipped, wanted)))]
    while open_folders:
        folder, entries = open_folders[-1]
        entry = next(entries, None)
        if entry is None:
            open_folders.pop()
        elif not entry.endswith(_FOLDER):
            yield folder + entry
        elif enter(folder + entry[:-1]):
            inner = folder + entry[:-1] + b"/"
            open_folders.append((inner, arrange(_entries(os.path.join(root, inner), skipped, wanted))))


def _entries(folder: bytes, skipped: Skipped, wanted: Callable[[bytes], bool]) -> Iterator[bytes]:
    try:
        scan = os.scandir(folder)
    except OSError as error:
        skipped.unreadable.append(f"{os.fsdecode(folder)!r} ({error.strerror})")
        return
    folders = []  # come last, when the scan is closed: a deep tree would run out of open files
    with scan:
        for entry in scan:
            is_folder = entry.is_dir(follow_symlinks=False)
            if entry.name.startswith(b"."):
                skipped.dot_files += 1
            elif is_own_folder(folder, entry.name) if is_folder else is_own_file(entry.name):
                skipped.own += 1
            elif is_folder:
                folders.append(entry.name + _FOLDER)
            elif entry.is_symlink() and os.path.isdir(entry.path):  # False for a link to itself; is_dir() raises
                skipped.folder_links += 1
            elif wanted(entry.name):
                yield entry.name
    yield from folders


def _sorted(names: Iterable[bytes]) -> Iterator[bytes]:
    """Sort by bytes; a folder of millions is held in Arrow memory, about its names' length."""
    remaining = iter(names)
    first = list(islice(remaining, _SORT_ROWS))
    if len(first) < _SORT_ROWS:
        yield from sorted(first)
        return
    chunks = [pa.array(first, pa.large_binary())]
    while more := list(islice(remaining, _SORT_ROWS)):
        chunks.append(pa.array(more, pa.large_binary()))
    held = pa.concat_arrays(chunks)
    order = pc.array_sort_indices(held)
    for start in range(0, len(order), _SORT_ROWS):
        yield from held.take(order[start : start + _SORT_ROWS]).to_pylist()


def is_glob(name: bytes) -> bool:
    return any(magic in name for magic in b"*?[")


def split_glob(pattern: bytes) -> tuple[bytes, bytes]:
    """Return the folder before the first magic component, as written with its slash, and the rest."""
    parts = pattern.split(b"/")
    first = next(index for index, part in enumerate(parts) if is_glob(part))
    return b"".join(part + b"/" for part in parts[:first]), b"/".join(parts[first:])


def glob(
    base: bytes,
    pattern: bytes,
    skipped: Skipped,
    ordered: bool = True,
    wanted: Callable[[bytes], bool] = is_image_name,
) -> Iterator[bytes]:
    """Yield the images (or what is `wanted`) below `base` whose relative path matches `pattern`.

    `**` stands for any number of folders; raises UsageError for brackets that are no set.
    """
    matches = _compiled(pattern).fullmatch
    levels = pattern.split(b"/")[:-1]
    plain = [_compiled(level) for level in levels[: levels.index(b"**") if b"**" in levels else None]]
    endless = b"**" in pattern.split(b"/")

    def enter(folder: bytes) -> bool:
        depth = folder.count(b"/")
        return bool(plain[depth].fullmatch(folder.split(b"/")[depth])) if depth < len(plain) else endless

    return (path for path in walk(base or b".", skipped, ordered, wanted, enter) if matches(path))


def _compiled(pattern: bytes) -> re.Pattern[bytes]:
    try:
        return re.compile(b"".join(_translated(token) for token in _GLOB_TOKEN.findall(pattern)), re.DOTALL)
    except re.error as error:
        raise UsageError(f"{os.fsdecode(pattern)!r} is no glob: {error}") from error


def _translated(token: bytes) -> bytes:
    if len(token) > 1 and token.startswith(b"["):
        inside = token[1:-1].replace(b"\\", rb"\\").replace(b"[", rb"\[")
        return b"[" + (b"^/" + inside[1:] if inside.startswith(b"!") else inside) + b"]"
    known = {b"**/": rb"(?:[^/]+/)*", b"**": rb".+", b"*": rb"[^/]*", b"?": rb"[^/]"}
    return known.get(token) or re.escape(token)
