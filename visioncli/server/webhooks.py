"""Web hooks: tell a URL how a job ended, at least once, also after a restart.

A hook is due from the moment its job ended, in the same transaction (`jobstore.py`), until the URL has answered 200 or
two further attempts, ten seconds apart, have failed (docs.runpod.io, "Webhook notifications"). A URL that the guard
refuses is not tried again: it would be refused again. As many calls to one host are under way as fetches may be.

Knows nothing of how a dialect words a job.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace

from visioncli.errors import FetchError, OutputError
from visioncli.io.fetch import FetchOptions
from visioncli.io.post import post
from visioncli.io.web import Client, Resolver, open_client
from visioncli.server.jobstore import Job, JobStore
from visioncli.server.running import end_all

log = logging.getLogger("visioncli.server.jobs")

TIMEOUT_S = 10.0  # of one attempt
RETRIES = 2  # docs.runpod.io
DELAY_S = 10.0  # between attempts, docs.runpod.io
LOOK_S = 1.0  # between two looks for hooks that have become due meanwhile
_HOPELESS = ("url_invalid", "url_refused")


class Webhooks:
    """One dialect's web hooks, from `start` to `stop`; of one event loop. `render` gives a job's JSON text."""

    def __init__(
        self,
        api: str,
        render: Callable[[Job], bytes],
        fetch: FetchOptions,
        *,
        delay_s: float = DELAY_S,
        resolver: Resolver | None = None,
    ) -> None:
        self._api, self._render, self._delay_s, self._resolver = api, render, delay_s, resolver
        self._fetch = replace(fetch, timeout_s=TIMEOUT_S, headers=())
        self._store: JobStore
        self._client: Client
        self._wake = asyncio.Event()
        self._calls: dict[str, asyncio.Task[None]] = {}  # by job id
        self._looking: asyncio.Task[None] | None = None

    def look(self) -> None:
        """Look now: a job has ended."""
        self._wake.set()

    async def start(self, store: JobStore) -> None:
        """Begin, with what a server that ended still owed. Raises UsageError for a bad --ca-cert."""
        self._store, self._client = store, await open_client(self._fetch, self._resolver)
        self._looking = asyncio.create_task(self._look_on())

    async def stop(self, grace_s: float) -> None:
        """Begin no more calls; those that do not end within the grace are left to the next start."""
        if self._looking is None:
            return
        await end_all([self._looking])
        if self._calls:
            await asyncio.wait(set(self._calls.values()), timeout=grace_s)
        await end_all([*self._calls.values()])
        await self._client.close()
        self._looking = None

    async def _look_on(self) -> None:
        while True:
            self._wake.clear()
            try:
                for job in await self._store.due(self._api, self._fetch.per_host):
                    if job.id not in self._calls:
                        self._calls[job.id] = asyncio.create_task(self._call(job))
            except OutputError as error:
                log.error("%s", error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(LOOK_S, self._delay_s)):
                    await self._wake.wait()

    async def _call(self, job: Job) -> None:
        try:
            is_over = await self._is_told(job) or job.webhook_tries >= RETRIES
            await self._store.told(job, None if is_over else self._delay_s)
            self.look()  # there is a place for its host's next one
        except OutputError as error:
            log.error("job %s: %s", job.id, error)  # it stays due
        finally:
            del self._calls[job.id]

    async def _is_told(self, job: Job) -> bool:
        """Whether the URL knows now, or cannot ever be told."""
        try:
            status = await post(self._client, job.webhook or "", self._render(await self._store.whole(job)))
        except FetchError as error:
            log.warning("job %s: its web hook failed: %s", job.id, error)
            return error.code in _HOPELESS
        if status != 200:
            log.warning("job %s: its web hook answered %d", job.id, status)
        return status == 200
