"""The hub over HTTP: what a repository holds, and fetching its files into the cache.

huggingface_hub is imported only here, late. Knows nothing of tasks, aliases or local directories.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from visioncli.errors import HubUnreachableError, ModelError, OutputError, VisioncliError
from visioncli.io import hub_cache
from visioncli.io.fingerprints import matches

T = TypeVar("T")
PASSING = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True, slots=True)
class RemoteFile:
    name: str
    size: int | None
    digest: str | None  # SHA-256 (64 hex digits) of a large file, git blob name (40) of a small one


@dataclass(frozen=True, slots=True)
class Listing:
    """One commit of one repository, as the hub describes it; only the files that a family may read."""

    id: str  # in the hub's spelling
    commit: str
    licence: str | None
    gated: bool
    files: tuple[RemoteFile, ...]


def list_files(hub_id: str, revision: str, deadline_s: float) -> Listing:
    """Ask the hub what `revision` of `hub_id` is now. One request, never repeated.

    Raises HubUnreachableError (no answer within `deadline_s`, or one that may pass), ModelError (not found, gated).
    """
    where = hub_cache.endpoint()
    if not where.startswith(("http://", "https://")):
        raise ModelError(f"HF_ENDPOINT is {where!r}; it must begin with http:// or https://")
    with _translated(hub_id, revision):
        api = _library().HfApi(endpoint=where)
        info = _within(
            deadline_s, lambda: api.model_info(hub_id, revision=revision, timeout=deadline_s, files_metadata=True)
        )
        listing = _listing(info)
    if not hub_cache.has_weights(file.name for file in listing.files):
        raise ModelError(
            f"{hub_id} has no .safetensors weights at {revision}, and pickled weights are never read: "
            "choose another --revision, or convert it into a local directory"
        )
    return listing


def fetch(listing: Listing, file: RemoteFile, force: bool = False) -> Path:
    """Bring one file into the cache and return its path there; its hash is checked.

    Raises HubUnreachableError, ModelError (gated, not found, arrived damaged), OutputError (the disk is full).
    """
    with _translated(listing.id, listing.commit):
        path = Path(
            _library().hf_hub_download(
                listing.id,
                file.name,
                revision=listing.commit,
                cache_dir=hub_cache.folder(),
                endpoint=hub_cache.endpoint(),
                force_download=force,
            )
        )
    if file.digest and not matches(path, file.digest):
        path.resolve().unlink(missing_ok=True)  # else it would be taken for the file that its name promises
        path.unlink(missing_ok=True)
        raise ModelError(
            f"{file.name} of {listing.id} arrived damaged (not the hash that the hub names, {file.digest[:12]}…) "
            "and was removed: run the same command again"
        )
    return path


def refuse_locked(listing: Listing, file: RemoteFile, deadline_s: float) -> None:
    """Ask for a file's size alone. Raises ModelError where the account may not have it (gated), HubUnreachableError."""
    with _translated(listing.id, listing.commit):
        library = _library()
        url = library.hf_hub_url(listing.id, file.name, revision=listing.commit, endpoint=hub_cache.endpoint())
        _within(deadline_s, lambda: library.get_hf_file_metadata(url, timeout=deadline_s))


def why_not_reached(deadline_s: float) -> str | None:
    """Ask the hub for any answer at all; return what went wrong, or None."""
    where = hub_cache.endpoint()
    try:
        _within(deadline_s, lambda: _library().utils.get_session().head(where, timeout=deadline_s))
    except _expected() as error:
        return str(error) or type(error).__name__
    return None


def _library() -> Any:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # else the first call also asks for a list of programs
    import huggingface_hub
    import huggingface_hub.errors  # the package imports neither by itself
    import huggingface_hub.utils

    return huggingface_hub


def _listing(info: Any) -> Listing:
    files = {one.rfilename: one for one in info.siblings or ()}
    chosen = tuple(
        RemoteFile(name, files[name].size, files[name].lfs.sha256 if files[name].lfs else files[name].blob_id)
        for name in hub_cache.wanted(files)
    )
    if not hub_cache.is_commit(info.sha or ""):
        raise ValueError("no commit")
    licence = info.card_data.get("license") if info.card_data else None
    return Listing(info.id, info.sha, licence, bool(info.gated), chosen)


def _within(deadline_s: float, ask: Callable[[], T]) -> T:
    """Give up after `deadline_s`: the library's own time-out counts per address, and names have many addresses."""
    answers: list[T] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            answers.append(ask())
        except _expected() as error:  # handed to the thread that waits
            errors.append(error)

    thread = threading.Thread(target=run, name="hub", daemon=True)
    thread.start()
    thread.join(deadline_s)
    if errors:
        raise errors[0]
    if not answers:
        raise TimeoutError(f"no answer within {deadline_s:g} s")
    return answers[0]


def _expected() -> tuple[type[Exception], ...]:
    """What huggingface_hub raises, its parser on an answer that is not a hub's, and hf_xet (a bare RuntimeError)."""
    return (_library().errors.HTTPError, OSError, ValueError, TypeError, KeyError, RuntimeError)


@contextmanager
def _translated(hub_id: str, revision: str) -> Iterator[None]:
    """Turn what huggingface_hub raises into one sentence that says what to do."""
    try:
        yield
    except _expected() as error:
        vague = isinstance(
            error, (_library().errors.LocalEntryNotFoundError, ValueError)
        )  # "could not ask"; its cause knows why
        raise _sentence(error.__cause__ if vague and error.__cause__ else error, hub_id, revision) from error


def _sentence(error: BaseException, hub_id: str, revision: str) -> VisioncliError:
    where, library = hub_cache.endpoint(), _library().errors
    if isinstance(error, library.GatedRepoError):
        return ModelError(
            f"{hub_id} is gated: accept its licence at {where}/{hub_id}, then set HF_TOKEN to a token of that account"
        )
    if isinstance(error, library.RevisionNotFoundError):
        return ModelError(f"{hub_id} has no revision {revision!r}: see {where}/{hub_id}/commits/main for those it has")
    if isinstance(error, library.HfHubHTTPError):
        return _of_status(error.response.status_code, hub_id)
    if isinstance(error, OSError) and error.errno and not isinstance(error, (ConnectionError, TimeoutError)):
        return OutputError(f"cannot write {hub_id} into {hub_cache.folder()}: {error.strerror}")
    if isinstance(error, (ValueError, TypeError, KeyError)) and not isinstance(error, OSError):
        return unreachable(hub_id, "what answered is no hub; a proxy or a sign-in page, perhaps")
    return unreachable(hub_id, (str(error) or type(error).__name__).splitlines()[0])


def _of_status(status: int, hub_id: str) -> VisioncliError:
    where = hub_cache.endpoint()
    if status in (401, 404):
        return ModelError(
            f"{where} knows no model {hub_id}, or it is private: check the name, "
            "or set HF_TOKEN to a token that may read it"
        )
    if status in PASSING:
        return unreachable(hub_id, f"status {status}")
    return ModelError(f"{where} refused {hub_id} with status {status}: check that HF_TOKEN is allowed to read it")


def unreachable(hub_id: str, reason: str) -> HubUnreachableError:
    return HubUnreachableError(
        f"the hub at {hub_cache.endpoint()} did not deliver {hub_id} ({reason}): try again later, run "
        f"`visioncli models pull {hub_id}` where it can be reached, or name a local directory (--model demo is bundled)"
    )
