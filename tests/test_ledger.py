"""Who is where: a row is in one place at a time, and what it holds is counted there alone."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from tests.doubles import refs_of
from visioncli.ledger import Ledger
from visioncli.meter import Meter
from visioncli.row import Row
from visioncli.samples import Answer, Facts
from visioncli.settings import Settings


def admitted(rows: int, **settings: int) -> tuple[Ledger, list[Row]]:
    ledger = Ledger(Settings(**settings), 4, 1, threading.Event(), Meter())
    found = [ledger.admit(ref, False) for ref in refs_of([b"/%d" % number for number in range(rows)])]
    ledger.end(None)
    return ledger, [row for row in found if row is not None]


def answer(row: Row, size: int = 0) -> Answer[np.ndarray]:
    return Answer(row.ref, Facts(), np.zeros(size, np.uint8))


@pytest.mark.parametrize("late", [False, True], ids=["before its outcome", "after it"])
def test_a_row_that_stands_aside_comes_out_once_and_holds_nothing_afterwards(late: bool) -> None:
    """Its twin's outcome may be here before the worker that found the twin says so."""
    ledger, (first, second) = admitted(2)
    outcomes = [(first, answer(first, 100)), (second, answer(second, 100))]
    if late:
        ledger.finish(outcomes)
        ledger.stand_aside(second)
    else:
        ledger.stand_aside(second)
        assert (second.place, second.held) == ("twin", 0)
        ledger.finish(outcomes)
    assert (second.place, second.held) == ("done", 100)
    assert [outcome.ref for outcome in ledger.next_outcomes()] == [first.ref, second.ref]
    assert ledger.next_outcomes() == []


def test_what_is_finished_makes_room_only_when_it_is_taken() -> None:
    ledger, rows = admitted(3, ahead_bytes=3 * 2**20)
    ledger.finish([(row, answer(row, 2**20)) for row in rows])
    late: list[Row | None] = []
    feeder = threading.Thread(target=lambda: late.append(ledger.admit(refs_of([b"/3"])[0], False)))
    feeder.start()
    feeder.join(0.3)
    assert late == []
    assert len(ledger.next_outcomes()) == 3
    feeder.join()
    assert [row.number for row in late if row is not None] == [3]
