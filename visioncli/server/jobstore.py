"""Jobs on disk: queued, running and ended, in one SQLite file for every dialect that has them.

What has been acknowledged is on disk: write-ahead log, each commit synced. One server holds a file at a time (flock on
`<file>.lock`). All statements run in a thread of the store's own (`jobfile.py`): an event loop never waits for a disk.

A job's end is written once, and only over `running`: who was cancelled stays cancelled, whatever comes back later.
An expired job is there for nobody, before it is swept as after.

Knows nothing of what a job asks, who runs it, or how a dialect words its states.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from visioncli.errors import OutputError
from visioncli.server import jobfile

HOOKS = 64  # results that are read at once to be sent

STATUSES = ("queued", "running", "completed", "failed", "cancelled", "timed_out")
ENDED = frozenset(STATUSES[2:])
RESTARTS = 5  # that often a job is begun again after a server that ended under it; then the job is to blame


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One row. Whoever submits fills in what stands before `status`. Times are seconds since the epoch."""

    id: str
    api: str  # "runpod" | "vision-models"
    kind: str  # endpoint id, model type
    payload: bytes  # JSON text; `take` alone reads it, it is b"" elsewhere: a poll must not move megabytes
    time_limit_s: float  # of one execution
    ttl_s: float  # after submission, an unfinished job is forgotten
    keep_s: float  # after its end, a job is forgotten
    webhook: str | None = None
    status: str = "queued"  # one of STATUSES
    created: float = 0.0
    started: float | None = None
    finished: float | None = None
    expires: float = 0.0
    result: bytes | None = None  # JSON text of a completed job
    error: str | None = None
    attempts: int = 0  # how often it was begun
    restarts: int = 0  # of them, after a server that ended under it
    delivered: bool = False  # the result was streamed to somebody
    webhook_due: float | None = None  # when to call its web hook next; None: not now, or not any more
    webhook_tries: int = 0

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED


_SAME_RUN = "id = :id AND api = :api AND status = 'running' AND attempts = :attempts"
_LIVE = "id = :id AND status IN ('queued', 'running')"
_COLUMNS = [field.name for field in fields(Job)]
_ALL = ", ".join(_COLUMNS)
_LIGHT = _ALL.replace("payload", "x'' AS payload")


class JobStore:
    """One file, held while this object lives. Its coroutines may be awaited from any loop.

    Raises LockHeldError when another server has the file, OutputError when it cannot be used. Every coroutine may raise
    OutputError.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path, self._clock, self._is_closed = path, clock, False
        self._lock = jobfile.lock(path)
        try:
            self._scribe = jobfile.Scribe(path)
        except OutputError:
            os.close(self._lock)
            raise

    async def close(self) -> None:
        """Finish what was begun, and give the file back."""
        self._is_closed = True
        await asyncio.to_thread(self._scribe.close)
        os.close(self._lock)

    # A client's side

    async def submit(self, job: Job) -> Job:
        """Put a new job at the end of the queue and return it as it stands there, on disk."""
        now = self._clock()
        new = {name: getattr(job, name) for name in _COLUMNS} | {"created": now, "expires": now + job.ttl_s}
        values = ", ".join(f":{name}" for name in _COLUMNS)
        (row,) = await self._ask(f"INSERT INTO jobs ({_ALL}) VALUES ({values}) RETURNING {_LIGHT}", new)
        return row

    async def get(self, api: str, job_id: str) -> Job | None:
        """Return a job without its payload, None when there is none (any more)."""
        where = "id = :id AND api = :api AND expires > :now"
        return _first(await self._ask(f"SELECT {_LIGHT} FROM jobs WHERE {where}", {"id": job_id, "api": api}))

    async def newest(self, api: str, kind: str | None = None, limit: int = 1000) -> list[Job]:
        """Return jobs without their payloads, newest first."""
        where = "api = :api AND expires > :now AND (:kind IS NULL OR kind = :kind)"
        statement = f"SELECT {_LIGHT} FROM jobs WHERE {where} ORDER BY created DESC, turn DESC LIMIT :limit"
        return await self._ask(statement, {"api": api, "kind": kind, "limit": limit})

    async def counts(self, api: str, kind: str | None = None) -> Counter[str]:
        """Return how many jobs stand in each of STATUSES, and, as "retried", how often any was begun again."""
        where = "api = :api AND expires > :now AND (:kind IS NULL OR kind = :kind)"
        statement = f"SELECT status, count(*), sum(max(attempts - 1, 0)) FROM jobs WHERE {where} GROUP BY status"
        rows = await self._rows(statement, {"api": api, "kind": kind})
        return Counter({status: count for status, count, _ in rows} | {"retried": sum(again for _, _, again in rows)})

    async def cancel(self, api: str, job_id: str) -> bool:
        """Return whether the job was queued or running, and is cancelled for good now."""
        return bool(await self._end(_LIVE, {"id": job_id, "api": api, "status": "cancelled"}))

    async def retry(self, api: str, job_id: str) -> bool:
        """Put a failed or timed out job at the end of the queue; return whether it was one."""
        change = "status = 'queued', turn = (SELECT max(turn) + 1 FROM jobs), expires = :now + ttl_s"
        clean = "error = NULL, started = NULL, finished = NULL, webhook_due = NULL, webhook_tries = 0, restarts = 0"
        where = "id = :id AND api = :api AND status IN ('failed', 'timed_out') AND expires > :now"
        statement = f"UPDATE jobs SET {change}, {clean} WHERE {where} RETURNING id"
        return bool(await self._rows(statement, {"id": job_id, "api": api}))

    async def purge(self, api: str, kind: str | None = None) -> list[str]:
        """Forget all queued jobs; return their ids."""
        where = "api = :api AND status = 'queued' AND expires > :now AND (:kind IS NULL OR kind = :kind)"
        rows = await self._rows(f"DELETE FROM jobs WHERE {where} RETURNING id", {"api": api, "kind": kind})
        return [row[0] for row in rows]

    async def delete(self, api: str, job_id: str) -> bool:
        """Forget a job in any state; return whether it was there."""
        where = "id = :id AND api = :api AND expires > :now"
        return bool(await self._rows(f"DELETE FROM jobs WHERE {where} RETURNING id", {"id": job_id, "api": api}))

    async def deliver(self, api: str, job_id: str) -> bool:
        """Mark a completed job's result as streamed; return whether it had not been before."""
        where = "id = :id AND api = :api AND status = 'completed' AND NOT delivered"
        statement = f"UPDATE jobs SET delivered = 1 WHERE {where} RETURNING id"
        return bool(await self._rows(statement, {"id": job_id, "api": api}))

    async def extend(self, api: str, job_id: str, seconds: float) -> None:
        """Keep a job for `seconds` from now, or longer where that was so before."""
        statement = "UPDATE jobs SET expires = max(expires, :now + :seconds) WHERE id = :id AND api = :api"
        await self._rows(f"{statement} AND expires > :now", {"id": job_id, "api": api, "seconds": seconds})

    # A runner's side

    async def recover(self, api: str) -> None:
        """Put what ran when a server ended back to where it stood in the queue, before all newer jobs."""
        stopped = f"the server ended {RESTARTS + 1} times while it ran"
        over = {"api": api, "status": "failed", "error": stopped}
        await self._end(f"status = 'running' AND restarts >= {RESTARTS}", over)
        change = "status = 'queued', started = NULL, restarts = restarts + 1"
        await self._rows(f"UPDATE jobs SET {change} WHERE api = :api AND status = 'running'", {"api": api})

    async def take(self, api: str) -> Job | None:
        """Return the job whose turn it is, with its payload, running from now on; None when nothing is queued."""
        change = "status = 'running', started = :now, attempts = attempts + 1"
        queued = "SELECT turn FROM jobs WHERE api = :api AND status = 'queued' AND expires > :now ORDER BY turn LIMIT 1"
        statement = f"UPDATE jobs SET {change} WHERE turn = ({queued}) RETURNING {_ALL}"
        return _first(await self._ask(statement, {"api": api}, lasts=False))  # after a crash it is queued either way

    async def put_back(self, job: Job) -> None:
        """Let a running job wait again, where it stood."""
        await self._rows("UPDATE jobs SET status = 'queued', started = NULL WHERE " + _SAME_RUN, _run_of(job))

    async def finish(self, job: Job, result: bytes) -> bool:
        """Complete a job with its result's JSON text; return whether it was still this job's to end."""
        return bool(await self._end(_SAME_RUN, _run_of(job) | {"status": "completed", "result": result}))

    async def fail(self, job: Job, error: str, status: str = "failed") -> bool:
        """End a job as `failed` or `timed_out`; return whether it was still this job's to end."""
        return bool(await self._end(_SAME_RUN, _run_of(job) | {"status": status, "error": error}))

    async def sweep(self, api: str) -> list[str]:
        """Remove expired jobs, unless their web hook is still to be called; return their ids."""
        where = "api = :api AND expires <= :now AND webhook_due IS NULL"
        rows = await self._rows(f"DELETE FROM jobs WHERE {where} RETURNING id", {"api": api}, lasts=False)
        await self._rows(
            "PRAGMA incremental_vacuum(1000)", {}, lasts=False
        )  # pages of 4 KiB: a bounded stop for who waits
        return [row[0] for row in rows]

    # A web hook's side

    async def due(self, api: str) -> list[Job]:
        """Return jobs whose web hooks are to be called now, the longest due first, some of them when there are many."""
        where = f"api = :api AND webhook_due <= :now ORDER BY webhook_due LIMIT {HOOKS}"
        return await self._ask(f"SELECT {_LIGHT} FROM jobs WHERE {where}", {"api": api})

    async def told(self, job: Job, again_s: float | None) -> None:
        """Note that a web hook was called, and in how many seconds to call it again; None: never."""
        change = "webhook_tries = webhook_tries + 1, webhook_due = :now + :again_s"
        where = "id = :id AND webhook_due IS NOT NULL AND webhook_tries = :tries"  # else it was retried meanwhile
        values = {"id": job.id, "tries": job.webhook_tries, "again_s": again_s}
        await self._rows(f"UPDATE jobs SET {change} WHERE {where}", values)

    # Statements

    async def _end(self, where: str, values: dict[str, Any]) -> list[Any]:
        """Write how jobs ended, and return their ids; what nobody can retry keeps no payload."""
        kept = "CASE WHEN :status IN ('failed', 'timed_out') THEN payload ELSE x'' END"
        change = "status = :status, result = :result, error = :error, finished = :now, expires = :now + keep_s"
        hook = "webhook_tries = 0, webhook_due = CASE WHEN webhook IS NULL THEN NULL ELSE :now END"
        still = f"api = :api AND expires > :now AND {where}"
        statement = f"UPDATE jobs SET {change}, payload = {kept}, {hook} WHERE {still} RETURNING id"
        return await self._rows(statement, {"result": None, "error": None} | values)

    async def _ask(self, statement: str, values: dict[str, Any], *, lasts: bool = True) -> list[Job]:
        rows = await self._rows(statement, values, lasts=lasts)
        return [Job(**dict(zip(_COLUMNS, row, strict=True))) for row in rows]

    async def _rows(self, statement: str, values: dict[str, Any], *, lasts: bool = True) -> list[Any]:
        """Run one statement and return its rows, when they are on disk; with `lasts` false, a crash may undo it."""
        if self._is_closed:
            raise OutputError(f"the jobs in {self.path} are closed")
        values = values | {"now": self._clock()}
        try:
            return await asyncio.wrap_future(self._scribe.run(statement, values, lasts=lasts))
        except sqlite3.Error as error:
            raise OutputError(f"the jobs in {self.path} cannot be used: {error}") from error


def _run_of(job: Job) -> dict[str, Any]:
    return {"id": job.id, "api": job.api, "attempts": job.attempts}


def _first(jobs: list[Job]) -> Job | None:
    return jobs[0] if jobs else None
