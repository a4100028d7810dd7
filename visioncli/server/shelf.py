"""Which models are loaded: each once, for all dialects and tasks that ask for it, until nobody does.

Knows nothing of requests or threads of devices. Its own calls block; the service makes them in a thread.
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
from visioncli.models import Predictor, count_parameters, load_all
from visioncli.models.runtime import RuntimeRequest
from visioncli.provenance import Checkpoint, ModelInfo

Load = Callable[[Checkpoint, RuntimeRequest], dict[str, Predictor[Any, Any]]]  # -> task -> predictor


@dataclass(eq=False)
class Shelved:
    """One loaded model."""

    name: str  # as it was asked for
    checkpoint: Checkpoint
    predictors: dict[str, Predictor[Any, Any]]  # by task
    parameters: int
    used_at: float = field(default_factory=time.monotonic)
    users: int = 0  # requests that are being answered

    @property
    def info(self) -> ModelInfo:
        return next(iter(self.predictors.values())).info

    def predictor(self, task: str) -> Predictor[Any, Any]:
        """Raises ModelError."""
        if task not in self.predictors:
            raise ModelError(f"{self.checkpoint.id} can {' and '.join(self.predictors)}, not {task}")
        return self.predictors[task]


class Shelf:
    """Thread-safe: of two that want the same model the second waits for the first."""

    def __init__(self, offline: bool, load: Load = load_all) -> None:
        self._offline, self._load = offline, load
        self._models: dict[tuple[str, str], Shelved] = {}  # (directory, device asked for)
        self._locks: dict[tuple[str, str], threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, model: str, role: str, request: RuntimeRequest) -> Shelved:
        """Return the model, loading it where it is not; `role` is a key of hub.DEFAULTS, and tells which demo is meant.

        Raises ModelError, HubUnreachableError, DeviceError, UsageError.
        """
        checkpoint = hub.locate(model, role, None, self._offline)
        key = str(checkpoint.directory), request.device
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._models:
                predictors = self._load(checkpoint, request)
                gc.freeze()  # half a million objects: a round over them would stop every thread for 0.2 s
                self._models[key] = Shelved(model, checkpoint, predictors, count_parameters(checkpoint))
            return self._models[key]

    def keep_only(self, wanted: Iterable[Shelved]) -> list[Shelved]:
        """Let go of all others that nobody uses at the moment, and return them."""
        names = {id(each) for each in wanted}
        with self._lock:
            gone = {key: each for key, each in self._models.items() if id(each) not in names and not each.users}
            for key in gone:
                del self._models[key]
        return list(gone.values())


def clear_out() -> None:
    """Collect what models that were let go of left behind; blocks every thread for about 0.2 s."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
