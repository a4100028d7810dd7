"""One device's thread: whatever is ready, in full batches of what may be mixed; and what happens when it dies or hangs.

An idle device starts at once; while pictures for it are still being decoded it waits for them, at most `max_wait_s`.
A thread that hangs cannot be ended: it is left behind, its batch is given up, and another takes its place.
A device that fails whatever it is given is not ready until a batch succeeds. Nobody may ask meanwhile, because whoever
shares the load sends its requests elsewhere: so one input of the batch that failed is tried again now and then.

Knows nothing of requests, event loops or models beyond `forward`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from visioncli.batching import SafeForward
from visioncli.errors import DeviceError, PredictError, VisioncliError
from visioncli.models import Predictor
from visioncli.samples import Sample
from visioncli.server.refusals import Stopping

log = logging.getLogger("visioncli.server")

# How long readiness fails after a device thread died or hung, unless a batch succeeds before: what it was given may be
# to blame, and is not given again. After a device failed: how long until it is tried again.
WOUND_S = 5.0

Output = Any | VisioncliError  # what `forward` gave for one picture, or why it gave nothing


@dataclass(eq=False, slots=True)
class Item:
    """One picture or text that is ready for the device."""

    predictor: Predictor[Any, Any]
    options: Any
    sample: Sample
    inputs: Any
    finish: Callable[[Item, Output], None]  # called from the lane's threads; must not block
    is_dropped: Callable[[], bool]  # nobody waits for it any more
    arrived: float = field(default_factory=time.monotonic)

    @property
    def key(self) -> Hashable:
        return id(self.predictor), self.predictor.batch_key(self.options, self.inputs)


@dataclass(frozen=True, slots=True)
class LaneOptions:
    device: str
    max_batch: int | None
    max_wait_s: float
    hang_after_s: float
    on_batch: Callable[[str, int, float], None]  # device, pictures, seconds


class Lane:
    """Thread-safe. `look_after` is to be called about twice a second."""

    def __init__(self, options: LaneOptions) -> None:
        self._options = options
        self._waiting: deque[Item] = deque()
        self._coming = 0  # items that are being decoded
        self._condition = threading.Condition()
        self._forwards: dict[int, SafeForward] = {}  # by predictor
        self._closed = False
        self._wounded_at: float | None = None
        self._trial: Item | None = None  # of the batch that the device failed on, until one succeeds
        self._running: list[Item] = []
        self._running_since: float | None = None
        self._thread = self._start()

    @property
    def is_ready(self) -> bool:
        wounded = self._wounded_at
        is_over = wounded is None or (self._trial is None and time.monotonic() - wounded > WOUND_S)
        return self._thread.is_alive() and is_over

    def expect(self, count: int) -> None:
        """Announce items that will be put, or (negative) that will not or have been."""
        with self._condition:
            self._coming += count
            self._condition.notify_all()

    def put(self, item: Item) -> None:
        """Hand over an item that was expected."""
        with self._condition:
            self._coming -= 1
            if self._closed:
                raise Stopping("the server is shutting down")
            self._waiting.append(item)
            self._condition.notify_all()

    def forget(self, predictor: Predictor[Any, Any]) -> None:
        """Let go of what is kept for a model that is unloaded; whoever loads it again finds out how its device is."""
        self._forwards.pop(id(predictor), None)
        if self._trial is not None and self._trial.predictor is predictor:
            self._wounded_at = self._trial = None

    def close(self) -> None:
        """Refuse what waits; what runs is finished."""
        with self._condition:
            self._closed = True
            waiting, self._waiting = list(self._waiting), deque()
            self._condition.notify_all()
        _give_up(waiting, Stopping("the server is shutting down"))

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def look_after(self) -> None:
        """Replace a thread that died, or that has been in one forward pass for too long; try a device that failed."""
        self._try_again()
        since = self._running_since
        hangs = since is not None and time.monotonic() - since > self._options.hang_after_s
        if self._closed or (self._thread.is_alive() and not hangs):
            return
        with self._condition:
            self._wounded_at, self._trial = time.monotonic(), None
            lost, self._running, self._running_since = self._running, [], None
            self._forwards.clear()
            self._thread = self._start()
        what = "hangs" if hangs else "ended"
        log.error("the thread of %s %s; it is started again", self._options.device, what)
        _give_up(lost, Stopping(f"the thread of {self._options.device} {what}; it is started again", 5))

    def _try_again(self) -> None:
        trial, wounded = self._trial, self._wounded_at
        if trial is None or wounded is None or time.monotonic() - wounded <= WOUND_S:
            return
        with self._condition:
            if not self._waiting and not self._running:  # else somebody asks
                self._waiting.append(trial)
                self._condition.notify_all()

    def _start(self) -> threading.Thread:
        thread = threading.Thread(target=self._run, name=f"visioncli-{self._options.device}", daemon=True)
        thread.start()
        return thread

    def _run(self) -> None:
        while self._served(self._next()):
            pass  # without a batch in our hands: it would keep its model from being unloaded

    def _served(self, batch: list[Item]) -> bool:
        """Answer a batch; return whether to go on."""
        started = time.monotonic()
        outputs = self._answer(batch) if batch else []
        if not batch or threading.current_thread() is not self._thread:
            return False  # given up meanwhile: another thread has the device, and the batch has been refused
        self._running_since, self._running = None, []
        self._options.on_batch(self._options.device, len(batch), time.monotonic() - started)
        for item, output in zip(batch, outputs, strict=True):
            item.finish(item, output)
        return True

    def _next(self) -> list[Item]:
        """Wait for items of one key, oldest first; none when the lane is closed or another thread has it."""
        with self._condition:
            while not self._closed and threading.current_thread() is self._mine():
                batch, limit = self._ready()
                left_s = batch[0].arrived + self._options.max_wait_s - time.monotonic() if batch else None
                if batch and (len(batch) >= limit or self._coming <= 0 or left_s is None or left_s <= 0):
                    self._waiting = deque(item for item in self._waiting if item not in batch)
                    self._running, self._running_since = batch, time.monotonic()
                    return batch
                self._condition.wait(left_s)
            return []

    def _mine(self) -> threading.Thread:
        """The thread that has the device; while it is being started, whoever asks."""
        return getattr(self, "_thread", threading.current_thread())

    def _ready(self) -> tuple[list[Item], int]:
        """What could go now, and how many could at most."""
        self._waiting = deque(item for item in self._waiting if not item.is_dropped())
        if not self._waiting:
            return [], 0
        first = self._waiting[0]
        limit = self._forward_of(first.predictor).limit
        return [item for item in self._waiting if item.key == first.key][:limit], limit

    def _forward_of(self, predictor: Predictor[Any, Any]) -> SafeForward:
        if id(predictor) not in self._forwards:
            limit = self._options.max_batch or predictor.info.batch_size
            self._forwards[id(predictor)] = SafeForward(predictor, limit, fill=False)
        return self._forwards[id(predictor)]

    def _answer(self, batch: Sequence[Item]) -> list[Output]:
        """One output an item. The only place, beside the decoder and the engines, that catches everything."""
        try:
            refused = self._prepare(batch)
            kept = [item for item in batch if id(item) not in refused]
            outputs = iter(
                self._forward_of(batch[0].predictor)([i.inputs for i in kept], kept[0].options) if kept else ()
            )
            found = [refused[id(item)] if id(item) in refused else next(outputs) for item in batch]
        except DeviceError as error:
            self._wound(batch[0], error)
            return [error] * len(batch)
        except Exception as error:  # noqa: BLE001  # a batch's boundary: the next one must be answered
            return [PredictError("device_failed", f"the model failed: {type(error).__name__}: {error}")] * len(batch)
        if not all(isinstance(output, VisioncliError) for output in found):
            self._heal()
        return found

    def _wound(self, item: Item, error: DeviceError) -> None:
        if self._trial is None:  # once, not with every request until it is mended
            log.error("%s is not ready: %s", self._options.device, error)
            sample = replace(item.sample, image=None)  # the inputs are enough
            self._trial = replace(item, sample=sample, finish=_unheard, is_dropped=_never)
        self._wounded_at = time.monotonic()

    def _heal(self) -> None:
        if self._trial is not None:
            log.info("%s answers again", self._options.device)
        self._wounded_at = self._trial = None

    def _prepare(self, batch: Sequence[Item]) -> dict[int, VisioncliError]:
        """Ask the model for what each item's options need (the vectors of its labels); what that refuses, by item."""
        refused: dict[int, VisioncliError] = {}
        for item in batch:
            try:
                item.predictor.prepare(item.options)
            except DeviceError:  # of a text tower on the device: as bad as of a picture's
                raise
            except VisioncliError as error:
                refused[id(item)] = error
        return refused


def _unheard(item: Item, output: Output) -> None:
    """Nobody asked."""


def _never() -> bool:
    return False


def _give_up(items: Sequence[Item], error: VisioncliError) -> None:
    for item in items:
        item.finish(item, error)
