"""Checkpoints: from a name that a person types to a directory of files with a commit, fetched and checked.

Knows nothing of what is inside a checkpoint, beyond which files belong to it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
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
from visioncli.wording import counted

__all__ = [
    "ALIASES",
    "DEFAULTS",
    "DEMOS",
    "FileCheck",
    "Found",
    "Pulled",
    "cached",
    "fetched",
    "locate",
    "parse",
    "pull",
    "refuse_without_room",
    "resolve",
    "terms",
    "verify",
]

DEADLINE_S = 10.0  # for the hub's first answer; slow proxies take a few seconds
DEADLINE_WITH_A_COPY_S = 4.0  # what is already here should not wait long for news

Say = Callable[[str], None]  # one line for a person, while files arrive


@dataclass(frozen=True, slots=True)
class Found:
    """What a name stands for, before anything is fetched."""

    checkpoint: Checkpoint  # its directory may not be there yet
    listing: Listing | None = None  # what the hub says now; None where it was not asked, or gave no answer
    revision: str = ""  # of the listing
    missing: tuple[RemoteFile, ...] = ()
    is_recorded: bool = True  # everything is there, and was checked when it came

    @property
    def size(self) -> int:
        """Bytes that are missing."""
        return sum(file.size or 0 for file in self.missing)


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
    return fetched(resolve(model, task, revision, offline, directories=directories), say)


def resolve(
    model: str, task: str, revision: str | None = None, offline: bool = False, *, directories: bool = True
) -> Found:
    """Return what `model` names and which of its files are not here; fetches and writes nothing.

    Names, and what is raised, are as in `locate`.
    """
    directory = local_directory(model, task)
    if directory and (directories or DEMO_ROOT in directory.parents):
        refuse_revision(model, revision)
        bundled = DEMO_ROOT in directory.parents
        name, notice = (model, None) if bundled else (directory.name, shadow_notice(model))
        return Found(_local(name, directory, notice))
    hub_id, wanted = parse(model, revision)
    if offline or hub_cache.offline():
        return Found(_checkpoint(_cached(hub_id, wanted)))
    return _asked(hub_id, wanted)


def fetched(found: Found, say: Say = lambda line: None) -> Checkpoint:
    """Return the checkpoint with all of its files here. Raises ModelError, HubUnreachableError, OutputError."""
    if found.listing is None:
        return found.checkpoint
    if not found.is_recorded:
        return _fetch(found, found.listing, say).checkpoint
    hub_cache.write_ref(found.listing.id, found.revision, found.listing.commit)
    return found.checkpoint


def refuse_without_room(found: Found) -> None:
    """Raise OutputError where the disk has less room than the missing files need."""
    there = next(path for path in (hub_cache.folder(), *hub_cache.folder().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if found.size > free:
        raise OutputError(
            f"{found.checkpoint.id} needs {found.size / 1e6:.1f} MB in {hub_cache.folder()}, and {free / 1e6:.1f} MB "
            "are free: make room, or set HF_HOME to a folder on another disk"
        )


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
    promised = _promised(listing)
    missing = (file for file in listing.files if force or not _is_there(promised.directory, file, hashed=True))
    return _fetch(Found(promised, listing, wanted, tuple(missing), is_recorded=False), listing, say, force=True)


def verify(model: str, revision: str | None = None, task: str = "classify") -> Iterator[FileCheck]:
    """Hash every file of a checkpoint on this machine again, and compare; never reaches for the hub.

    Compared with what `pull` recorded, the digests that the hub's cache is named by, or a directory's SHA256SUMS.
    Raises ModelError where there is no such checkpoint, UsageError.
    """
    directory = local_directory(model, task)
    if directory:
        refuse_revision(model, revision)
        known = hub_check.sums_in(directory)
        _refuse_no_checkpoint(directory, known)
        return hub_check.check(directory, known)
    snapshot = _cached(*parse(model, revision), whole=False)
    return hub_check.check(snapshot.directory, hub_check.digests_of(snapshot))


def cached() -> list[Snapshot]:
    """List what is in the hub's cache, by id and commit; complete or not, of any family."""
    return hub_cache.snapshots()


def terms(hub_id: str, snapshot: Snapshot | None) -> Terms:
    """Return the licence and gate: our table's, else those of the model card that came with `snapshot`."""
    record = hub_cache.read_record(hub_id, snapshot.commit) if snapshot else None
    return _terms(hub_id, record.licence, record.gated) if record else terms_of(hub_id) or Terms(None)


def _terms(hub_id: str, licence: str | None, gated: bool) -> Terms:
    table = terms_of(hub_id)
    if table:
        return replace(table, gated=table.gated or gated)
    return Terms(licence, gated, is_non_commercial(licence))


def _local(name: str, directory: Path, notice: str | None) -> Checkpoint:
    names = _refuse_no_checkpoint(directory)
    known = Terms(DEMO_LICENCE) if DEMO_ROOT in directory.parents else terms_in(directory)
    said = "; ".join(filter(None, (notice, announcement(name, known)))) or None
    try:
        return Checkpoint(name, directory, f"files:{fingerprint(directory, names)}", known.licence, said)
    except OSError as error:
        raise ModelError(f"{directory} cannot be read: {error.strerror}") from error


def _refuse_no_checkpoint(directory: Path, known: Iterable[str] = ()) -> list[str]:
    """Return the files that a family may read, of those that are there or `known` to belong there."""
    names = hub_cache.wanted({*hub_cache.files_in(directory), *known})
    if not hub_cache.has_config(names) or not hub_cache.has_weights(names):
        raise ModelError(f"{directory} is no checkpoint: it must hold config.json and .safetensors weights")
    return names


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


def _asked(hub_id: str, revision: str) -> Found:
    found = hub_cache.find(hub_id, revision)
    copy = found if found and hub_cache.is_complete(found) else None
    if copy and hub_cache.is_commit(revision):
        return Found(_checkpoint(copy))
    try:
        listing = hub_remote.list_files(hub_id, revision, _deadline_s(bool(copy)))
    except HubUnreachableError:
        if not copy:
            raise
        notice = f"the hub cannot be reached, so {hub_id} is the cached commit {copy.commit[:12]}"
        return Found(_and_notice(_checkpoint(copy), notice))
    return _compared(listing, revision)


def _compared(listing: Listing, revision: str) -> Found:
    """Compare what the hub has with what is here."""
    directory = hub_cache.directory_of(listing.id, listing.commit)
    snapshot = Snapshot(listing.id, listing.commit, directory, ())
    if hub_cache.read_record(listing.id, listing.commit) and hub_cache.is_complete(snapshot):
        return Found(_checkpoint(snapshot), listing, revision)
    missing = tuple(file for file in listing.files if not _is_there(directory, file))
    if missing and listing.gated:
        hub_remote.refuse_locked(listing, missing[0], _deadline_s())  # now: it may be long until it is fetched
    return Found(_promised(listing), listing, revision, missing, is_recorded=False)


def _promised(listing: Listing) -> Checkpoint:
    """What will be here once the files have come."""
    known = _terms(listing.id, listing.licence, listing.gated)
    directory = hub_cache.directory_of(listing.id, listing.commit)
    return Checkpoint(listing.id, directory, listing.commit, known.licence, announcement(listing.id, known))


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


def _fetch(found: Found, listing: Listing, say: Say, force: bool = False) -> Pulled:
    if found.missing:
        refuse_without_room(found)
        files = counted(len(found.missing), "file")
        say(f"fetching {listing.id} at {listing.commit[:12]}: {files}, {found.size / 1e6:.1f} MB")
    for file in found.missing:
        hub_remote.fetch(listing, file, force)
    directory = found.checkpoint.directory
    recorded = {file.name: _recorded(directory / file.name, file.digest) for file in listing.files}
    hub_cache.write_record(Record(listing.id, listing.commit, listing.licence, listing.gated, recorded))
    hub_cache.write_ref(listing.id, found.revision, listing.commit)
    return Pulled(found.checkpoint, recorded)


def _recorded(path: Path, digest: str | None) -> RecordedFile:
    return RecordedFile(path.stat().st_size, digest if digest and len(digest) == 64 else sha256_of(path))


def _checkpoint(snapshot: Snapshot) -> Checkpoint:
    known = terms(snapshot.id, snapshot)
    return Checkpoint(snapshot.id, snapshot.directory, snapshot.commit, known.licence, announcement(snapshot.id, known))


def _and_notice(checkpoint: Checkpoint, notice: str) -> Checkpoint:
    return replace(checkpoint, notice="; ".join(filter(None, (notice, checkpoint.notice))))
