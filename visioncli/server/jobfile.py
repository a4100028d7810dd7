"""The file in which jobs are kept: where it lies, who holds it, what its table looks like, the threads that work on it.

Knows nothing of what is done with the rows (`jobstore.py`).
"""

from __future__ import annotations

import fcntl
import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from visioncli.errors import LockHeldError, OutputError

VERSION = 2  # PRAGMA user_version of the table below
_BUSY_S = 10.0  # sqlite3 waits so long for a reader from outside, a person with a shell say
_GROUP = 64  # statements in one transaction: as many as wait, within reason

_TABLE = """
CREATE TABLE jobs (
    turn INTEGER PRIMARY KEY,  -- the order in which jobs are taken
    id TEXT NOT NULL UNIQUE, api TEXT NOT NULL, kind TEXT NOT NULL,
    time_limit_s REAL NOT NULL, ttl_s REAL NOT NULL, keep_s REAL NOT NULL,
    status TEXT NOT NULL, created REAL NOT NULL, started REAL, finished REAL, expires REAL NOT NULL,
    attempts INTEGER NOT NULL, restarts INTEGER NOT NULL, delivered INTEGER NOT NULL,
    webhook_due REAL, webhook_tries INTEGER NOT NULL,
    webhook TEXT, error TEXT, payload BLOB NOT NULL, result BLOB  -- what is long comes last: SQLite reads in this order
) STRICT;
CREATE INDEX jobs_in_line ON jobs (api, status, turn);
CREATE INDEX jobs_to_tell ON jobs (api, webhook_due) WHERE webhook_due IS NOT NULL;
"""


def default_path() -> Path:
    """Return where jobs are kept when nothing was said: the user's state folder (XDG Base Directory 0.8)."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "visioncli" / "jobs.sqlite"


def lock(path: Path) -> int:
    """Return the descriptor that holds `path` for this process until it is closed.

    It is of a file beside: closing one of the file itself would drop SQLite's own locks.
    Raises LockHeldError, OutputError.
    """
    beside = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise OutputError(f"{path} cannot hold jobs: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise LockHeldError(
            f"another server works on the jobs in {path}; give this one a file of its own: --jobs-db FILE"
        ) from None
    return descriptor


def open_database(path: Path) -> sqlite3.Connection:
    """Return the file's database, made where there is none; of the calling thread alone.

    Raises OutputError for a file that cannot be written or is somebody else's.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # pictures are nobody else's business
        database = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
    except (OSError, sqlite3.Error) as error:
        raise OutputError(f"{path} cannot hold jobs: {getattr(error, 'strerror', None) or error}") from error
    try:
        _prepare(database, path)
    except sqlite3.Error as error:
        database.close()
        raise OutputError(f"{path} cannot hold jobs: {error}") from error
    except OutputError:
        database.close()
        raise
    database.create_function("host_of", 1, _host_of, deterministic=True)
    return database


def _host_of(url: str) -> str:
    """Whom a URL asks, however it is spelled."""
    with suppress(ValueError):
        return urlsplit(url).netloc.rpartition("@")[2].lower()
    return url


def _prepare(database: sqlite3.Connection, path: Path) -> None:
    version = database.execute("PRAGMA user_version").fetchone()[0]
    is_new = not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if version != VERSION and not (is_new and version == 0):
        words = f"its schema is {version}, not {VERSION}; choose another: --jobs-db FILE"
        raise OutputError(f"{path} holds no jobs of this version: {words}")
    if is_new:
        database.execute("PRAGMA auto_vacuum = INCREMENTAL")  # only before the first table
    database.execute("PRAGMA journal_mode = WAL")
    if is_new:
        database.executescript(f"BEGIN; {_TABLE} PRAGMA user_version = {VERSION}; COMMIT;")


Work = Callable[[sqlite3.Connection], list[Any]]  # returns rows


@dataclass(frozen=True, slots=True, eq=False)
class _Statement:
    work: Work
    lasts: bool
    rows: Future[list[Any]] = field(default_factory=Future)


class Scribe:
    """One thread that runs statements on the file in the order in which they come; what waits together is one commit.

    A commit is synced when one of its statements lasts: 32 at once then cost one sync, not 32. Those who only read have
    a thread and a connection of their own: in write-ahead mode they wait for nobody who writes.
    Raises OutputError as `open_database`.
    """

    def __init__(self, path: Path) -> None:
        self._waiting: queue.SimpleQueue[_Statement | None] = queue.SimpleQueue()
        opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._work, args=(path, opened), name="visioncli-jobs", daemon=True)
        self._thread.start()
        opened.result()

    def run(self, work: Work, *, lasts: bool = True) -> Future[list[Any]]:
        """Return what will be its rows, or sqlite3.Error; what is cancelled before its turn is left."""
        statement = _Statement(work, lasts)
        self._waiting.put(statement)
        return statement.rows

    def close(self) -> None:
        """Run what waits, and end."""
        self._waiting.put(None)
        self._thread.join()

    def _work(self, path: Path, opened: Future[None]) -> None:
        try:
            database = open_database(path)
        except OutputError as error:
            opened.set_exception(error)
            return
        opened.set_result(None)
        while group := self._next():
            wanted = [each for each in group if each.rows.set_running_or_notify_cancel()]
            _commit(database, wanted)
        database.close()

    def _next(self) -> list[_Statement]:
        """Wait for statements; none at the end."""
        group = [self._waiting.get()]
        with suppress(queue.Empty):
            while group[-1] is not None and len(group) < _GROUP:
                group.append(self._waiting.get_nowait())
        if group[-1] is None and len(group) > 1:
            self._waiting.put(group.pop())
        return [each for each in group if each is not None]


def _commit(database: sqlite3.Connection, group: list[_Statement]) -> None:
    """Run statements in one transaction; each gets its rows or its error when that is on disk."""
    results: list[list[Any] | sqlite3.Error] = []
    try:
        database.execute(f"PRAGMA synchronous = {'FULL' if any(each.lasts for each in group) else 'NORMAL'}")
        database.execute("BEGIN")
        results += [_rows(database, each) for each in group]
        database.execute("COMMIT")
    except sqlite3.Error as error:
        with suppress(sqlite3.Error):
            database.execute("ROLLBACK")
        results = [error] * len(group)
    for each, result in zip(group, results, strict=True):
        if isinstance(result, sqlite3.Error):
            each.rows.set_exception(result)
        else:
            each.rows.set_result(result)


def _rows(database: sqlite3.Connection, statement: _Statement) -> list[Any] | sqlite3.Error:
    try:
        return statement.work(database)
    except sqlite3.Error as error:
        if not database.in_transaction:  # SQLite has rolled all of it back, for want of space say
            raise
        return error
    except (ValueError, OverflowError) as error:  # a lone surrogate, an integer of more than 64 bits
        return sqlite3.DataError(str(error))
