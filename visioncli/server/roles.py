"""Which model answers in which role of which dialect: loaded when it is wanted, let go when nobody wants or uses it.

Belongs to one event loop. Knows nothing of questions.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from visioncli.errors import ModelError, OutputError
from visioncli.models import Predictor
from visioncli.models.runtime import RuntimeRequest, is_hailo
from visioncli.provenance import ModelInfo
from visioncli.server.refusals import NotLoaded
from visioncli.server.settings import ROLES, ServeSettings
from visioncli.server.shelf import Load, Shelf, Shelved, clear_out

log = logging.getLogger("visioncli.server")

Key = tuple[str, str]  # dialect, role


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of one dialect's model for one role."""

    model: str  # as it was asked for
    info: ModelInfo | None = None  # of what is loaded
    parameters: int | None = None

    @property
    def loaded(self) -> bool:
        return self.info is not None


class Roles:
    """`forget` is told each predictor that was let go."""

    def __init__(self, settings: ServeSettings, load: Load, forget: Callable[[Predictor[Any, Any]], None]) -> None:
        self._settings, self._forget = settings, forget
        self._shelf = Shelf(settings.offline, load)
        self._chosen: dict[Key, tuple[str, str]] = {}  # model and device, as asked for
        self._loaded: dict[Key, Shelved] = {}
        self._loading: dict[Key, asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    async def load(self, key: Key, model: str | None = None, device: str | None = None) -> ModelInfo:
        """Load a model for a role, another than before where `model` or `device` differ, and return what it is.

        A cancelled call lets the load go on: who comes next finds the model there. A `model` that is not the settings'
        own is never a directory of this machine's.
        Raises OtherTaskError, ModelError, HubUnreachableError, DeviceError, OutputError, UsageError.
        """
        chosen = self._choice(key)
        return await asyncio.shield(self._task(self._placed(key, (model or chosen[0], device or chosen[1]))))

    def unload(self, key: Key) -> bool:
        """Let go of a role's model, unless another role has it or a request is being answered by it.

        Return whether it was loaded.
        """
        was_loaded = self._loaded.pop(key, None) is not None
        self._let_go()
        return was_loaded

    def unload_idle(self, before: float) -> None:
        """Unload what nobody uses, or has used since `before`, a time.monotonic()."""
        idle = [key for key, shelved in self._loaded.items() if not shelved.users and shelved.used_at < before]
        for key in idle:
            del self._loaded[key]
        if idle:
            self._let_go()

    def info(self, key: Key) -> ModelInfo | None:
        """Return what is known of the role's loaded model, None where none is."""
        shelved = self._loaded.get(key)
        return None if shelved is None else shelved.predictor(_task_of(key)).info

    def status(self, dialect: str) -> dict[str, Standing]:
        """Return for each role what would answer or answers."""
        return {role: self._standing((dialect, role)) for role in ROLES[dialect]}

    async def wanted(self, key: Key) -> Shelved:
        """Return the role's model, loaded where it is not. Raises NotLoaded and as `load`, in words for strangers."""
        while (shelved := self._loaded.get(key)) is None:
            if not self._settings.auto_loads(key[0]):
                raise NotLoaded(f"the model for {key[1]} is not loaded")
            try:
                await self.load(key)
            except (ModelError, OutputError) as error:
                log.error("the model for %s cannot be loaded: %s", key[1], error)  # names folders of this machine
                raise ModelError(f"the model for {key[1]} cannot be loaded; the server's log says why") from error
        return shelved

    @contextmanager
    def in_use(self, shelved: Shelved) -> Iterator[None]:
        """Keep a model while it answers; one that was unloaded meanwhile goes with its last user."""
        shelved.users += 1
        try:
            yield
        finally:
            shelved.users -= 1
            shelved.used_at = time.monotonic()
            if not shelved.users and shelved not in self._loaded.values():
                self._let_go()

    def _task(self, work: Coroutine[Any, Any, ModelInfo]) -> asyncio.Task[ModelInfo]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _placed(self, key: Key, wanted: tuple[str, str]) -> ModelInfo:
        async with self._loading.setdefault(key, asyncio.Lock()):
            shelved = self._loaded.get(key)
            if shelved is None or self._choice(key) != wanted:
                shelved = await asyncio.to_thread(self._got, key, *wanted)
                try:
                    shelved.predictor(_task_of(key))
                    self._chosen[key], self._loaded[key] = wanted, shelved
                finally:
                    self._shelf.put_to_use(shelved)
                    self._let_go()
        return shelved.info

    def _got(self, key: Key, model: str, device: str) -> Shelved:
        files = self._settings.hailo_files if is_hailo(device) else None
        request = RuntimeRequest(device=device, dtype=self._settings.dtype, hailo=files)
        is_ours = model == self._settings.model_of(*key)
        return self._shelf.get(model, key[1], _task_of(key), request, directories=is_ours)

    def _choice(self, key: Key) -> tuple[str, str]:
        return self._chosen.get(key) or (self._settings.model_of(*key), self._settings.device)

    def _standing(self, key: Key) -> Standing:
        standing = Standing(self._choice(key)[0])
        shelved = self._loaded.get(key)
        if shelved is None:
            return standing
        return replace(standing, info=self.info(key), parameters=shelved.parameters)

    def _let_go(self) -> None:
        gone = self._shelf.keep_only(self._loaded.values())
        for shelved in gone:
            for predictor in shelved.predictors.values():
                self._forget(predictor)
        if gone:
            asyncio.get_running_loop().run_in_executor(None, clear_out)


def _task_of(key: Key) -> str:
    dialect, role = key
    return ROLES[dialect][role]
