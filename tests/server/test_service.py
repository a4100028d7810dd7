"""The engine under the dialects, over a double whose answers are known by construction."""

from __future__ import annotations

import asyncio
import platform
import resource
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.doubles import MeanColour, colour_of, png
from visioncli.errors import DecodeError, ModelError, PredictError, UsageError
from visioncli.server import service as module
from visioncli.server.payloads import Picture, Text
from visioncli.server.refusals import Busy, NotLoaded, Stopping, TooLate
from visioncli.server.service import Service
from visioncli.server.settings import ROLES, ServeSettings

API, ROLE = "sagemaker-clip", "classify"
SETTINGS = ServeSettings(models={(API, ROLE): "demo"}, offline=True, grace_s=5.0)


@asynccontextmanager
async def serving(double: MeanColour, settings: ServeSettings = SETTINGS) -> AsyncIterator[Service]:
    service = Service(settings, load=lambda checkpoint, request: {"classify": double})
    await service.start([API])
    try:
        yield service
    finally:
        await service.close()


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    return asyncio.run(asyncio.wait_for(work(), 30))


def pictures(*numbers: int) -> list[Picture]:
    return [Picture(png(colour_of(number))) for number in numbers]


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0.01)


def test_answers_come_in_the_order_of_the_inputs() -> None:
    async def work() -> None:
        async with serving(MeanColour()) as service:
            assert await service.ask(API, ROLE, pictures(*range(30)), None) == [colour_of(n) for n in range(30)]

    run(work)


def test_requests_that_wait_together_share_a_batch() -> None:
    double = MeanColour(gate=threading.Event())

    async def work() -> None:
        async with serving(double) as service:
            asks = [asyncio.create_task(service.ask(API, ROLE, pictures(n), None)) for n in range(9)]
            await asyncio.sleep(1.0)  # the first is on the device, the others are decoded behind it
            double.gate.set()
            assert await asyncio.gather(*asks) == [[colour_of(n)] for n in range(9)]

    run(work)
    assert len(double.batches) <= 3 and max(map(len, double.batches)) >= 4


def test_a_lone_picture_is_not_padded_to_a_batch() -> None:
    double = MeanColour()

    async def work() -> None:
        async with serving(double) as service:
            await service.ask(API, ROLE, pictures(5), None)

    run(work)
    assert double.batches == [[colour_of(5)]]


def test_a_poison_picture_fails_alone_among_the_requests_of_its_batch() -> None:
    double = MeanColour(poison=frozenset({colour_of(3)}), gate=threading.Event())

    async def work() -> list[Any]:
        async with serving(double) as service:
            asks = [asyncio.create_task(service.ask(API, ROLE, pictures(n), None)) for n in range(8)]
            await asyncio.sleep(0.3)
            double.gate.set()
            return await asyncio.gather(*asks, return_exceptions=True)

    answers = run(work)
    assert [each for n, each in enumerate(answers) if n != 3] == [[colour_of(n)] for n in range(8) if n != 3]
    assert isinstance(answers[3], PredictError) and answers[3].code == "device_failed"


@pytest.mark.parametrize("data", [b"", b"<html>", png(colour_of(1))[:40]])
def test_a_picture_that_is_none_is_refused_by_name(data: bytes) -> None:
    async def work() -> None:
        async with serving(MeanColour()) as service:
            each = await service.ask_each(API, ROLE, [*pictures(1), Picture(data), *pictures(2)], None)
            assert [each[0], each[2]] == [colour_of(1), colour_of(2)] and isinstance(each[1], DecodeError)
            with pytest.raises(DecodeError):
                await service.ask(API, ROLE, [Picture(data)], None)

    run(work)


def test_a_full_queue_refuses_and_empties_again() -> None:
    async def work() -> None:
        async with serving(MeanColour(), replace(SETTINGS, max_queue=2)) as service:
            async with service.admitted(API), service.admitted(API):
                assert service.depth(API) == 2
                with pytest.raises(Busy) as refused:
                    async with service.admitted(API):
                        pass
                assert refused.value.retry_after_s >= 1
            async with service.admitted(API):
                assert service.depth(API) == 1

    run(work)


def test_who_leaves_takes_the_work_along() -> None:
    double = MeanColour(gate=threading.Event(), batch_size=1)

    async def work() -> None:
        async with serving(double) as service:
            first = asyncio.create_task(service.ask(API, ROLE, pictures(0), None))
            await asyncio.sleep(0.3)  # it is on the device before the others come
            second, third = (asyncio.create_task(service.ask(API, ROLE, pictures(n), None)) for n in (1, 2))
            await asyncio.sleep(0.3)
            second.cancel()
            await asyncio.sleep(0.05)
            double.gate.set()
            assert await asyncio.gather(first, third) == [[colour_of(0)], [colour_of(2)]]

    run(work)
    assert double.batches == [[colour_of(0)], [colour_of(2)]]


def test_a_request_has_a_deadline() -> None:
    double = MeanColour(gate=threading.Event())

    async def work() -> None:
        async with serving(double) as service:
            with pytest.raises(TooLate):
                await service.ask(API, ROLE, pictures(1), None, deadline_s=0.2)
            double.gate.set()
            assert await service.ask(API, ROLE, pictures(2), None) == [colour_of(2)]

    run(work)


def test_a_hung_device_is_given_up_readiness_fails_and_another_thread_answers() -> None:
    double = MeanColour(gate=threading.Event())

    async def work() -> None:
        async with serving(double, replace(SETTINGS, hang_after_s=0.5)) as service:
            with pytest.raises(Stopping):
                await service.ask(API, ROLE, pictures(1), None)
            assert not service.ready
            double.gate.set()
            assert await service.ask(API, ROLE, pictures(2), None) == [colour_of(2)]

    run(work)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_device_thread_that_dies_is_started_again_and_readiness_fails_meanwhile() -> None:
    class Dying(MeanColour):
        def forward(self, inputs: Any, options: None) -> Any:
            if not self.batches:
                self.batches.append([])
                raise SystemExit  # ends a thread without a word
            return super().forward(inputs, options)

    async def work() -> None:
        async with serving(Dying()) as service:
            assert service.ready
            with pytest.raises(Stopping):
                await service.ask(API, ROLE, pictures(1), None)
            assert not service.ready
            assert await service.ask(API, ROLE, pictures(2), None) == [colour_of(2)]

    run(work)


def test_closing_refuses_what_comes_and_finishes_what_runs() -> None:
    double = MeanColour(gate=threading.Event())

    async def work() -> None:
        async with serving(double) as service:

            async def request() -> list[Any]:
                async with service.admitted(API):
                    return await service.ask(API, ROLE, pictures(7), None)

            running = asyncio.create_task(request())
            await until(lambda: service.depth(API) == 1)
            await asyncio.sleep(0.1)
            closing = asyncio.create_task(service.close())
            await asyncio.sleep(0.05)
            assert not service.ready
            with pytest.raises(Stopping):
                await service.ask(API, ROLE, pictures(1), None)
            double.gate.set()
            assert await running == [colour_of(7)]
            await closing

    run(work)


def test_a_model_is_loaded_once_for_all_roles_that_ask_for_it() -> None:
    loads: list[str] = []
    double = MeanColour()

    def load(checkpoint: Any, request: Any) -> dict[str, Any]:
        loads.append(checkpoint.directory.name)
        return {"classify": double, "embed": double}

    async def work() -> None:
        keys = [(api, role) for api in ("runpod", "hailo-clip") for role in ROLES[api]]
        service = Service(ServeSettings(models=dict.fromkeys(keys, "demo"), offline=True), load=load)
        await service.start(["runpod", "hailo-clip"])
        await service.close()

    run(work)
    assert loads == ["siglip"]


def test_an_unloaded_model_is_let_go_and_loaded_again_by_the_next_question() -> None:
    async def work() -> None:
        async with serving(MeanColour()) as service:
            assert await service.unload(API, ROLE) and not await service.unload(API, ROLE)
            assert service.info(API, ROLE) is None and not service.status(API)[ROLE].loaded
            assert await service.ask(API, ROLE, pictures(1), None) == [colour_of(1)]
            assert service.status(API)[ROLE].loaded

    run(work)


def test_without_auto_load_a_model_that_is_not_there_is_refused_where_it_can_be_loaded() -> None:
    async def work() -> None:
        async with serving(MeanColour(), replace(SETTINGS, preload=False, auto_load=False)) as service:
            with pytest.raises(NotLoaded):
                await service.ask("vision-models", "segment", pictures(1), None)
            assert len(await service.ask(API, ROLE, pictures(1), None)) == 1  # this API has no way to ask for it

    run(work)


def test_an_idle_model_is_unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.02)

    async def work() -> None:
        async with serving(MeanColour(), replace(SETTINGS, idle_unload_s=0.1)) as service:
            assert service.info(API, ROLE) is not None
            await until(lambda: service.info(API, ROLE) is None)

    run(work)


def test_a_model_that_cannot_do_the_roles_task_is_refused() -> None:
    async def work() -> None:
        settings = ServeSettings(models={(API, ROLE): "demo/sam3"}, offline=True)
        with pytest.raises(ModelError, match="not classify"):
            await Service(settings).start([API])

    run(work)


def test_a_batch_is_told_with_its_device_size_and_seconds() -> None:
    told: list[tuple[str, int, float]] = []

    async def work() -> None:
        async with serving(MeanColour(forward_s=0.05)) as service:
            service.on_batch.append(lambda device, size, seconds: told.append((device, size, seconds)))
            await service.ask(API, ROLE, pictures(1), None)

    run(work)
    [(device, size, seconds)] = told
    assert (device, size) == ("cpu", 1) and 0.05 <= seconds < 5


def test_a_question_costs_little_while_another_runs() -> None:
    """The event loop answers while a forward pass runs."""
    double = MeanColour(forward_s=0.5)

    async def work() -> None:
        async with serving(double) as service:
            asked = asyncio.create_task(service.ask(API, ROLE, pictures(1), None))
            waits = []
            while not asked.done():
                began = time.monotonic()
                await asyncio.sleep(0.005)
                waits.append(time.monotonic() - began)
            assert len(waits) > 10

    run(work)


def test_more_texts_than_a_device_should_be_held_for_are_refused() -> None:
    async def work() -> None:
        async with serving(MeanColour()) as service:
            with pytest.raises(UsageError, match="4097"):
                await service.ask(API, ROLE, [Text("a")] * 4097, None)

    run(work)


@pytest.mark.parametrize("models", [{("runpod", "segment"): "demo"}, {("nowhere", "embed"): "demo"}])
def test_a_model_for_a_role_that_is_none_is_refused(models: dict[tuple[str, str], str]) -> None:
    with pytest.raises(UsageError):
        ServeSettings(models=models)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep no freed memory, or have no way")
def test_freed_memory_is_given_back_when_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUIET_S", 0.1)

    async def work() -> None:
        async with serving(MeanColour()) as service:
            pieces = [bytes(2000) for _ in range(100_000)]
            kept = pieces[-1]  # behind all others
            pieces.clear()
            held = resident_bytes()
            async with service.admitted(API):
                await service.ask(API, ROLE, pictures(1), None)
            await until(lambda: resident_bytes() < held - 150_000_000)
            assert kept == bytes(2000)

    run(work)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
