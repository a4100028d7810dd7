"""One device's thread: whatever is ready, in full batches of what may be mixed; and what happens when it dies or hangs.

An idle device starts at once; while pictures for it are still being decoded it waits for them, at most `max_wait_s`.
Between two steps of a batch it looks whether anybody still waits for the answer. A step that takes far longer than
those before makes the lane unready, until it ends; one that takes longer than `hang_after_s` is given up. A thread that
hangs cannot be ended: it is left behind, its batch is refused, and another takes its place. How a device is that fails
on its batches, `health` tells.

Knows nothing of requests, event loops or models beyond `forward`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from visioncli.batching import SafeForward
from visioncli.errors import DeviceError, VisioncliError
from visioncli.models import Predictor
from visioncli.models.steps import between_steps
from visioncli.server.caught import caught
from visioncli.server.health import Health
from visioncli.server.pace import Pace
from visioncli.server.refusals import ClientLeft, Stopping
from visioncli.server.waiting import Item, Output, Waiting

__all__ = ["Item", "Lane", "LaneOptions", "Output"]


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
        self._waiting = Waiting()
        self._coming = 0  # items that are being decoded
        self._gone = 0  # of those that wait, how many may be dropped
        self._condition = threading.Condition()
        self._forwards: dict[int, SafeForward] = {}  # by predictor
        self._pace = Pace()
        self._closed = False
        self._health = Health(options.device)
        self._running: list[Item] = []
        self._thread = self._start()

    @property
    def is_ready(self) -> bool:
        return self._thread.is_alive() and self._health.is_well and not self._pace.is_strange

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

    def sweep(self, count: int) -> None:
        """Take out what nobody waits for any more, when it is much: `count` items more may be dropped."""
        with self._condition:
            self._gone += count
            if self._gone * 2 > len(self._waiting):
                self._gone = 0
                self._waiting.sweep()
            dropped = self._waiting.dropped()
        _give_up(dropped, _gone())

    def forget(self, predictor: Predictor[Any, Any]) -> None:
        """Let go of what is kept for a model that is unloaded."""
        self._forwards.pop(id(predictor), None)
        self._pace.forget(id(predictor))
        self._health.forget(predictor)

    def close(self) -> None:
        """Refuse what waits; what runs is finished."""
        with self._condition:
            self._closed = True
            waiting, self._waiting = self._waiting.all(), Waiting()
            self._condition.notify_all()
        _give_up(waiting, Stopping("the server is shutting down"))

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def look_after(self) -> None:
        """Replace a thread that died, or that has been in one step for too long; try a device that failed."""
        self._try_again()
        hangs = self._pace.step_s > self._options.hang_after_s
        if self._closed or (self._thread.is_alive() and not hangs):
            return
        what = "hangs" if hangs else "ended"
        with self._condition:
            self._health.ended(what)
            lost, self._running, self._pace = self._running, [], Pace()
            self._forwards.clear()
            self._thread = self._start()
        _give_up(lost, Stopping(f"the thread of {self._options.device} {what}; it is started again", 5))

    def _try_again(self) -> None:
        trial = self._health.to_try()
        with self._condition:
            if trial is not None and not self._waiting and not self._running:  # else somebody asks
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
        self._note(batch, outputs)
        self._running = []
        self._options.on_batch(self._options.device, len(batch), time.monotonic() - started)
        for item, output in zip(batch, outputs, strict=True):
            item.finish(item, output)
        return True

    def _note(self, batch: Sequence[Item], outputs: Sequence[Output]) -> None:
        """Keep in mind what a batch tells of the device."""
        is_answered = not all(isinstance(output, VisioncliError) for output in outputs)
        self._pace.end(is_answered=is_answered)
        if is_answered:
            self._health.answered()
        for item, output in zip(batch, outputs, strict=True):
            if isinstance(output, DeviceError):
                self._health.failed(item, output)

    def _next(self) -> list[Item]:
        """Wait for items of one key, oldest first; none when the lane is closed or another thread has it."""
        while True:
            batch, dropped = self._chosen()
            _give_up(dropped, _gone())  # without the lock: it may be another lane's room that this makes
            if batch or not dropped:
                return batch

    def _chosen(self) -> tuple[list[Item], list[Item]]:
        """Wait for a batch; or return none, and what was found dropped on the way."""
        with self._condition:
            while not self._closed and threading.current_thread() is self._mine():
                batch, limit = self._waiting.first(self._limit_of)
                if dropped := self._waiting.dropped():
                    return [], dropped
                left_s = batch[0].arrived + self._options.max_wait_s - time.monotonic() if batch else None
                if batch and (len(batch) >= limit or self._coming <= 0 or left_s is None or left_s <= 0):
                    self._waiting.take(len(batch))
                    self._running = batch
                    self._pace.begin(id(batch[0].predictor), len(batch))
                    return batch, []
                self._condition.wait(left_s)
            return [], []

    def _mine(self) -> threading.Thread:
        """The thread that has the device; while it is being started, whoever asks."""
        return getattr(self, "_thread", threading.current_thread())

    def _limit_of(self, item: Item) -> int:
        return self._forward_of(item.predictor).limit

    def _forward_of(self, predictor: Predictor[Any, Any]) -> SafeForward:
        if id(predictor) not in self._forwards:
            limit = self._options.max_batch or predictor.info.batch_size
            self._forwards[id(predictor)] = SafeForward(predictor, limit, fill=False)
        return self._forwards[id(predictor)]

    def _answer(self, batch: Sequence[Item]) -> list[Output]:
        """One output an item."""
        outputs = caught(partial(self._outputs, batch))
        return [outputs] * len(batch) if isinstance(outputs, VisioncliError) else outputs

    def _outputs(self, batch: Sequence[Item]) -> list[Output]:
        refused = self._prepare(batch)
        kept = [item for item in batch if id(item) not in refused]
        answers = iter(self._forwarded(kept) if kept else ())
        return [refused[id(item)] if id(item) in refused else next(answers) for item in batch]

    def _forwarded(self, batch: Sequence[Item]) -> Sequence[Output]:
        try:
            self._look(batch)
            with between_steps(partial(self._look, batch)):
                return self._forward_of(batch[0].predictor)([item.inputs for item in batch], batch[0].options)
        except ClientLeft as error:
            return [error] * len(batch)

    def _prepare(self, batch: Sequence[Item]) -> dict[int, VisioncliError]:
        """Ask the model for what each item's options need (the vectors of its labels); what that refuses, by item."""
        refused: dict[int, VisioncliError] = {}
        for item in batch:
            try:
                with between_steps(partial(self._look, [item])):
                    item.predictor.prepare(item.options)
            except DeviceError:  # of a text tower on the device: as bad as of a picture's
                raise
            except VisioncliError as error:
                refused[id(item)] = error
        return refused

    def _look(self, items: Sequence[Item]) -> None:
        """A step is over, and another begins. Raises ClientLeft where nobody waits for any of `items`, Stopping."""
        if threading.current_thread() is not self._thread:
            raise Stopping("another thread has the device")
        self._pace.step()
        if all(item.is_dropped() for item in items):
            raise _gone()


def _gone() -> ClientLeft:
    return ClientLeft("nobody waits for it any more")


def _give_up(items: Sequence[Item], error: VisioncliError) -> None:
    for item in items:
        item.finish(item, error)
