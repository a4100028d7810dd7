"""Checkpoints: from a name that a person types to a directory of files with a commit, fetched and checked.

Knows nothing of what is inside a checkpoint, beyond which files belong to it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from visioncli.errors import HubUnreachableError, ModelError, OutputError, UsageError
from visioncli.io import hub_cache, hub_check, hub_remote
from visioncli.io.fingerprints import LARGE, fingerprint, matches, sha256_of
from visioncli.io.hub_cache import Record, RecordedFile, Snapshot
from visioncli.io.hub_check import FileCheck
from visioncli.io.hub_names import DEMO_ROOT, DEMOS, local_directory, parse, refuse_revision, shadow_notice
from visioncli.io.hub_remote import Listing, RemoteFile
from visioncli.io.licences import ALIASES, DEFAULTS, DEMO_LICENCE, Terms, announcement, terms_of
from visioncli.io.model_cards import is_non_commercial, terms_in
from visioncli.provenance import Checkpoint

__all__ = [
    "ALIASES",
    "DEFAULTS",
    "DEMOS",
    "FileCheck",
    "Pulled",
    "cached",
    "locate",
    "parse",
    "pull",
    "terms",
    "verify",
]

DEADLINE_S = 10.0  # for the hub's first answer; slow proxies take a few seconds
DEADLINE_WITH_A_COPY_S = 4.0  # what is already here should not wait long for news

Say = Callable[[str], None]  # one line for a person, while files arrive


@dataclass(frozen=True, slots=True)
class Pulled:
    checkpoint: Checkpoint
    files: dict[str, RecordedFile]  # name -> size in bytes, SHA-256


def locate(
    model: str,
    task: str,
    revision: str | None = None,
    offline: bool = False,
    say: Say = lambda line: None,
    *,
    directories: bool = True,
) -> Checkpoint:
    """Return the checkpoint that `model` names, fetching what is not cached; `task` is a key of DEFAULTS.

    `model` is `demo`, `demo/<one of DEMOS>`, a directory, an alias, or a hub id, the last two with an optional
    `@revision`. Without `directories` a name is never a directory of this machine's: a stranger gave it.
    A commit that is cached, and everything when `offline` (or HF_HUB_OFFLINE is set), is answered without any
    connection.
    Raises ModelError (not found, gated, not cached), HubUnreachableError, OutputError (disk), UsageError.
    """
    directory = local_directory(model, task)
    if directory and (directories or DEMO_ROOT in directory.parents):
        refuse_revision(model, revision)
        bundled = DEMO_ROOT in directory.parents
        return _local(model, directory, None) if bundled else _local(directory.name, directory, shadow_notice(model))
    hub_id, wanted = parse(model, revision)
    if offline or hub_cache.offline():
        return _checkpoint(_cached(hub_id, wanted))
    return _online(hub_id, wanted, say)


def pull(model: str, revision: str | None = None, force: bool = False, say: Say = lambda line: None) -> Pulled:
    """Fetch a hub checkpoint, check every file's hash, fetch again what is damaged, and record what came.

    Raises as `locate` does; UsageError for `demo`, a directory, or when HF_HUB_OFFLINE is set.
    """
    if local_directory(model, "classify"):
        raise UsageError(f"{model!r} is on this machine already; pull takes a hub id or an alias")
    hub_id, wanted = parse(model, revision)
    if hub_cache.offline():
        raise UsageError(f"HF_HUB_OFFLINE is set, and pulling {hub_id} needs the hub")
    listing = hub_remote.list_files(hub_id, wanted, _deadline_s())
    directory = hub_cache.directory_of(listing.id, listing.commit)
    missing = [file for file in listing.files if force or not _is_there(directory, file, hashed=True)]
    return _fetch(listing, wanted, missing, say, force=True)


def verify(model: str, revision: str | None = None, task: str = "classify") -> Iterator[FileCheck]:
    """Hash every file of a checkpoint on this machine again, and compare; never reaches for the hub.

    Compared with what `pull` recorded, the digests that the hub's cache is named by, or a directory's SHA256SUMS.
    Raises ModelError where there is no such checkpoint, UsageError.
    """
    directory = local_directory(model, task)
    if directory:
        refuse_revision(model, revision)
        return hub_check.check(directory, hub_check.sums_in(directory))
    snapshot = _cached(*parse(model, revision), whole=False)
    return hub_check.check(snapshot.directory, hub_check.digests_of(snapshot))


def cached() -> list[Snapshot]:
    """List what is in the hub's cache, by id and commit; complete or not, of any family."""
    return hub_cache.snapshots()


def terms(hub_id: str, snapshot: Snapshot | None) -> Terms:
    """Return the licence and gate: our table's, else those of the model card that came with `snapshot`."""
    record = hub_cache.read_record(hub_id, snapshot.commit) if snapshot else None
    table = terms_of(hub_id)
    if not record:
        return table or Terms(None)
    if table:
        return replace(table, gated=table.gated or record.gated)
    return Terms(record.licence, record.gated, is_non_commercial(record.licence))


def _local(name: str, directory: Path, notice: str | None) -> Checkpoint:
    names = hub_cache.wanted(hub_cache.files_in(directory) if directory.is_dir() else ())
    if not hub_cache.has_config(names) or not hub_cache.has_weights(names):
        raise ModelError(f"{directory} is no checkpoint: it must hold config.json and .safetensors weights")
    known = Terms(DEMO_LICENCE) if DEMO_ROOT in directory.parents else terms_in(directory)
    said = "; ".join(filter(None, (notice, announcement(name, known)))) or None
    try:
        return Checkpoint(name, directory, f"files:{fingerprint(directory, names)}", known.licence, said)
    except OSError as error:
        raise ModelError(f"{directory} cannot be read: {error.strerror}") from error


def _cached(hub_id: str, revision: str, whole: bool = True) -> Snapshot:
    snapshot = hub_cache.find(hub_id, revision)
    if snapshot and not (whole and not hub_cache.is_complete(snapshot)):
        return snapshot
    at = "" if revision == "main" else f" --revision {revision}"
    raise ModelError(
        f"{hub_id}{f' at {revision}' if at else ''} is {'only partly' if snapshot else 'not'} in the cache "
        f"({hub_cache.folder()}): run `visioncli models pull {hub_id}{at}` on a machine that reaches the hub, "
        "or name a local directory with --model (--model demo is bundled)"
    )


def _online(hub_id: str, revision: str, say: Say) -> Checkpoint:
    found = hub_cache.find(hub_id, revision)
    copy = found if found and hub_cache.is_complete(found) else None
    if copy and hub_cache.is_commit(revision):
        return _checkpoint(copy)
    try:
        listing = hub_remote.list_files(hub_id, revision, _deadline_s(bool(copy)))
    except HubUnreachableError:
        if not copy:
            raise
        return _and_notice(
            _checkpoint(copy), f"the hub cannot be reached, so {hub_id} is the cached commit {copy.commit[:12]}"
        )
    directory = hub_cache.directory_of(listing.id, listing.commit)
    snapshot = Snapshot(listing.id, listing.commit, directory, ())
    if hub_cache.read_record(listing.id, listing.commit) and hub_cache.is_complete(snapshot):
        hub_cache.write_ref(listing.id, revision, listing.commit)
        return _checkpoint(snapshot)
    missing = [file for file in listing.files if not _is_there(directory, file)]
    return _fetch(listing, revision, missing, say).checkpoint


def _deadline_s(has_copy: bool = False) -> float:
    """Seconds for the hub's first answer; HF_HUB_ETAG_TIMEOUT, the library's own setting for it, goes first."""
    asked = os.environ.get("HF_HUB_ETAG_TIMEOUT", "")
    return float(asked) if asked.isdigit() else DEADLINE_WITH_A_COPY_S if has_copy else DEADLINE_S


def _is_there(directory: Path, file: RemoteFile, hashed: bool = False) -> bool:
    """Size for all, contents for small files and where `hashed`: another program may have cached them long ago."""
    path = directory / file.name
    if not path.is_file() or file.size not in (None, path.stat().st_size):
        return False
    return not file.digest or not (hashed or path.stat().st_size < LARGE) or matches(path, file.digest)


def _fetch(listing: Listing, revision: str, files: list[RemoteFile], say: Say, force: bool = False) -> Pulled:
    size = sum(file.size or 0 for file in files)
    if files:
        _refuse_without_room(listing.id, size)
        say(f"fetching {listing.id} at {listing.commit[:12]}: {len(files)} files, {size / 1e6:.1f} MB")
    for file in files:
        hub_remote.fetch(listing, file, force)
    directory = hub_cache.directory_of(listing.id, listing.commit)
    recorded = {file.name: _recorded(directory / file.name, file.digest) for file in listing.files}
    hub_cache.write_record(Record(listing.id, listing.commit, listing.licence, listing.gated, recorded))
    hub_cache.write_ref(listing.id, revision, listing.commit)
    return Pulled(_checkpoint(Snapshot(listing.id, listing.commit, directory, ())), recorded)


def _refuse_without_room(hub_id: str, size: int) -> None:
    there = next(path for path in (hub_cache.folder(), *hub_cache.folder().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if size > free:
        raise OutputError(
            f"{hub_id} needs {size / 1e6:.1f} MB in {hub_cache.folder()}, and {free / 1e6:.1f} MB are free: "
            "make room, or set HF_HOME to a folder on another disk"
        )


def _recorded(path: Path, digest: str | None) -> RecordedFile:
    return RecordedFile(path.stat().st_size, digest if digest and len(digest) == 64 else sha256_of(path))


def _checkpoint(snapshot: Snapshot) -> Checkpoint:
    known = terms(snapshot.id, snapshot)
    return Checkpoint(snapshot.id, snapshot.directory, snapshot.commit, known.licence, announcement(snapshot.id, known))


def _and_notice(checkpoint: Checkpoint, notice: str) -> Checkpoint:
    return replace(checkpoint, notice="; ".join(filter(None, (notice, checkpoint.notice))))
