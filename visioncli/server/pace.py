"""How long the steps of a device's batches take, and when one takes strangely long.

Written by the device's thread, read by any. Knows nothing of models or devices.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable

# A step is strange after so many seconds, and so many times what the model's longest took for as many items. Of a model
# that has not answered yet nothing is known, and a large one on a CPU takes long.
STRANGE_S, STRANGE_TIMES, FIRST_S = 4.0, 10.0, 60.0


class Pace:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._longest: dict[Hashable, float] = {}  # by model: seconds of a step, for each item of its batch
        self._model: Hashable = None
        self._count = 1  # items of the batch that runs
        self._since: float | None = None  # when the step that runs began
        self._step_s = 0.0  # the longest of the batch that runs

    @property
    def step_s(self) -> float:
        """How long the step that runs has taken so far; 0 where none does."""
        since = self._since
        return 0.0 if since is None else self._clock() - since

    @property
    def is_strange(self) -> bool:
        longest = self._longest.get(self._model)
        usual_s = FIRST_S if longest is None else max(STRANGE_S, STRANGE_TIMES * longest * self._count)
        return self.step_s > usual_s

    def begin(self, model: Hashable, count: int) -> None:
        """A batch of so many items begins, and its first step."""
        self._model, self._count, self._step_s, self._since = model, count, 0.0, self._clock()

    def step(self) -> None:
        """A step is over, and another begins."""
        self._step_s = max(self._step_s, self.step_s)
        self._since = self._clock()

    def end(self, *, is_answered: bool) -> None:
        """The batch is over; how long its steps took is kept in mind where the model answered."""
        longest = max(self._step_s, self.step_s) / self._count
        self._since = None
        if is_answered:
            self._longest[self._model] = max(longest, self._longest.get(self._model, 0.0))

    def forget(self, model: Hashable) -> None:
        self._longest.pop(model, None)
