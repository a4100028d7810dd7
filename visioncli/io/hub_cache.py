"""The hub's cache folder on this machine: what is in it, and what `pull` recorded about it. Never reaches for the hub.

The layout is huggingface_hub's: `models--<org>--<name>/{refs/<ref>, snapshots/<commit>/<file> -> blobs/<digest>}`.
Environment variables are read at call time, because huggingface_hub reads them only once, at import.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from visioncli.io.fingerprints import user_cache, write_whole
from visioncli.provenance import OPEN_CLIP, OPEN_CLIP_CONFIG, PREPROCESSORS, is_open_clip

SIDE_FILES = (  # everything but weights that a family may read; never *.bin, *.h5, *.msgpack, *.onnx
    "config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "open_clip_config.json",
    "tokenizer*",
    "spiece.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
)
NEEDED_WITHOUT_A_RECORD = (  # one of each group; another program may have cached only a part of a checkpoint
    ("config.json",),
    PREPROCESSORS,
    ("tokenizer.json", "spiece.model", "vocab.json", "tokenizer.model"),
)
NEEDED_OF_OPEN_CLIP = ((OPEN_CLIP_CONFIG,), (OPEN_CLIP,), NEEDED_WITHOUT_A_RECORD[2])
WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_TRUE = {"1", "ON", "YES", "TRUE"}
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class RecordedFile:
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Record:
    """What `pull` saw: written once all files had arrived and their hashes were right."""

    id: str
    commit: str
    licence: str | None
    gated: bool
    files: Mapping[str, RecordedFile]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One commit of one repository in the cache; perhaps not all of its files."""

    id: str
    commit: str
    directory: Path
    refs: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(path.stat().st_size for path in self._files())

    @property
    def last_used(self) -> float:
        """Seconds since 1970: when a file of it was last read, as far as the file system keeps that."""
        return max((path.stat().st_atime for path in self._files()), default=0.0)

    def _files(self) -> list[Path]:
        return [path for path in self.directory.rglob("*") if path.is_file()]


def endpoint() -> str:
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def folder() -> Path:
    """Return where huggingface_hub keeps checkpoints, by its own rules."""
    env = os.environ
    home = env.get("HF_HOME") or Path(env.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    named = env.get("HF_HUB_CACHE") or env.get("HUGGINGFACE_HUB_CACHE") or Path(home) / "hub"
    return Path(os.path.expandvars(named)).expanduser().absolute()


def offline() -> bool:
    value = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return value.upper() in _TRUE


def is_commit(revision: str) -> bool:
    return bool(_COMMIT.fullmatch(revision))


def wanted(names: Iterable[str]) -> list[str]:
    """Pick what a family may read out of a repository's file names; weights come last."""
    flat = sorted(name for name in names if "/" not in name)
    side = [name for name in flat if any(fnmatchcase(name, pattern) for pattern in SIDE_FILES)]
    if is_open_clip(flat):
        return [name for name in side if name != "config.json"] + [name for name in flat if name == OPEN_CLIP]
    return side + _weights(flat)


def has_config(names: Iterable[str]) -> bool:
    """Say whether there is the file that tells a checkpoint's family."""
    there = set(names)
    return (OPEN_CLIP_CONFIG if is_open_clip(there) else "config.json") in there


def _weights(flat: list[str]) -> list[str]:
    if WHOLE in flat:
        return [WHOLE]
    if INDEX in flat:
        return [INDEX, *(name for name in flat if fnmatchcase(name, "model-*.safetensors"))]
    return [name for name in flat if name.endswith(".safetensors")]


def has_weights(names: Iterable[str]) -> bool:
    return any(name.endswith(".safetensors") for name in names)


def files_in(directory: Path) -> list[str]:
    """List the files directly in `directory`, without dangling links."""
    return sorted(path.name for path in directory.iterdir() if path.is_file())


def snapshots() -> list[Snapshot]:
    """List every commit in the cache, by id and commit."""
    found = [one for repository in folder().glob("models--*") for one in _snapshots_of(repository)]
    return sorted(found, key=lambda one: (one.id.lower(), one.commit))


def directory_of(hub_id: str, commit: str) -> Path:
    """Return where a commit's files are, or will be."""
    return folder() / _repository_name(hub_id) / "snapshots" / commit


def _repository_name(hub_id: str) -> str:
    return f"models--{hub_id.replace('/', '--')}"


def _snapshots_of(repository: Path) -> list[Snapshot]:
    hub_id = repository.name.removeprefix("models--").replace("--", "/")
    refs = _refs_of(repository)
    return [
        Snapshot(hub_id, path.name, path, tuple(sorted(ref for ref, commit in refs.items() if commit == path.name)))
        for path in sorted(repository.glob("snapshots/*"))
        if path.is_dir()
    ]


def _refs_of(repository: Path) -> dict[str, str]:
    root = repository / "refs"
    return {path.relative_to(root).as_posix(): path.read_text().strip() for path in root.rglob("*") if path.is_file()}


def find(hub_id: str, revision: str) -> Snapshot | None:
    """Return the snapshot for a ref, a commit or at least seven digits of one; ids compare as the hub compares them."""
    name = _repository_name(hub_id).lower()
    repositories = [path for path in folder().glob("models--*") if path.name.lower() == name]
    mine = [one for repository in repositories for one in _snapshots_of(repository)]
    exact = [one for one in mine if revision in one.refs or revision == one.commit]
    short = [one for one in mine if len(revision) >= 7 and one.commit.startswith(revision)]
    return exact[0] if exact else short[0] if len(short) == 1 else None


def is_complete(snapshot: Snapshot) -> bool:
    """Say whether every file is there: those that `pull` recorded, else at least one of each kind that is needed."""
    record = read_record(snapshot.id, snapshot.commit)
    names = files_in(snapshot.directory)
    if record:
        return all(_size(snapshot.directory / name) == file.size for name, file in record.files.items())
    needed = NEEDED_OF_OPEN_CLIP if is_open_clip(names) else NEEDED_WITHOUT_A_RECORD
    groups = all(any(name in names for name in group) for group in needed)
    return groups and has_weights(names) and _has_all_shards(snapshot.directory, names)


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _has_all_shards(directory: Path, names: list[str]) -> bool:
    if WHOLE in names or INDEX not in names:
        return True
    try:
        shards = json.loads((directory / INDEX).read_text())["weight_map"].values()
    except (ValueError, KeyError, AttributeError):
        return False
    return set(shards) <= set(names)


def write_ref(hub_id: str, revision: str, commit: str) -> None:
    """Let `revision` mean `commit` when offline. A cache that cannot be written stays as it is."""
    path = folder() / _repository_name(hub_id) / "refs" / revision
    with suppress(OSError):
        if not path.is_file() or path.read_text() != commit:
            write_whole(path, commit)


def _record_file(hub_id: str, commit: str) -> Path:
    return user_cache() / "pulled" / f"{hub_id.lower().replace('/', '--')}@{commit}.json"


def write_record(record: Record) -> None:
    with suppress(OSError):  # without it, the cache's own blob names still tell the hashes
        write_whole(_record_file(record.id, record.commit), json.dumps(asdict(record), indent=1))


def read_record(hub_id: str, commit: str) -> Record | None:
    try:
        raw = json.loads(_record_file(hub_id, commit).read_text())
        files = {name: RecordedFile(**file) for name, file in raw.pop("files").items()}
        return Record(files=files, **raw)
    except (OSError, ValueError, TypeError, KeyError):
        return None
