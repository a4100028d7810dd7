"""Bytes that all requests share, and who waits for them."""

from __future__ import annotations

from functools import partial

import pytest

from visioncli.server.room import Room


class Line:
    """A room of 10 bytes, and the order in which those who waited were called."""

    def __init__(self) -> None:
        self.room, self.called = Room(10), list[str]()

    def enter(self, name: str, size: int) -> bool:
        return self.room.enter(name, size, partial(self.called.append, name))


def test_what_fits_goes_in_at_once_and_the_rest_waits_in_its_order() -> None:
    line = Line()
    assert [line.enter(*each) for each in (("a", 6), ("b", 4), ("c", 5), ("d", 1))] == [True, True, False, False]
    line.room.change(-4)
    assert (line.called, line.room.used) == ([], 6)  # d would fit, and does not overtake
    line.room.change(-6)
    assert (line.called, line.room.used) == (["c", "d"], 6)


def test_what_is_larger_than_the_room_goes_in_alone() -> None:
    line = Line()
    assert (line.enter("a", 1), line.enter("whale", 99), line.enter("b", 1)) == (True, False, False)
    line.room.change(-1)
    assert (line.called, line.room.used) == (["whale"], 99)
    line.room.change(-99)
    assert (line.called, line.room.used) == (["whale", "b"], 1)


def test_who_leaves_the_line_lets_those_behind_in() -> None:
    line = Line()
    line.enter("a", 5)
    line.enter("whale", 99)
    line.enter("b", 5)
    line.room.forget("whale")
    line.room.forget("nobody")
    assert (line.called, line.room.used) == (["b"], 10)


@pytest.mark.parametrize("by", [3, 300])
def test_what_turns_out_larger_waits_for_nobody(by: int) -> None:
    line = Line()
    line.enter("a", 8)
    line.room.change(by)
    assert line.room.used == 8 + by
