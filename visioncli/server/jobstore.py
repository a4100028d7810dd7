"""Jobs on disk: queued, running and ended, in one SQLite file for every dialect that has them.

What has been acknowledged is on disk: write-ahead log, each commit synced. One server holds a file at a time (flock on
`<file>.lock`). All statements run in threads of the store's own (`jobfile.py`): an event loop never waits for a disk,
and how a job stands is told while megabytes of another are written or read. A long result is read in pieces.

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
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from visioncli.errors import OutputError
from visioncli.server import jobfile
from visioncli.server.job import BARE, COLUMNS, LIGHT, LINE, TO_RUN, Job, Line, jobs_of

__all__ = ["RESTARTS", "Job", "JobStore"]

PIECE_BYTES = 2**20  # of a long result are read at once
HOOKS = 256  # web hooks that are due and looked at together
RESTARTS = 5  # that often a job is begun again after a server that ended under it; then the job is to blame

_SAME_RUN = "id = :id AND api = :api AND status = 'running' AND attempts = :attempts"
_LIVE = "id = :id AND status IN ('queued', 'running')"
_RETRIED = "status IN ('failed', 'timed_out')"


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
            self._reader, self._long_reader = jobfile.Scribe(path), jobfile.Scribe(path)  # the latter: of what is long
        except OutputError:
            os.close(self._lock)
            raise

    async def close(self) -> None:
        """Finish what was begun, and give the file back."""
        self._is_closed = True
        for each in (self._long_reader, self._reader, self._scribe):
            await asyncio.to_thread(each.close)
        os.close(self._lock)

    # A client's side

    async def submit(self, job: Job, line: Line = LINE) -> Job | None:
        """Put a new job at the end of its line and return it as it stands there, on disk; None where that is full."""
        now = self._clock()
        new = {name: getattr(job, name) for name in COLUMNS} | {"created": now, "expires": now + job.ttl_s}
        values = ", ".join(f":{name}" for name in COLUMNS)
        waiting = "SELECT count(*) FROM jobs WHERE api = :api AND status = 'queued' AND expires > :now"
        asking = "status IN ('queued', 'running', 'failed', 'timed_out')"
        held = f"SELECT coalesce(sum(length(payload)), 0) FROM jobs WHERE api = :api AND {asking}"
        room = f"({waiting}) < :most_jobs AND ({held}) + length(:payload) <= :most_bytes"
        statement = f"INSERT INTO jobs ({', '.join(COLUMNS)}) SELECT {values} WHERE {room} RETURNING {BARE}"
        return _first(await self._ask(statement, new | {"most_jobs": line.jobs, "most_bytes": line.held_bytes}))

    async def get(self, api: str, job_id: str) -> Job | None:
        """Return a job without its payload, and without a long result; None when there is none (any more)."""
        statement = f"SELECT {LIGHT} FROM jobs WHERE id = :id AND api = :api AND expires > :now"
        return _first(await self._ask(statement, {"id": job_id, "api": api}, of=self._reader))

    async def newest(self, api: str, kind: str | None = None, limit: int = 1000) -> list[Job]:
        """Return jobs without their payloads, and without long results, newest first."""
        where = "api = :api AND expires > :now AND (:kind IS NULL OR kind = :kind)"
        order = "ORDER BY created DESC, turn DESC"
        listed = f"SELECT turn FROM jobs WHERE {where} {order} LIMIT :limit"  # alone: what is sorted is held in memory
        statement = f"SELECT {LIGHT} FROM jobs WHERE turn IN ({listed}) {order}"
        return await self._ask(statement, {"api": api, "kind": kind, "limit": limit}, of=self._long_reader)

    async def pieces(self, job: Job) -> AsyncIterator[bytes]:
        """Yield a job's result, however long. Raises OutputError where the job is removed meanwhile."""
        for start in range(0, job.result_bytes or 0, PIECE_BYTES):
            (piece,) = await self._done(partial(_piece, job.id, start), of=self._long_reader)
            yield piece

    async def whole(self, job: Job) -> Job:
        """Return the job with its result, however long. Raises as `pieces`."""
        if job.result_bytes is None or job.result is not None:
            return job
        return replace(job, result=b"".join([piece async for piece in self.pieces(job)]))

    async def counts(self, api: str, kind: str | None = None) -> Counter[str]:
        """Return how many jobs stand in each of STATUSES, and, as "retried", how often any was begun again."""
        where = "api = :api AND expires > :now AND (:kind IS NULL OR kind = :kind)"
        statement = f"SELECT status, count(*), sum(max(attempts - 1, 0)) FROM jobs WHERE {where} GROUP BY status"
        rows = await self._rows(statement, {"api": api, "kind": kind}, of=self._reader)
        return Counter({status: count for status, count, _ in rows} | {"retried": sum(again for _, _, again in rows)})

    async def cancel(self, api: str, job_id: str) -> bool:
        """Return whether the job was queued or running, and is cancelled for good now."""
        return bool(await self._end(_LIVE, {"id": job_id, "api": api, "status": "cancelled"}))

    async def retry(self, api: str, job_id: str) -> bool:
        """Put a failed or timed out job at the end of the queue; return whether it was one."""
        change = "status = 'queued', turn = (SELECT max(turn) + 1 FROM jobs), expires = :now + ttl_s"
        clean = "error = NULL, started = NULL, finished = NULL, webhook_due = NULL, webhook_tries = 0, restarts = 0"
        where = f"id = :id AND api = :api AND {_RETRIED} AND expires > :now"
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
        statement = f"UPDATE jobs SET {change} WHERE turn = ({queued}) RETURNING {TO_RUN}"
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

    async def due(self, api: str, each: int) -> list[Job]:
        """Return jobs whose web hooks are to be called now, the longest due of each host first, `each` at most of one.

        One host's many, or slow ones, stand in nobody's way. A hook stays due until it is `told`.
        """
        place = "row_number() OVER (PARTITION BY host_of(webhook) ORDER BY webhook_due, turn)"
        due = f"SELECT turn AS its_turn, {place} AS place FROM jobs WHERE api = :api AND webhook_due <= :now"
        order = f"WHERE place <= :each ORDER BY place, webhook_due LIMIT {HOOKS}"
        statement = f"SELECT {BARE} FROM ({due}) JOIN jobs ON turn = its_turn {order}"
        return await self._ask(statement, {"api": api, "each": each}, lasts=False)  # in its turn with who was `told`

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

    async def _ask(
        self, statement: str, values: dict[str, Any], *, lasts: bool = True, of: jobfile.Scribe | None = None
    ) -> list[Job]:
        return jobs_of(await self._rows(statement, values, lasts=lasts, of=of))

    async def _rows(
        self, statement: str, values: dict[str, Any], *, lasts: bool = True, of: jobfile.Scribe | None = None
    ) -> list[Any]:
        """Run one statement and return its rows, when they are on disk; with `lasts` false, a crash may undo it."""
        now = values | {"now": self._clock()}
        return await self._done(lambda database: database.execute(statement, now).fetchall(), lasts=lasts, of=of)

    async def _done(self, work: jobfile.Work, *, lasts: bool = False, of: jobfile.Scribe | None = None) -> list[Any]:
        if self._is_closed:
            raise OutputError(f"the jobs in {self.path} are closed")
        try:
            return await asyncio.wrap_future((of or self._scribe).run(work, lasts=lasts))
        except sqlite3.Error as error:
            raise OutputError(f"the jobs in {self.path} cannot be used: {error}") from error


def _piece(job_id: str, start: int, database: sqlite3.Connection) -> list[bytes]:
    (turn,) = database.execute("SELECT turn FROM jobs WHERE id = ?", (job_id,)).fetchone() or (None,)
    if turn is None:
        raise sqlite3.DataError("the job was removed")
    with database.blobopen("jobs", "result", turn, readonly=True) as result:
        result.seek(start)
        return [result.read(PIECE_BYTES)]


def _run_of(job: Job) -> dict[str, Any]:
    return {"id": job.id, "api": job.api, "attempts": job.attempts}


def _first(jobs: list[Job]) -> Job | None:
    return jobs[0] if jobs else None
