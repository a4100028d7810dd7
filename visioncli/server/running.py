"""Runs one dialect's jobs in order, several at once, and tells who waits for them.

    submit -> store (on disk) -> take, in order -> work(job) -> store -> waiters, web hooks

A runner is a companion of its app: it takes jobs, and answers for those of before, from `start` on, which comes before
the first request; it runs them when the models are there. What runs when a server stops, or dies, stays `running` in
the store and is run again at the next start.

Knows nothing of what a job asks or how a dialect words its states.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

from visioncli.errors import OutputError, VisioncliError
from visioncli.server import jobfile
from visioncli.server.bodies import dump_json
from visioncli.server.job import LINE, Line
from visioncli.server.jobstore import Job, JobStore
from visioncli.server.refusals import Busy, Stopping

log = logging.getLogger("visioncli.server.jobs")

SWEEP_S = 2.0  # between two looks for expired jobs; they are hidden at once, but run on until then
RETRY_AFTER_S = 10  # of a full line: jobs are work of seconds
PAUSE_S = 1.0  # before the store is asked again when it cannot be used: a full disk, say
TOO_LONG = "the job ran longer than the {:g} s that it may take"

Capacity = Callable[[], Awaitable[int]]  # how many jobs may run at once; it returns when the first may begin
# Returns a JSON text, or what is JSON, arrays of numpy included, and short; raises the job's error.
Work = Callable[[Job], Awaitable[Any]]


class Companion(Protocol):
    """What works beside an app's requests; `app.state.companions` lists an app's, in the order of their start."""

    async def start(self, store: JobStore) -> None: ...

    async def stop(self, grace_s: float) -> None: ...


@contextlib.asynccontextmanager
async def at_work(companions: Iterable[Companion], path: Path | None, grace_s: float) -> AsyncIterator[None]:
    """Open the store at `path` (None: the user's) and keep the companions at work; with none, touch no file.

    Raises LockHeldError, OutputError, and what a companion's start raises.
    """
    working = list(companions)
    if not working:
        yield
        return
    store = await asyncio.to_thread(JobStore, path or jobfile.default_path())
    try:
        for companion in working:
            await companion.start(store)
        yield
    finally:
        await stop_all(working, grace_s)
        await store.close()


async def stop_all(companions: Iterable[Companion], grace_s: float) -> None:
    """Stop all companions at once; one that never started or has stopped is left as it is."""
    await asyncio.gather(*(companion.stop(grace_s) for companion in companions))


class Runner:
    """One dialect's jobs, from `start` to `stop`; of one event loop.

    A job's error is its exception's own sentence.
    """

    def __init__(self, api: str, work: Work, capacity: Capacity, line: Line = LINE) -> None:
        self.api, self._work, self._capacity, self._line = api, work, capacity, line
        self.on_end: list[Callable[[], None]] = []  # called when a job has ended
        self._store: JobStore | None = None
        self._running: dict[str, asyncio.Task[Any]] = {}  # by job id
        self._followed: set[asyncio.Task[None]] = set()
        self._ends: dict[str, asyncio.Event] = {}  # by job id, of those that somebody waits for
        self._wake = asyncio.Event()
        self._keepers: list[asyncio.Task[None]] = []
        self._stopping = False

    @property
    def store(self) -> JobStore:
        """Raises Stopping before the start."""
        if self._store is None:
            raise Stopping("the server is starting")
        return self._store

    @property
    def running(self) -> int:
        return len(self._running)

    async def start(self, store: JobStore) -> None:
        """Put back what a server that ended was running, and take jobs from now on. Raises OutputError."""
        await store.recover(self.api)
        self._store = store
        self._keepers = [asyncio.create_task(self._run()), asyncio.create_task(self._sweep())]

    async def stop(self, grace_s: float) -> None:
        """Begin no more jobs; those that do not end within the grace are left to the next start."""
        self._stopping = True
        await end_all(self._keepers)
        if self._running:
            await asyncio.wait(set(self._running.values()), timeout=grace_s)
        await end_all([*self._running.values()])
        if self._followed:
            await asyncio.wait(self._followed)
        for event in self._ends.values():
            event.set()

    # A client's side

    async def submit(self, job: Job) -> Job:
        """Queue a job; it is on disk when this returns. Raises OutputError, Stopping, Busy where the line is full."""
        if self._stopping:
            raise Stopping("the server is shutting down")
        queued = await self.store.submit(job, self._line)
        if queued is None:
            raise Busy("as many jobs as there is room for are waiting already", RETRY_AFTER_S)
        self._wake.set()
        return queued

    async def wait(self, job_id: str, timeout_s: float) -> Job | None:
        """Return the job when it has ended, or as it stands after `timeout_s`; None when there is none (any more).

        As `JobStore.get`: a long result is not in it.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._end_of(job_id)
        return await self.store.get(self.api, job_id)

    async def _end_of(self, job_id: str) -> None:
        """Return when the job has ended or is gone, or no more jobs begin; a job that is put back is waited for on."""
        while not self._stopping:
            event = self._ends.setdefault(job_id, asyncio.Event())  # before the look: it may end meanwhile
            job = await self.store.get(self.api, job_id)
            if job is None or job.has_ended:
                self._ends.pop(job_id, None)
                return
            await event.wait()

    async def cancel(self, job_id: str) -> bool:
        """Cancel a job that is queued or running; return whether it was."""
        was_live = await self.store.cancel(self.api, job_id)
        if was_live:
            self._drop(job_id)
        return was_live

    async def delete(self, job_id: str) -> bool:
        """Forget a job in any state, and end its work; return whether it was there."""
        was_there = await self.store.delete(self.api, job_id)
        if was_there:
            self._drop(job_id)
        return was_there

    async def retry(self, job_id: str) -> bool:
        """Queue a failed or timed out job again; return whether it was one."""
        was_over = await self.store.retry(self.api, job_id)
        self._wake.set()
        return was_over

    async def purge(self, kind: str | None = None) -> int:
        """Forget all queued jobs; return how many there were."""
        purged = await self.store.purge(self.api, kind)
        for job_id in purged:
            self._announce(job_id)
        return len(purged)

    # Work

    async def _run(self) -> None:
        slots = asyncio.Semaphore(await self._capacity())
        while True:
            await slots.acquire()
            job = await self._next()
            task = asyncio.ensure_future(self._work(job))
            self._running[job.id] = task
            following = asyncio.create_task(self._follow(job, task))
            self._followed.add(following)
            following.add_done_callback(self._followed.discard)
            following.add_done_callback(lambda _: slots.release())

    async def _next(self) -> Job:
        """Wait for the job whose turn it is."""
        while True:
            self._wake.clear()
            try:
                job = await self.store.take(self.api)
            except OutputError as error:
                log.error("%s", error)
                await asyncio.sleep(PAUSE_S)
                continue
            if job is not None:
                return job
            await self._wake.wait()

    async def _follow(self, job: Job, task: asyncio.Task[Any]) -> None:
        """See a job's work to its end, and write that down."""
        await asyncio.wait({task}, timeout=job.time_limit_s)
        is_late = not task.done()
        await end_all([task])
        try:
            if is_late:
                await self.store.fail(job, TOO_LONG.format(job.time_limit_s), "timed_out")
            elif not task.cancelled():  # else it was cancelled, deleted, or is left to the next start
                await self._settle(job, task)
        except OutputError as error:
            log.error("job %s: %s", job.id, error)  # it stays `running`, and runs again at the next start
        finally:
            self._running.pop(job.id, None)
            self._announce(job.id)

    async def _settle(self, job: Job, task: asyncio.Task[Any]) -> None:
        error = task.exception()
        if error is None:
            result = task.result()
            await self.store.finish(job, result if isinstance(result, bytes) else dump_json(result))
        elif isinstance(error, Busy):  # the service stops or starts a device again; the job is not to blame
            await self._later(job, error)
        else:
            if not isinstance(error, VisioncliError):
                log.error("job %s failed unexpectedly", job.id, exc_info=error)
            await self.store.fail(job, str(error) or type(error).__name__)

    async def _later(self, job: Job, error: Busy) -> None:
        if not self._stopping:
            await asyncio.sleep(error.retry_after_s)
            await self.store.put_back(job)
            self._wake.set()

    def _drop(self, job_id: str) -> None:
        """End the work of a job that the store has ended already."""
        if job_id in self._running:
            self._running[job_id].cancel()
        self._announce(job_id)

    def _announce(self, job_id: str) -> None:
        if (event := self._ends.pop(job_id, None)) is not None:
            event.set()
        for listener in self.on_end:
            listener()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                for job_id in await self.store.sweep(self.api):
                    self._drop(job_id)
            except OutputError as error:
                log.error("%s", error)


async def end_all(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel what is not done, and wait for it."""
    waiting = set(tasks)
    for task in waiting:
        task.cancel()
    if waiting:
        await asyncio.wait(waiting)
