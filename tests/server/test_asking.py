"""What a question holds and lets go of, what becomes of it when something breaks, and when its asker leaves."""

from __future__ import annotations

import asyncio
import logging
import threading
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tests.doubles import MeanColour, colour_of, png
from tests.server.looping import in_loop, until
from tests.server.test_service import API, ROLE, SETTINGS, pictures, serving
from visioncli.errors import PredictError, UsageError
from visioncli.io.decode import Decoded
from visioncli.models.steps import step
from visioncli.server import service as module
from visioncli.server.asking import PIXEL_BYTES
from visioncli.server.lane import Lane
from visioncli.server.payloads import Picture, Text
from visioncli.server.room import Room
from visioncli.server.service import Service
from visioncli.tasks.classify import ClassifyOptions

PATIENCE_S = 20.0


@dataclass
class Breaking(MeanColour):
    """Raises what nobody expects, in one of its methods."""

    where: str = ""

    def preprocess(self, sample: Any, options: None) -> Any:
        self._break("preprocess")
        return super().preprocess(sample, options)

    def forward(self, inputs: Any, options: None) -> Any:
        self._break("forward")
        return super().forward(inputs, options)

    def postprocess(self, outputs: Any, samples: Any, options: None) -> Any:
        self._break("postprocess")
        return super().postprocess(outputs, samples, options)

    def batch_key(self, options: None, inputs: Any) -> Any:
        self._break("batch_key")
        return super().batch_key(options, inputs)

    def _break(self, where: str) -> None:
        if where == self.where:
            self.where = ""  # once
            raise KeyError("x")


@pytest.mark.parametrize("where", ["preprocess", "batch_key", "forward", "postprocess"])
@in_loop
async def test_what_nobody_expects_fails_one_picture_and_is_logged(
    where: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(Breaking(where=where)) as service:
        with pytest.raises(PredictError, match=r"^the model failed: KeyError: 'x'$") as failed:
            await service.ask(API, ROLE, pictures(1), None)
        assert await service.ask(API, ROLE, pictures(2), None) == [colour_of(2)]
        assert (lane_of(service)._coming, service._room.used) == (0, 0)
    assert failed.value.code == "device_failed"
    assert [record.levelno for record in caplog.records if record.name == "visioncli.server"] == [logging.ERROR]


@dataclass
class Seeing(MeanColour):
    """Remembers what it was given behind the device."""

    samples: list[Any] = field(default_factory=list)

    def postprocess(self, outputs: Any, samples: Any, options: None) -> Any:
        self.samples += samples
        return super().postprocess(outputs, samples, options)


@in_loop
async def test_no_pixels_wait_for_the_device() -> None:
    double = Seeing()
    async with serving(double) as service:
        await service.ask(API, ROLE, [Picture(png(colour_of(1), 7))], None)
    assert [(sample.image, sample.facts.size) for sample in double.samples] == [(None, (7, 7))]


@dataclass
class Crowded(MeanColour):
    """Counts how many pictures are prepared at once, and lets others come in meanwhile."""

    inside: int = 0
    most: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def preprocess(self, sample: Any, options: None) -> Any:
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        threading.Event().wait(0.01)
        with self.lock:
            self.inside -= 1
        return super().preprocess(sample, options)


@in_loop
async def test_pictures_are_decoded_when_there_is_room_for_their_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    double = Crowded()
    monkeypatch.setattr(module, "THREADS", 8)
    async with serving(double) as service:
        service._room = Room(8 * 8 * PIXEL_BYTES)  # one picture's
        asks = [service.ask(API, ROLE, [Picture(png(colour_of(n), 8))], None) for n in range(24)]
        assert await asyncio.gather(*asks) == [[colour_of(n)] for n in range(24)]
        assert (double.most, service._room.used) == (1, 0)


@in_loop
async def test_who_leaves_while_there_is_no_room_leaves_the_line() -> None:
    async with serving(MeanColour()) as service:
        service._room = Room(1)
        service._room.enter("somebody", 1, lambda: None)
        asked = asyncio.create_task(service.ask(API, ROLE, pictures(*range(9)), None))
        await until(lambda: len(service._room._waiting) == 9)
        asked.cancel()
        await until(lambda: not service._room._waiting)
        service._room.change(-1)
        assert await service.ask(API, ROLE, pictures(3), None) == [colour_of(3)]


@dataclass
class Endless(MeanColour):
    """Its answer to the first batch has steps without end."""

    begun: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    def forward(self, inputs: Any, options: None) -> Any:
        try:
            while not self.batches:
                self.begun.set()
                step()
        finally:
            self.ended.set()
        return super().forward(inputs, options)


@pytest.mark.parametrize("deadline_s", [None, 0.2])
@in_loop
async def test_who_leaves_ends_a_long_answer_between_two_steps(deadline_s: float | None) -> None:
    double = Endless()
    async with serving(double) as service:
        asked = asyncio.create_task(service.ask(API, ROLE, pictures(1), None, deadline_s=deadline_s))
        await asyncio.to_thread(double.begun.wait, PATIENCE_S)
        if deadline_s is None:
            asked.cancel()
        await asyncio.wait({asked})
        assert await asyncio.to_thread(double.ended.wait, PATIENCE_S)
        double.batches.append([])
        assert await service.ask(API, ROLE, pictures(2), None) == [colour_of(2)]
        assert (double.batches, service._room.used) == ([[], [colour_of(2)]], 0)


@in_loop
async def test_a_long_answer_goes_on_as_long_as_one_of_its_batch_waits() -> None:
    double = Endless(batch_size=2)
    async with serving(double, replace(SETTINGS, max_wait_s=PATIENCE_S)) as service:
        lane_of(service).expect(1)  # so that the first waits for the second
        leaves, stays = (asyncio.create_task(service.ask(API, ROLE, pictures(n), None)) for n in (1, 2))
        await asyncio.to_thread(double.begun.wait, PATIENCE_S)
        leaves.cancel()
        await asyncio.wait({leaves})
        double.batches.append([])
        assert await stays == [colour_of(2)]
        lane_of(service).expect(-1)
    assert len(double.batches[-1]) == 2


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ([Picture(b"")] * 257, "257 pictures are more than the 256 that one request may have"),
        ([Text("a")] * 4097, "4097 labels or texts are more than the 4096 that one request may have"),
    ],
)
@in_loop
async def test_a_request_has_so_many_inputs_at_most(inputs: list[Any], words: str) -> None:
    async with serving(MeanColour()) as service:
        with pytest.raises(UsageError, match=f"^{words}$"):
            await service.ask(API, ROLE, inputs, None)


@in_loop
async def test_labels_have_so_many_characters_at_most() -> None:
    options = ClassifyOptions(("a" * 2**20, "b"))
    async with serving(MeanColour()) as service:
        with pytest.raises(UsageError, match=r"^1048577 characters of labels are more than the 1048576 that"):
            await service.ask(API, ROLE, pictures(1), options)


@in_loop
async def test_texts_beyond_what_is_on_its_way_at_once_come_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 5)
    async with serving(MeanColour()) as service:
        texts = [Text(",".join(map(str, colour_of(number)))) for number in range(23)]
        assert await service.ask(API, ROLE, texts, None) == [colour_of(number) for number in range(23)]


@in_loop
async def test_a_picture_is_looked_at_within_the_room() -> None:
    async with serving(MeanColour()) as service:
        used: list[int] = []

        def look(decoded: Decoded) -> Any:
            used.append(service._room.used)
            return decoded.image[0, 0].tolist()

        assert tuple(await service.looked(Picture(png((1, 2, 3), 5)), look)) == (1, 2, 3)
        assert (used, service._room.used) == ([25 * PIXEL_BYTES], 0)


def lane_of(service: Service) -> Lane:
    return service._lane("cpu")
