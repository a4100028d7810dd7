"""What is ready for a device and waits: by what may share a batch, oldest first.

Looking at what comes next costs as much as a batch has items, however many wait. Knows nothing of threads or devices.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

from visioncli.errors import VisioncliError
from visioncli.models import Predictor
from visioncli.samples import Sample

Output = Any | VisioncliError  # what `forward` gave for one picture, or why it gave nothing


@dataclass(eq=False, slots=True)
class Item:
    """One picture or text that is ready for the device."""

    predictor: Predictor[Any, Any]
    options: Any
    sample: Sample
    inputs: Any
    finish: Callable[[Item, Output], None]  # called once, from the lane's threads; must not block
    is_dropped: Callable[[], bool]  # nobody waits for it any more
    arrived: float = field(default_factory=time.monotonic)
    key: Hashable = field(init=False)  # of what may be in one batch

    def __post_init__(self) -> None:
        self.key = id(self.predictor), self.predictor.batch_key(self.options, self.inputs)


class Waiting:
    """Belongs to whoever holds the lane's lock."""

    def __init__(self) -> None:
        self._groups: dict[Hashable, deque[tuple[int, Item]]] = {}  # by key; none is empty
        self._heads: list[tuple[int, Hashable]] = []  # a heap: each group's first number
        self._numbers = itertools.count()
        self._dropped: list[Item] = []

    def __len__(self) -> int:
        return sum(map(len, self._groups.values()))

    def __bool__(self) -> bool:
        return bool(self._groups)

    def append(self, item: Item) -> None:
        numbered = next(self._numbers), item
        if item.key in self._groups:
            self._groups[item.key].append(numbered)
        else:
            self._keep(item.key, deque([numbered]))

    def first(self, limit_of: Callable[[Item], int]) -> tuple[list[Item], int]:
        """Return what could go next, as many as `limit_of` the first of them, and that limit; nothing is taken out."""
        while self._heads:
            _, key = heapq.heappop(self._heads)
            group = self._groups.pop(key)
            self._shed(group, 1)
            if group:
                limit = limit_of(group[0][1])
                batch = self._shed(group, limit)
                self._keep(key, group)
                if self._heads[0][1] == key:  # else its first was dropped, and another group is older
                    return batch, limit
        return [], 0

    def take(self, count: int) -> None:
        """Take out so many of what `first` returned."""
        _, key = heapq.heappop(self._heads)
        group = self._groups.pop(key)
        for _ in range(count):
            group.popleft()
        if group:
            self._keep(key, group)

    def dropped(self) -> list[Item]:
        """Return, once, those that were found dropped and taken out."""
        found, self._dropped = self._dropped, []
        return found

    def sweep(self) -> None:
        """Take out all that are dropped; looks at every one."""
        groups, self._groups, self._heads = self._groups, {}, []
        for key, group in groups.items():
            self._shed(group, len(group))
            if group:
                self._keep(key, group)

    def all(self) -> list[Item]:
        """Return all that wait, oldest first."""
        return [item for _, item in sorted(itertools.chain(*self._groups.values()), key=lambda pair: pair[0])]

    def _keep(self, key: Hashable, group: deque[tuple[int, Item]]) -> None:
        self._groups[key] = group
        heapq.heappush(self._heads, (group[0][0], key))

    def _shed(self, group: deque[tuple[int, Item]], count: int) -> list[Item]:
        """Return the first `count` of a group, or as many as there are, and take the dropped among them out."""
        kept: list[tuple[int, Item]] = []
        while group and len(kept) < count:
            number, item = group.popleft()
            if item.is_dropped():
                self._dropped.append(item)
            else:
                kept.append((number, item))
        group.extendleft(reversed(kept))
        return [item for _, item in kept]
