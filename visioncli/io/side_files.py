"""Files beside a table: one or more a row, each whole or absent, named by the row so that doing it again overwrites.

Knows nothing of what is in them, nor of the table; whoever writes the table calls `sync` before a part is renamed.
"""

from __future__ import annotations

import json
import os
import re
import threading
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path, PurePosixPath

from visioncli.errors import OutputError
from visioncli.io.own_names import is_own_file
from visioncli.io.sinks import sync_folder
from visioncli.samples import ImageRef, display

_HASH_BYTES = 12  # 96 bits: among 10^9 names two are equal once in 10^11 runs (n²/2 over 2^96)
_SLUG_BYTES = 60  # of UTF-8; with hash, kind, extension and the temporary name's ending far below 255
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,5}$")  # `.jpg` says nothing about a depth map
_KEPT = ("L", "M", "N")  # Unicode's letters, their marks, and digits; all else becomes one underscore
_OURS = re.compile(r"(\.?)[^./]+-([0-9a-f]{2})[0-9a-f]{22}\.[a-z0-9_-]+\.[a-z0-9]+(\.[0-9]+\.tmp)?")


class SideFolder:
    """The side files of one output, below `root`; their paths are told relative to the folder `relative_to`.

    They lie in 256 folders by the beginning of their hash; with `flat`, for people who look at them, in `root` itself.
    Each file is fsynced when it is written, by the thread that writes it; the folders' entries only by `sync`, at most
    260 for any number of files. 2,000 files of 1 kB took 1.0 s so, and 2.3 s with their folder's fsync after each.
    """

    def __init__(self, root: Path, relative_to: Path, salt: str, *, flat: bool = False) -> None:
        self.root, self._salt, self._flat = root, salt, flat
        self._prefix = PurePosixPath(display(os.fsencode(os.path.relpath(root, relative_to))) or ".")
        self._lock, self._syncing = threading.Lock(), threading.Lock()
        self._known: set[Path] = set()  # folders that are there
        self._changed: set[Path] = set()  # folders whose entries are not durable yet

    def name(self, ref: ImageRef, sha256: str | None, kind: str, ext: str) -> PurePosixPath:
        """Return `<hh>/<slug>-<hash>.<kind>.<ext>` for a row: the same for the same row, another for any other one.

        `kind` is of a-z, 0-9, - and _; `ext` of a-z and 0-9, without its dot.
        """
        asked = json.dumps([ref.id, ref.position, sha256, self._salt])  # JSON, so that no two rows spell the same text
        digest = blake2b(asked.encode(), digest_size=_HASH_BYTES).hexdigest()
        return PurePosixPath("" if self._flat else digest[:2], f"{_slug(ref.id)}-{digest}.{kind}.{ext}")

    def write(self, ref: ImageRef, sha256: str | None, kind: str, ext: str, data: bytes) -> str:
        """Write one file, whole or absent, and return its path with forward slashes. From any thread.

        It is as durable as its folder's entry after the next `sync`. Raises OutputError.
        """
        name = self.name(ref, sha256, kind, ext)
        path = self.root / name
        try:
            self._make(path.parent)
            _write_whole(path, data)
        except OSError as error:
            raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error
        with self._lock:
            self._changed.add(path.parent)
        return str(self._prefix / name)

    def sync(self) -> None:
        """Make all that was written before this call durable. From any thread. Raises OutputError."""
        with self._syncing:  # or a second caller would return while the first is still at it
            with self._lock:
                changed, self._changed = self._changed, set()
            try:
                for folder in sorted(changed):
                    sync_folder(folder)
            except OSError as error:
                with self._lock:
                    self._changed |= changed
                raise OutputError(f"{self.root} cannot be written: {error.strerror or error}") from error

    def sweep(self, keep: Collection[str]) -> int:
        """Remove our files that are not in `keep` (paths as `write` returned them), then empty folders of ours.

        Returns how many files went. Another name than ours stays, and so does a link; but another output's side files
        look like ours, so two outputs may not share a `root`. While this runs, nothing may be written.
        Raises OutputError.
        """
        removed = 0
        try:
            for folder in self._folders():
                for name in self._files(folder):
                    if str(self._prefix / folder.relative_to(self.root) / name) not in keep:
                        (folder / name).unlink()
                        removed += 1
                with suppress(OSError):  # it holds something still
                    folder.rmdir()
        except OSError as error:
            raise OutputError(f"{self.root} cannot be tidied: {error.strerror or error}") from error
        self._known.clear()
        return removed

    def _folders(self) -> list[Path]:
        if self._flat or not self.root.is_dir():
            return [self.root] if self.root.is_dir() else []
        with os.scandir(self.root) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        return [self.root / name for name in names if re.fullmatch("[0-9a-f]{2}", name)]

    def _files(self, folder: Path) -> Iterator[str]:
        """Yield the names in a folder that are ours, those that a killed run left half written among them."""
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
        for name in names:
            found = _OURS.fullmatch(name)
            if found and bool(found[1]) == bool(found[3]) and (self._flat or found[2] == folder.name):
                yield name

    def _make(self, folder: Path) -> None:
        """Create a folder with those above it; each that was missing changes the one above it."""
        if folder in self._known:
            return
        missing = [place for place in (folder, *folder.parents) if not place.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        with self._lock:
            self._known.add(folder)
            self._changed |= {place.parent for place in missing}


def remove_drawings(paths: Iterable[Path]) -> None:
    """Remove those of these files that have a drawing's name; one that is not there, or a link, is passed over.

    Raises OutputError.
    """
    for path in paths:
        if is_own_file(os.fsencode(path.name)) and path.is_file() and not path.is_symlink():
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise OutputError(f"{path} cannot be removed: {error.strerror or error}") from error


def _slug(id: str) -> str:
    """The readable part of a name: the id's last segment in letters, digits and underscores, cut to _SLUG_BYTES.

    Dots go too, so that no name is hidden or means a device on Windows (`con.png`).
    """
    last = unicodedata.normalize("NFC", _SUFFIX.sub("", id.rstrip("/\\")))
    last = re.split(r"[/\\]", last)[-1]
    text = "".join(c if c in "-_" or unicodedata.category(c)[0] in _KEPT else "_" for c in last)
    text = re.sub("__+", "_", text).encode()[:_SLUG_BYTES].decode(errors="ignore").strip("-_")
    return text or "image"


def _write_whole(path: Path, data: bytes) -> None:
    """Write beside, fsync, rename; the folder's entry is not fsynced. Raises OSError."""
    beside = path.with_name(f".{path.name}.{threading.get_ident()}.tmp")
    try:
        with open(beside, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        with suppress(OSError):  # the first error is the one to tell
            beside.unlink(missing_ok=True)
        raise
