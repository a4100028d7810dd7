"""One engine under all dialects: models loaded once, equal questions in one batch, full queues refused.

    ask -> [threads: decode, preprocess] -> lane: batches on the device -> [threads: postprocess] -> the asker

Belongs to one event loop. Knows nothing of HTTP: dialects parse, ask, render and refuse.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

from visioncli.errors import RowError, VisioncliError
from visioncli.io.decode import Decoded
from visioncli.io.web import Resolver
from visioncli.models import Predictor, load_all
from visioncli.models.memory import free_gpu_gib, give_back
from visioncli.provenance import ModelInfo
from visioncli.server.asking import Asked, Told, Way, begin, look
from visioncli.server.lane import Lane, LaneOptions
from visioncli.server.limits import MOST_CHARACTERS, MOST_PICTURES, MOST_TEXTS, in_time, in_turn, refuse_many
from visioncli.server.payloads import Payloads, Picture, Text
from visioncli.server.refusals import Busy, Stopping
from visioncli.server.roles import Roles, Standing
from visioncli.server.room import Room
from visioncli.server.settings import ROLES, ServeSettings
from visioncli.server.shelf import Load
from visioncli.wording import counted

LOOK_S = 0.5  # between two looks at the lanes and at what lies idle
QUIET_S = 2.0  # without a request, after which freed memory is given back
THREADS = min(16, (os.cpu_count() or 1) + 1)  # decode, preprocess, postprocess
AT_ONCE = 256  # inputs of one request on their way: more wait for their turn, and others come in between
RETRY_AFTER_S = 1  # of a full queue: a batch of the documented models takes about as long

OnBatch = Callable[[str, int, float], None]  # device, pictures, seconds


class Service:
    """`start`, then `ask`; `close` at the end. All methods are of the loop that started it."""

    def __init__(self, settings: ServeSettings, load: Load = load_all, resolver: Resolver | None = None) -> None:
        self.settings, self.resolver = settings, resolver
        self.on_batch: list[OnBatch] = []
        self._roles = Roles(settings, load, self._forget)
        self._lanes: dict[str, Lane] = {}  # by device
        self._payloads: dict[str, Payloads] = {}
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="visioncli-request")
        self._room = Room()
        self._admitted: Counter[str] = Counter()
        self.started = asyncio.Event()  # set when what is to be there before the first request is there
        self._closing = self._has_gpu = False
        self._keeper: asyncio.Task[None] | None = None
        self._worked_at: float | None = None  # the last request's end; None where memory was given back since

    # Life

    async def start(self, dialects: Sequence[str]) -> None:
        """Load what is to be there before the first request. Raises ModelError, DeviceError, HubUnreachableError."""
        self._keeper = asyncio.create_task(self._keep())
        self._has_gpu = (
            await asyncio.to_thread(free_gpu_gib) is not None
        )  # imports torch: no request should wait for it
        for dialect in dialects:
            if self.settings.preloads(dialect):
                for role in ROLES[dialect]:
                    await self.load(dialect, role)
        self.started.set()

    async def close(self) -> None:
        """Refuse what waits and what comes; finish what runs, within the settings' grace."""
        self._closing = True
        until = time.monotonic() + self.settings.grace_s
        while self._admitted.total() and time.monotonic() < until:
            await asyncio.sleep(0.02)
        for lane in self._lanes.values():
            lane.close()
        for lane in self._lanes.values():
            await asyncio.to_thread(lane.join, max(0.0, until - time.monotonic()))
        for payloads in self._payloads.values():
            await payloads.close()
        if self._keeper is not None:
            self._keeper.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)

    @property
    def ready(self) -> bool:
        """Whether a request would be answered now."""
        return self.started.is_set() and not self._closing and all(lane.is_ready for lane in self._lanes.values())

    def free_gpu_gib(self) -> float | None:
        """Return what is free on all GPUs together, None where there is none or the server only starts."""
        return free_gpu_gib() if self._has_gpu else None

    def depth(self, dialect: str) -> int:
        """How many of the dialect's requests are being answered or wait."""
        return self._admitted[dialect]

    @asynccontextmanager
    async def admitted(self, dialect: str, *, is_timed: bool = True) -> AsyncIterator[None]:
        """Count a request while it is answered, and end it when its time is over, whatever it waits for.

        `is_timed` false: it has a time of its own. Raises Busy where the queue is full, Stopping, TooLate.
        """
        self._refuse_at_the_end()
        if self._admitted[dialect] >= self.settings.queue_of(dialect):
            raise Busy(
                f"{counted(self._admitted[dialect], 'request is', 'requests are')} waiting already", RETRY_AFTER_S
            )
        self._admitted[dialect] += 1
        try:
            async with in_time(self.settings.deadline_s if is_timed else None):
                yield
        finally:
            self._admitted[dialect] -= 1
            self._worked_at = time.monotonic()

    # Questions

    def payloads(self, dialect: str) -> Payloads:
        if dialect not in self._payloads:
            self._payloads[dialect] = Payloads(self.settings.fetch_of(dialect), self.resolver)
        return self._payloads[dialect]

    async def ask(
        self,
        dialect: str,
        role: str,
        inputs: Sequence[Picture | Text],
        options: Any,
        *,
        deadline_s: float | None = None,
    ) -> list[Any]:
        """Return one result per input, in order, of the role's task.

        A cancelled call takes its inputs out of the queue. Raises the RowError of the first input that has one,
        TooLate, Stopping, NotLoaded, UsageError, ModelError, DeviceError, HubUnreachableError.
        """
        results = await self.ask_each(dialect, role, inputs, options, deadline_s=deadline_s)
        for result in results:
            if isinstance(result, RowError):
                raise result
        return results

    async def ask_each(
        self,
        dialect: str,
        role: str,
        inputs: Sequence[Picture | Text],
        options: Any,
        *,
        deadline_s: float | None = None,
    ) -> list[Any]:
        """As `ask`, with each RowError in its input's place."""
        self._refuse_at_the_end()
        async with in_time(deadline_s or self.settings.deadline_s):
            shelved = await self._roles.wanted((dialect, role))
            with self._roles.in_use(shelved):
                return await self._asked(shelved.predictor(ROLES[dialect][role]), inputs, options)

    async def looked(self, picture: Picture, at: Callable[[Decoded], Any]) -> Any:
        """Decode a picture in a thread when there is room, and return what `at` makes of it. Raises RowError."""
        told = Told(loop=asyncio.get_running_loop(), room=self._room)
        try:
            self._submit(look, told, picture, self.settings.decode, at, self._submit)
            return _unless_an_error(await told.future)
        finally:
            told.drop()

    async def _asked(self, predictor: Predictor[Any, Any], inputs: Sequence[Picture | Text], options: Any) -> list[Any]:
        texts = getattr(options, "labels", None) or getattr(options, "prompts", None) or ()
        refuse_many(sum(isinstance(each, Picture) for each in inputs), MOST_PICTURES, "pictures")
        refuse_many(max(len(texts), len(inputs)), MOST_TEXTS, "labels or texts")
        characters = sum(map(len, texts))
        refuse_many(characters, MOST_CHARACTERS, "characters of labels")
        await in_turn(characters, partial(predictor.check, options))
        results: list[Any] = []
        for first in range(0, len(inputs), AT_ONCE):
            results += await self._answered(predictor, inputs[first : first + AT_ONCE], options)
        return results

    async def _answered(
        self, predictor: Predictor[Any, Any], inputs: Sequence[Picture | Text], options: Any
    ) -> list[Any]:
        loop, lane = asyncio.get_running_loop(), self._lane(predictor.info.device)
        way = Way(lane, self._room, self._submit)
        asked = [
            Asked(
                loop=loop,
                room=self._room,
                given=each,
                predictor=predictor,
                options=options,
                decode=self.settings.decode,
            )
            for each in inputs
        ]
        lane.expect(len(asked))
        try:
            for each in asked:
                self._submit(begin, each, way)
            return [_unless_fatal(await each.future) for each in asked]
        finally:
            if dropped := sum(each.drop() for each in asked):
                self._submit(lane.sweep, dropped)

    def _submit(self, work: Callable[..., object], *args: Any) -> None:
        """Run in a thread of the pool; nowhere when that has been closed, and the loop ends with all who wait."""
        with suppress(RuntimeError):
            self._pool.submit(work, *args)

    def _refuse_at_the_end(self) -> None:
        if self._closing:
            raise Stopping("the server is shutting down")

    # Models

    async def load(self, dialect: str, role: str, model: str | None = None, device: str | None = None) -> ModelInfo:
        """Load a model for a role; see Roles.load."""
        return await self._roles.load((dialect, role), model, device)

    async def unload(self, dialect: str, role: str) -> bool:
        """Let go of a role's model; see Roles.unload."""
        return self._roles.unload((dialect, role))

    def info(self, dialect: str, role: str) -> ModelInfo | None:
        """Return what is known of the role's loaded model, None where none is."""
        return self._roles.info((dialect, role))

    def status(self, dialect: str) -> dict[str, Standing]:
        """Return for each role what would answer or answers."""
        return self._roles.status(dialect)

    def _forget(self, predictor: Predictor[Any, Any]) -> None:
        self._lane(predictor.info.device).forget(predictor)

    # Devices

    def _lane(self, device: str) -> Lane:
        if device not in self._lanes:
            settings = self.settings
            self._lanes[device] = Lane(
                LaneOptions(device, settings.max_batch, settings.max_wait_s, settings.hang_after_s, self._tell)
            )
        return self._lanes[device]

    def _tell(self, device: str, size: int, seconds: float) -> None:
        for listener in self.on_batch:
            listener(device, size, seconds)

    async def _keep(self) -> None:
        """Look after the lanes, unload what lies idle, and give back memory when nothing is asked."""
        while True:
            await asyncio.sleep(LOOK_S)
            for lane in self._lanes.values():
                lane.look_after()
            if self.settings.idle_unload_s is not None:
                self._roles.unload_idle(time.monotonic() - self.settings.idle_unload_s)
            if self._is_quiet(time.monotonic() - QUIET_S):
                self._worked_at = None
                await asyncio.to_thread(give_back)

    def _is_quiet(self, since: float) -> bool:
        return not self._admitted.total() and self._worked_at is not None and self._worked_at < since


def _unless_fatal(result: Any) -> Any:
    """Raise what is no single input's own fault."""
    return result if isinstance(result, RowError) else _unless_an_error(result)


def _unless_an_error(result: Any) -> Any:
    if isinstance(result, VisioncliError):
        raise result
    return result
