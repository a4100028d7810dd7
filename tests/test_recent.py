import dataclasses

import numpy as np
import pytest

from tests.doubles import refs_of
from visioncli import recent
from visioncli.errors import DecodeError
from visioncli.recent import Recent
from visioncli.row import Row
from visioncli.samples import Answer, Facts, Failure

REFS = refs_of([b"/a", b"/b", b"/c"])


def row(number: int, key: str, version: str = "1") -> Row:
    return Row(number, REFS[number % 3], False, "here", 0, facts=Facts(key, 10, version), key=key)


def answer(of: Row) -> Answer[str]:
    assert of.facts is not None
    return Answer(of.ref, dataclasses.replace(of.facts, size=(3, 4)), f"answer to {of.key}")


def test_an_equal_row_is_answered_from_memory_with_facts_of_its_own() -> None:
    memory, first, second = Recent(), row(0, "same", "1"), row(1, "same", "2")
    assert not memory.wait_for(first)
    assert memory.find(first) is None
    assert memory.settle(first, answer(first)) == []
    assert not memory.wait_for(second)
    assert memory.find(second) == Answer(REFS[1], Facts("same", 10, "2", (3, 4)), "answer to same")


def test_rows_that_wait_get_the_first_ones_outcome_once_it_is_there() -> None:
    memory, first, second, third = Recent(), row(0, "same"), row(1, "same"), row(2, "same")
    assert [memory.wait_for(each) for each in (first, second, third)] == [False, True, True]
    error = DecodeError("decode_corrupt", "no")
    assert memory.settle(first, Failure(first.ref, first.facts, error)) == [
        (second, Failure(REFS[1], Facts("same", 10, "1"), error)),
        (third, Failure(REFS[2], Facts("same", 10, "1"), error)),
    ]


def test_rows_with_other_keys_are_asked_for_themselves() -> None:
    memory, first, second = Recent(), row(0, "one"), row(1, "two")
    assert not memory.wait_for(first)
    assert not memory.wait_for(second)
    memory.settle(first, answer(first))
    assert memory.find(second) is None


def test_a_row_that_failed_before_it_had_a_key_is_not_remembered() -> None:
    memory, nameless = Recent(), Row(0, REFS[0], False, "here", 0)
    assert memory.settle(nameless, Failure(REFS[0], None, DecodeError("empty_file", "no"))) == []
    assert memory.find(nameless) is None


def test_what_was_used_longest_ago_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "_KEEP", 2)
    memory, rows = Recent(), [row(number, f"key {number}") for number in range(3)]
    for each in rows:
        memory.wait_for(each)
    for each in rows[:2]:
        memory.settle(each, answer(each))
    assert memory.find(rows[0]) is not None  # used again
    memory.settle(rows[2], answer(rows[2]))
    assert [memory.find(each) is not None for each in rows] == [True, False, True]


def test_what_is_remembered_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "_KEEP_BYTES", 2500)
    memory, rows = Recent(), [row(number, f"key {number}") for number in range(3)]
    for each in rows:
        memory.wait_for(each)
        memory.settle(each, dataclasses.replace(answer(each), result=np.zeros(1000, np.uint8)))
    assert [memory.find(each) is not None for each in rows] == [False, True, True]
