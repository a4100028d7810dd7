"""What waits for a device: order, groups, those that are dropped, and how much is looked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from visioncli.samples import Facts, ImageRef, Sample
from visioncli.server.waiting import Item, Waiting

SAMPLE = Sample(ImageRef(0, "", None), Facts(), None)


class Keyed:
    """A predictor whose inputs say what they may be mixed with."""

    def batch_key(self, options: None, inputs: tuple[str, int]) -> str:
        return inputs[0]


PREDICTOR: Any = Keyed()


@dataclass
class Line:
    """Items by name, `a3` of the group a, and which of them are dropped."""

    waiting: Waiting = field(default_factory=Waiting)
    dropped: set[str] = field(default_factory=set)
    looks: int = 0

    def put(self, *names: str) -> None:
        for name in names:
            item = Item(PREDICTOR, None, SAMPLE, (name[0], name), _unheard, lambda name=name: self._is_dropped(name))
            self.waiting.append(item)

    def next(self, limit: int) -> list[str]:
        batch, _ = self.waiting.first(lambda item: limit)
        if batch:
            self.waiting.take(len(batch))
        return names(batch)

    def _is_dropped(self, name: str) -> bool:
        self.looks += 1
        return name in self.dropped


def _unheard(item: Item, output: Any) -> None:
    pass


def names(items: list[Item]) -> list[str]:
    return [item.inputs[1] for item in items]


@pytest.mark.parametrize(
    ("put", "dropped", "batches"),
    [
        ("a1 a2 a3", "", ["a1 a2", "a3"]),
        ("a1 b1 a2 b2 a3", "", ["a1 a2", "b1 b2", "a3"]),
        ("a1 b1 c1 a2 a3 a4", "", ["a1 a2", "b1", "c1", "a3 a4"]),
        ("a1 b1 a2", "a1", ["b1", "a2"]),  # the oldest that somebody waits for goes first
        ("a1 a2 a3 a4", "a2", ["a1 a3", "a4"]),
        ("a1 b1", "a1 b1", []),
        ("", "", []),
    ],
)
def test_the_oldest_goes_first_with_those_it_may_be_mixed_with(put: str, dropped: str, batches: list[str]) -> None:
    line = Line(dropped=set(dropped.split()))
    line.put(*put.split())
    found = []
    while batch := line.next(2):
        found.append(" ".join(batch))
    assert (found, names(line.waiting.dropped()), bool(line.waiting)) == (batches, dropped.split(), False)


def test_what_is_looked_at_is_not_taken_out() -> None:
    line = Line()
    line.put("a1", "a2")
    assert [names(line.waiting.first(lambda item: 8)[0]) for _ in range(2)] == [["a1", "a2"]] * 2
    assert (len(line.waiting), names(line.waiting.all())) == (2, ["a1", "a2"])


def test_a_batch_costs_no_more_looks_however_many_wait() -> None:
    line = Line()
    line.put(*(f"{letter}{number}" for number in range(5_000) for letter in "ab"))
    line.looks = 0
    assert line.next(8) == [f"a{number}" for number in range(8)]
    assert line.looks <= 16


def test_a_sweep_takes_out_the_dropped_wherever_they_stand() -> None:
    line = Line(dropped={"a1", "b1", "b2"})
    line.put("a1", "b1", "a2", "b2", "c1")
    line.waiting.sweep()
    assert (names(line.waiting.all()), names(line.waiting.dropped())) == (["a2", "c1"], ["a1", "b1", "b2"])
    assert line.waiting.dropped() == []
