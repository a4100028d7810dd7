"""When a step of a device takes strangely long, by a clock that is set by hand."""

from __future__ import annotations

import pytest

from tests.server.looping import Clock
from visioncli.server.pace import FIRST_S, STRANGE_S, STRANGE_TIMES, Pace


def answered(pace: Pace, clock: Clock, *steps_s: float, count: int = 1, is_answered: bool = True) -> None:
    """One batch of these steps."""
    pace.begin("model", count)
    for seconds in steps_s[:-1]:
        clock.now += seconds
        pace.step()
    clock.now += steps_s[-1]
    pace.end(is_answered=is_answered)


def strange_after_s(pace: Pace, clock: Clock, count: int = 1) -> float:
    """Whole seconds after which a step that began now is strange."""
    pace.begin("model", count)
    for seconds in range(1, 10_000):
        clock.now += 1
        if pace.is_strange:
            return seconds - 1
    raise AssertionError("never")


@pytest.mark.parametrize(
    ("steps_s", "count", "later", "expected"),
    [
        ((0.1,), 1, 1, STRANGE_S),  # fast: a few seconds, whatever it usually takes
        ((2.0,), 1, 1, 2 * STRANGE_TIMES),
        ((0.5, 3.0, 0.5), 1, 1, 3 * STRANGE_TIMES),  # the longest step counts, not the batch
        ((2.0,), 1, 4, 8 * STRANGE_TIMES),  # four times as many items may take four times as long
        ((8.0,), 4, 1, 2 * STRANGE_TIMES),
    ],
)
def test_a_step_is_strange_by_what_the_model_s_steps_took(
    steps_s: tuple[float, ...], count: int, later: int, expected: float
) -> None:
    clock = Clock()
    pace = Pace(clock)
    answered(pace, clock, *steps_s, count=count)
    assert strange_after_s(pace, clock, later) == expected


def test_a_model_that_has_not_answered_yet_has_its_time() -> None:
    clock = Clock()
    pace = Pace(clock)
    answered(pace, clock, 0.1, is_answered=False)
    assert strange_after_s(pace, clock) == FIRST_S
    pace.forget("model")
    assert (pace.step_s, pace.is_strange) == (FIRST_S + 1, True)


def test_nothing_is_strange_while_nothing_runs() -> None:
    clock = Clock()
    pace = Pace(clock)
    answered(pace, clock, 0.1)
    clock.now += 1e6
    assert (pace.step_s, pace.is_strange) == (0.0, False)
