"""Which models are loaded: each once, for all dialects and tasks that ask for it, until nobody does.

Knows nothing of requests or threads of devices. Its own calls block; whoever asks makes them in a thread.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from visioncli.errors import ModelError
from visioncli.io import hub
from visioncli.models import ANSWERS, Predictor, count_parameters, family_of, load_all, read_config
from visioncli.models.runtime import RuntimeRequest
from visioncli.provenance import Checkpoint, ModelInfo

Load = Callable[[Checkpoint, RuntimeRequest], dict[str, Predictor[Any, Any]]]  # -> task -> predictor


class OtherTaskError(ModelError):
    """The checkpoint is whole, and answers other questions than the one it is wanted for."""


@dataclass(eq=False)
class Shelved:
    """One loaded model."""

    name: str  # as it was asked for
    checkpoint: Checkpoint
    predictors: dict[str, Predictor[Any, Any]]  # by task
    parameters: int
    used_at: float = field(default_factory=time.monotonic)
    users: int = 0  # requests that are being answered
    takers: int = 0  # who got it from the shelf and has not put it to its use yet

    @property
    def info(self) -> ModelInfo:
        return next(iter(self.predictors.values())).info

    def predictor(self, task: str) -> Predictor[Any, Any]:
        """Raises ModelError."""
        if task not in self.predictors:
            raise _other_task(self.checkpoint, self.predictors, task)
        return self.predictors[task]


class Shelf:
    """Thread-safe: of two that want the same model the second waits for the first."""

    def __init__(self, offline: bool, load: Load = load_all) -> None:
        self._offline, self._load = offline, load
        self._models: dict[tuple[str, str], Shelved] = {}  # (directory, device asked for)
        self._locks: dict[tuple[str, str], threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, model: str, role: str, task: str, request: RuntimeRequest, *, directories: bool = True) -> Shelved:
        """Return the model, loading it where it is not; `role` is a key of hub.DEFAULTS, and tells which demo is meant.

        It stays until `put_to_use` and after that as `keep_only` says. `directories` is as of hub.locate.
        Raises OtherTaskError, ModelError, HubUnreachableError, DeviceError, OutputError, UsageError.
        """
        checkpoint = hub.locate(model, role, None, self._offline, directories=directories)
        _refuse_other_task(checkpoint, task)
        key = str(checkpoint.directory), request.device
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            shelved = self._taken(key)
            if shelved is None:
                predictors = self._load(checkpoint, request)
                gc.freeze()  # half a million objects: a round over them would stop every thread for 0.2 s
                shelved = Shelved(model, checkpoint, predictors, count_parameters(checkpoint), takers=1)
                with self._lock:
                    self._models[key] = shelved
            return shelved

    def put_to_use(self, shelved: Shelved) -> None:
        with self._lock:
            shelved.takers -= 1

    def keep_only(self, wanted: Iterable[Shelved]) -> list[Shelved]:
        """Let go of all others that nobody uses at the moment, and return them."""
        names = {id(each) for each in wanted}
        with self._lock:
            gone = {
                key: each
                for key, each in self._models.items()
                if id(each) not in names and not each.users and not each.takers
            }
            for key in gone:
                del self._models[key]
        return list(gone.values())

    def _taken(self, key: tuple[str, str]) -> Shelved | None:
        with self._lock:
            shelved = self._models.get(key)
            if shelved is not None:
                shelved.takers += 1
            return shelved


def _refuse_other_task(checkpoint: Checkpoint, task: str) -> None:
    """Before its weights are loaded."""
    answers = ANSWERS.get(str(family_of(read_config(checkpoint))))
    if answers is not None and task not in answers:
        raise _other_task(checkpoint, answers, task)


def _other_task(checkpoint: Checkpoint, answers: Iterable[str], task: str) -> OtherTaskError:
    return OtherTaskError(f"{checkpoint.id} can {' and '.join(answers)}, not {task}")


def clear_out() -> None:
    """Collect what models that were let go of left behind; blocks every thread for about 0.2 s."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
