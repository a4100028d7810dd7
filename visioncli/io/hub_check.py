"""Is every file of a checkpoint still what it was? Hashes compared with what is known of them on this machine.

Never reaches for the hub. Three things may know a file's digest: the record of `pull`, the name of a blob in the hub's
cache, and for a directory its SHA256SUMS or what `hf download --local-dir` wrote into it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from visioncli.io.fingerprints import matches, sha256_of
from visioncli.io.hub_cache import Snapshot, read_record

SUMS = "SHA256SUMS"  # lines of `<64 hex digits>  <name>`, as sha256sum writes them
_SUM = re.compile(r"([0-9a-f]{64}) [ *](.+)")
_DIGEST = re.compile(r"[0-9a-f]{64}|[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class FileCheck:
    """`state` is ok, changed, missing, or unknown where nothing is known to compare with."""

    name: str
    state: str
    sha256: str | None  # as it is now


def check(directory: Path, digests: Mapping[str, str]) -> Iterator[FileCheck]:
    """Hash every file under `directory`, by name; what only `digests` knows is missing."""
    present = {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}
    shown = {name for name in present if not name.startswith(".") and name != SUMS}
    for name in sorted(shown | set(digests)):
        yield _check_one(directory / name, name, digests.get(name))


def _check_one(path: Path, name: str, digest: str | None) -> FileCheck:
    if not path.is_file():
        return FileCheck(name, "missing", None)
    found = sha256_of(path)
    if digest is None:
        return FileCheck(name, "unknown", found)
    right = found == digest if len(digest) == 64 else matches(path, digest)
    return FileCheck(name, "ok" if right else "changed", found)


def digests_of(snapshot: Snapshot) -> dict[str, str]:
    """Return name -> SHA-256 or git blob name, as far as `pull` or the cache's layout knows them."""
    links = {path: path.readlink().name for path in snapshot.directory.rglob("*") if path.is_symlink()}
    blobs = {
        path.relative_to(snapshot.directory).as_posix(): blob for path, blob in links.items() if _DIGEST.fullmatch(blob)
    }
    record = read_record(snapshot.id, snapshot.commit)
    return blobs | ({name: file.sha256 for name, file in record.files.items()} if record else {})


def sums_in(directory: Path) -> dict[str, str]:
    """Return name -> digest from a directory's SHA256SUMS, else from the notes of `hf download --local-dir`."""
    if (directory / SUMS).is_file():
        lines = (directory / SUMS).read_text(errors="replace").splitlines()
        return {line[2]: line[1] for line in map(_SUM.fullmatch, lines) if line}
    return {
        path.name.removesuffix(".metadata"): digest
        for path in (directory / ".cache" / "huggingface" / "download").glob("*.metadata")
        if (digest := "".join(path.read_text().splitlines()[1:2])) and _DIGEST.fullmatch(digest)  # commit, etag, time
    }
