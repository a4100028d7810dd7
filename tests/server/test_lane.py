"""One device's thread when the device fails: what is ready, what is said, and who tries it again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tests.doubles import MeanColour
from visioncli.errors import DeviceError
from visioncli.samples import Facts, ImageRef, Sample
from visioncli.server import health as module
from visioncli.server.lane import Item, Lane, LaneOptions

PATIENCE_S = 30.0
OPTIONS = LaneOptions("mean-colour", None, 0.0, 300.0, lambda device, size, seconds: None)


@dataclass
class Pluggable(MeanColour):
    """A device that may be gone, for pictures or for the texts that the options need."""

    is_gone: bool = False
    is_gone_for_texts: bool = False

    def prepare(self, options: None) -> None:
        if self.is_gone_for_texts:
            raise DeviceError("no text comes back")

    def forward(self, inputs: Any, options: None) -> Any:
        if self.is_gone:
            raise DeviceError("nothing answers")
        return super().forward(inputs, options)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WOUND_S", 0.0)


@contextmanager
def opened() -> Iterator[Lane]:
    lane = Lane(OPTIONS)
    try:
        yield lane
    finally:
        lane.close()


def asked(lane: Lane, double: MeanColour) -> Any:
    """What one picture is answered with."""
    found: list[Any] = []
    sample = Sample(ImageRef(0, "", None), Facts(), np.zeros((4, 4, 3), np.uint8))
    lane.expect(1)
    lane.put(Item(double, None, sample, sample.image, lambda item, output: found.append(output), lambda: False))
    until(lambda: bool(found))
    return found[0]


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_a_device_that_is_gone_is_not_ready_however_long_nobody_asks_and_is_ready_when_it_is_back() -> None:
    double = Pluggable(is_gone=True)
    with opened() as lane:
        assert isinstance(asked(lane, double), DeviceError)
        for _ in range(20):
            lane.look_after()
            until(lambda: not lane._running and not lane._waiting)
            assert not lane.is_ready
        double.is_gone = False
        until(lambda: lane.look_after() or lane.is_ready)
    assert double.batches == [[(0, 0, 0)]]


def test_a_request_that_succeeds_makes_it_ready_at_once() -> None:
    double = Pluggable(is_gone=True)
    with opened() as lane:
        asked(lane, double)
        double.is_gone = False
        assert (asked(lane, double), lane.is_ready) == ((0, 0, 0), True)


def test_the_reason_is_said_once_and_that_it_answers_again(caplog: pytest.LogCaptureFixture) -> None:
    double = Pluggable(is_gone=True)
    with opened() as lane, caplog.at_level(logging.INFO, "visioncli.server"):
        for _ in range(3):
            asked(lane, double)
        double.is_gone = False
        asked(lane, double)
    assert [record.message for record in caplog.records] == [
        "mean-colour is not ready: nothing answers",
        "mean-colour answers again",
    ]


def test_a_device_that_fails_on_the_options_texts_is_not_ready_either() -> None:
    double = Pluggable(is_gone_for_texts=True)
    with opened() as lane:
        assert str(asked(lane, double)) == "no text comes back"
        assert not lane.is_ready


def test_a_model_that_is_unloaded_takes_its_trial_along() -> None:
    double = Pluggable(is_gone=True)
    with opened() as lane:
        asked(lane, double)
        lane.forget(double)
        assert lane.is_ready
        lane.look_after()
        assert not lane._waiting
