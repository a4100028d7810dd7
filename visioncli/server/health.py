"""Whether a device answers, as far as its batches tell.

One that fails whatever it is given is not well until a batch succeeds. Nobody may ask meanwhile, because whoever shares
the load sends its requests elsewhere: so one input of the batch that failed is to be tried again now and then.

Written by the device's thread and by who looks after it. Knows nothing of queues or threads.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import Any

from visioncli.errors import DeviceError
from visioncli.models import Predictor
from visioncli.server.waiting import Item, Output

log = logging.getLogger("visioncli.server")

# How long a device is not well after its thread died or hung, unless a batch succeeds before: what it was given may be
# to blame, and is not given again. After a device failed: how long until it is tried again.
WOUND_S = 5.0


class Health:
    def __init__(self, device: str) -> None:
        self._device = device
        self._wounded_at: float | None = None
        self._trial: Item | None = None  # of the batch that the device failed on, until one succeeds

    @property
    def is_well(self) -> bool:
        return self._wounded_at is None or (self._trial is None and self._is_over)

    @property
    def _is_over(self) -> bool:
        wounded = self._wounded_at
        return wounded is not None and time.monotonic() - wounded > WOUND_S

    def failed(self, item: Item, error: DeviceError) -> None:
        """The device failed on a batch; `item` was one of it."""
        if self._trial is None:  # once, not with every request until it is mended
            log.error("%s is not ready: %s", self._device, error)
            sample = replace(item.sample, image=None)  # the inputs are enough
            self._trial = replace(item, sample=sample, finish=_unheard, is_dropped=_never)
        self._wounded_at = time.monotonic()

    def ended(self, what: str) -> None:
        """Its thread ended or hangs, as `what` says."""
        log.error("the thread of %s %s; it is started again", self._device, what)
        self._wounded_at, self._trial = time.monotonic(), None

    def answered(self) -> None:
        """A batch succeeded."""
        if self._trial is not None:
            log.info("%s answers again", self._device)
        self._wounded_at = self._trial = None

    def to_try(self) -> Item | None:
        """Return an input to try the device with, when that is due."""
        return self._trial if self._is_over else None

    def forget(self, predictor: Predictor[Any, Any]) -> None:
        """A model is unloaded: whoever loads it again finds out how its device is."""
        if self._trial is not None and self._trial.predictor is predictor:
            self._wounded_at = self._trial = None


def _unheard(item: Item, output: Output) -> None:
    """Nobody asked."""


def _never() -> bool:
    return False
