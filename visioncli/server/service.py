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
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from visioncli.errors import RowError, UsageError, VisioncliError
from visioncli.io.web import Resolver
from visioncli.models import load_all
from visioncli.models.memory import free_gpu_gib
from visioncli.models.runtime import RuntimeRequest, is_hailo
from visioncli.provenance import ModelInfo
from visioncli.server.asking import Asked, answer_one, prepare
from visioncli.server.lane import Item, Lane, LaneOptions
from visioncli.server.payloads import Payloads, Picture, Text
from visioncli.server.refusals import Busy, NotLoaded, Stopping, TooLate
from visioncli.server.settings import ROLES, ServeSettings
from visioncli.server.shelf import Load, Shelf, Shelved, clear_out

LOOK_S = 0.5  # between two looks at the lanes and at what lies idle
THREADS = min(16, (os.cpu_count() or 1) + 1)  # decode, preprocess, postprocess
MAX_TEXTS = 4_096  # labels or texts of one request: more would hold the device for minutes
RETRY_AFTER_S = 1  # of a full queue: a batch of the documented models takes about as long

OnBatch = Callable[[str, int, float], None]  # device, pictures, seconds


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of one dialect's model for one role."""

    model: str  # as it was asked for
    info: ModelInfo | None = None  # of what is loaded
    parameters: int | None = None

    @property
    def loaded(self) -> bool:
        return self.info is not None


class Service:
    """`start`, then `ask`; `close` at the end. All methods are of the loop that started it."""

    def __init__(self, settings: ServeSettings, load: Load = load_all, resolver: Resolver | None = None) -> None:
        self.settings, self.resolver = settings, resolver
        self.on_batch: list[OnBatch] = []
        self._shelf = Shelf(settings.offline, load)
        self._chosen: dict[tuple[str, str], tuple[str, str]] = {}  # (dialect, role) -> model and device, as asked for
        self._loaded: dict[tuple[str, str], Shelved] = {}
        self._lanes: dict[str, Lane] = {}  # by device
        self._payloads: dict[str, Payloads] = {}
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="visioncli-request")
        self._loading: dict[tuple[str, str], asyncio.Lock] = {}
        self._admitted: Counter[str] = Counter()
        self.started = asyncio.Event()  # set when what is to be there before the first request is there
        self._closing = self._has_gpu = False
        self._keeper: asyncio.Task[None] | None = None

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
    async def admitted(self, dialect: str) -> AsyncIterator[None]:
        """Count a request while it is answered. Raises Busy where the queue is full, Stopping."""
        if self._closing:
            raise Stopping("the server is shutting down")
        if self._admitted[dialect] >= self.settings.queue_of(dialect):
            raise Busy(f"{self._admitted[dialect]} requests are waiting already", RETRY_AFTER_S)
        self._admitted[dialect] += 1
        try:
            yield
        finally:
            self._admitted[dialect] -= 1

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
        if self._closing:
            raise Stopping("the server is shutting down")
        try:
            async with asyncio.timeout(deadline_s or self.settings.deadline_s):
                shelved = await self._shelved(dialect, role)
                return await self._asked(shelved, ROLES[dialect][role], inputs, options)
        except TimeoutError as error:
            raise TooLate("the request's time is over") from error

    async def _asked(self, shelved: Shelved, task: str, inputs: Sequence[Picture | Text], options: Any) -> list[Any]:
        predictor = shelved.predictor(task)
        _refuse_many(len(getattr(options, "labels", ())) or sum(isinstance(each, Text) for each in inputs))
        predictor.check(options)
        shelved.users += 1
        loop, lane = asyncio.get_running_loop(), self._lane(predictor.info.device)
        asked = [Asked(each, predictor, options, self.settings.decode, loop) for each in inputs]
        lane.expect(len(asked))
        try:
            for each in asked:
                self._pool.submit(prepare, each, lane, self._answer)
            return [_unless_fatal(await each.future) for each in asked]
        finally:
            shelved.users -= 1
            shelved.used_at = time.monotonic()
            for each in asked:
                each.future.cancel()

    def _answer(self, asked: Asked, item: Item, output: Any) -> None:
        """Postprocess in a thread: the lane must not wait."""
        self._pool.submit(answer_one, asked, item, output)

    # Models

    async def load(self, dialect: str, role: str, model: str | None = None, device: str | None = None) -> ModelInfo:
        """Load a model for a role, another than before where `model` or `device` differ, and return what it is.

        Raises ModelError, HubUnreachableError, DeviceError, UsageError.
        """
        key = dialect, role
        chosen = self._choice(key)
        wanted = model or chosen[0], device or chosen[1]
        async with self._loading.setdefault(key, asyncio.Lock()):
            shelved = self._loaded.get(key)
            if shelved is None or self._choice(key) != wanted:
                files = self.settings.hailo_files if is_hailo(wanted[1]) else None
                request = RuntimeRequest(device=wanted[1], dtype=self.settings.dtype, hailo=files)
                shelved = await asyncio.to_thread(self._shelf.get, wanted[0], role, request)
                shelved.predictor(ROLES[dialect][role])
                self._chosen[key], self._loaded[key] = wanted, shelved
                self._let_go()
        return shelved.info

    async def unload(self, dialect: str, role: str) -> bool:
        """Let go of a role's model, unless another role has it; return whether it was loaded."""
        was_loaded = self._loaded.pop((dialect, role), None) is not None
        self._let_go()
        return was_loaded

    def info(self, dialect: str, role: str) -> ModelInfo | None:
        """Return what is known of the role's loaded model, None where none is."""
        shelved = self._loaded.get((dialect, role))
        return None if shelved is None else shelved.predictor(ROLES[dialect][role]).info

    def status(self, dialect: str) -> dict[str, Standing]:
        """Return for each role what would answer or answers."""
        standings = {}
        for role in ROLES[dialect]:
            standing = Standing(self._choice((dialect, role))[0])
            shelved = self._loaded.get((dialect, role))
            if shelved is not None:
                standing = replace(standing, info=self.info(dialect, role), parameters=shelved.parameters)
            standings[role] = standing
        return standings

    def _choice(self, key: tuple[str, str]) -> tuple[str, str]:
        return self._chosen.get(key) or (self.settings.model_of(*key), self.settings.device)

    async def _shelved(self, dialect: str, role: str) -> Shelved:
        key = dialect, role
        if key not in self._loaded:
            if not self.settings.auto_load:
                raise NotLoaded(f"the model for {role} is not loaded")
            await self.load(dialect, role)
        return self._loaded[key]

    def _let_go(self) -> None:
        gone = self._shelf.keep_only(self._loaded.values())
        for shelved in gone:
            for predictor in shelved.predictors.values():
                self._lane(predictor.info.device).forget(predictor)
        if gone:
            self._pool.submit(clear_out)

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
        """Look after the lanes, and unload what lies idle."""
        while True:
            await asyncio.sleep(LOOK_S)
            for lane in self._lanes.values():
                lane.look_after()
            if self.settings.idle_unload_s is not None:
                self._unload_idle(time.monotonic() - self.settings.idle_unload_s)

    def _unload_idle(self, before: float) -> None:
        idle = [key for key, shelved in self._loaded.items() if not shelved.users and shelved.used_at < before]
        for key in idle:
            del self._loaded[key]
        if idle:
            self._let_go()


def _refuse_many(texts: int) -> None:
    if texts > MAX_TEXTS:
        raise UsageError(f"{texts} labels or texts are more than the {MAX_TEXTS} that one request may have")


def _unless_fatal(result: Any) -> Any:
    """Raise what is no single input's own fault."""
    if isinstance(result, VisioncliError) and not isinstance(result, RowError):
        raise result
    return result
