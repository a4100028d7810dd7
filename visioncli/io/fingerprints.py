"""Hashes of files and of checkpoint directories; the hashes of large files are remembered between runs.

Knows nothing of the hub. What is remembered is keyed by path, size, inode, and both time stamps in nanoseconds: the
change time moves even where a copy restores the modification time.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from visioncli.io.durable import replacing, sync_folder

LARGE = 8 << 20  # bytes; below it, hashing takes no longer than looking up (about 4 ms)
SETTLED_S = 2.0  # younger files may change again within one tick of the file system's clock


def user_cache() -> Path:
    """Return the folder for what visioncli remembers on its own (not checkpoints)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "visioncli"


def write_whole(path: Path, text: str) -> None:
    """Write a file of a cache that other processes may write too: whole or absent. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, alone=False) as file:
        file.write(text.encode())
    sync_folder(path.parent)


def sha256_of(path: Path) -> str:
    """Return the hex SHA-256 of a file's bytes, always reading them."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def git_blob_of(path: Path) -> str:
    """Return git's name of a file (SHA-1 over `blob <size>\\0` and its bytes), which the hub gives for small files."""
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def matches(path: Path, digest: str) -> bool:
    """Say whether a file has this SHA-256 (64 hex digits) or this git blob name (40)."""
    return (sha256_of(path) if len(digest) == 64 else git_blob_of(path)) == digest.lower()


def fingerprint(directory: Path, names: Iterable[str]) -> str:
    """Return 16 hex digits over the names, sizes and contents of `names` in `directory`, in any order."""
    whole = hashlib.sha256()
    for name in sorted(names):
        path = directory / name
        whole.update(f"{name}\0{path.stat().st_size}\0{_remembered(path)}\n".encode())
    return whole.hexdigest()[:16]


def _remembered(path: Path) -> str:
    before = _stamp(path)
    if before[0] < LARGE:
        return sha256_of(path)
    key, memory = str(path.resolve()), _read_memory()
    known = memory.get(key)
    if known and known[:-1] == before:
        return str(known[-1])
    digest = sha256_of(path)
    if _stamp(path) == before and time.time() - max(before[2:]) / 1e9 > SETTLED_S:
        _remember(key, [*before, digest])
    return digest


def _stamp(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns]


def _memory_file() -> Path:
    return user_cache() / "hashes.json"


def _read_memory() -> dict[str, list[object]]:
    try:
        memory = json.loads(_memory_file().read_text())
    except (OSError, ValueError):
        return {}
    return memory if isinstance(memory, dict) else {}


def _remember(key: str, entry: list[object]) -> None:
    kept = {known: value for known, value in _read_memory().items() if os.path.exists(known)}
    with suppress(OSError):  # a convenience: without it the next run hashes again
        write_whole(_memory_file(), json.dumps(kept | {key: entry}))
