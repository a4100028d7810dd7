"""Who runs jobs: in order, so many at once, each to one end; over a real store, with work that does as a test says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.server.looping import in_loop, until
from tests.server.test_jobstore import API, job
from visioncli.errors import LockHeldError, PredictError
from visioncli.server import running as module
from visioncli.server.job import Job, Line
from visioncli.server.jobstore import JobStore
from visioncli.server.refusals import Busy, Stopping
from visioncli.server.running import Runner, at_work, stop_all


class Bench:
    """Work that waits until its job's name is let go, and remembers what it saw."""

    def __init__(self, concurrency: int = 2) -> None:
        self.concurrency, self.ready = concurrency, asyncio.Event()
        self.ready.set()
        self.runner = Runner(API, self.work, self.capacity)
        self.begun: list[str] = []
        self.cancelled: list[str] = []
        self.answers: dict[str, Any] = {}  # name -> result, or what is raised
        self.open = asyncio.Event()

    async def capacity(self) -> int:
        await self.ready.wait()
        return self.concurrency

    async def work(self, one: Job) -> Any:
        self.begun.append(one.id)
        try:
            if one.id not in self.answers:
                await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled.append(one.id)
            raise
        answer = self.answers.get(one.id, {"name": one.id})
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def queue(self, *names: str, **more: Any) -> None:
        for name in names:
            await self.runner.submit(job(name, **more))

    async def end_of(self, name: str) -> Job:
        found = await self.runner.wait(name, 10)
        assert found is not None
        return found


@asynccontextmanager
async def benched(folder: Path, concurrency: int = 2, grace_s: float = 0.0) -> AsyncIterator[Bench]:
    bench = Bench(concurrency)
    async with at_work([bench.runner], folder / "jobs.sqlite", grace_s):
        yield bench


@in_loop
async def test_jobs_run_in_order_and_no_more_than_so_many_at_once(tmp_path: Path) -> None:
    async with benched(tmp_path, 2) as bench:
        await bench.queue("a", "b", "c", "d")
        await until(lambda: len(bench.begun) == 2)
        await asyncio.sleep(0.05)
        assert bench.begun == ["a", "b"] and bench.runner.running == 2
        bench.open.set()
        ends = [await bench.end_of(name) for name in "abcd"]
    assert bench.begun == ["a", "b", "c", "d"]
    assert [(one.status, one.result) for one in ends] == [("completed", b'{"name":"%c"}' % n) for n in b"abcd"]


@in_loop
async def test_a_result_may_hold_arrays(tmp_path: Path) -> None:
    async with benched(tmp_path) as bench:
        bench.answers["a"] = {"embedding": np.array([0.1, 0.25], np.float32)}
        await bench.queue("a")
        assert (await bench.end_of("a")).result == b'{"embedding":[0.1,0.25]}'


@in_loop
async def test_a_result_may_be_json_already(tmp_path: Path) -> None:
    async with benched(tmp_path) as bench:
        bench.answers["a"] = b'{"as": "it is"}'
        await bench.queue("a")
        assert (await bench.end_of("a")).result == b'{"as": "it is"}'


@in_loop
async def test_a_line_that_is_full_is_busy(tmp_path: Path) -> None:
    bench = Bench(1)
    bench.runner = Runner(API, bench.work, bench.capacity, Line(jobs=2))
    async with at_work([bench.runner], tmp_path / "jobs.sqlite", 0):
        await bench.queue("runs")
        await until(lambda: bench.begun == ["runs"])
        await bench.queue("a", "b")
        with pytest.raises(Busy, match="are waiting already") as refused:
            await bench.queue("c")
        assert refused.value.retry_after_s == 10
        assert await bench.runner.cancel("a")
        await bench.queue("c")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PredictError("non_finite", "the model answered with NaN"), "the model answered with NaN"),
        (ZeroDivisionError("division by zero"), "division by zero"),
        (KeyError(), "KeyError"),
    ],
)
@in_loop
async def test_a_job_fails_with_its_error_s_own_sentence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, error: Exception, words: str
) -> None:
    async with benched(tmp_path) as bench:
        bench.answers |= {"bad": error, "good": 1}
        await bench.queue("bad", "good")
        ends = [await bench.end_of("bad"), await bench.end_of("good")]
    assert [(one.status, one.error, one.result) for one in ends] == [("failed", words, None), ("completed", None, b"1")]
    unexpected = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert bool(unexpected) is not isinstance(error, PredictError)  # a fault of ours is told in full


@in_loop
async def test_a_job_that_runs_too_long_is_timed_out_and_its_work_ended(tmp_path: Path) -> None:
    async with benched(tmp_path) as bench:
        await bench.queue("a", time_limit_s=0.1)
        end = await bench.end_of("a")
        assert (end.status, end.error) == ("timed_out", "the job ran longer than the 0.1 s that it may take")
        assert bench.cancelled == ["a"] and bench.runner.running == 0
        bench.open.set()
        assert await bench.runner.retry("a")
        assert (await bench.end_of("a")).status == "completed"


@in_loop
async def test_cancelling_ends_the_work_and_makes_room(tmp_path: Path) -> None:
    async with benched(tmp_path, 1) as bench:
        await bench.queue("a", "b", "c")
        await until(lambda: bench.begun == ["a"])
        assert await bench.runner.cancel("b") and await bench.runner.cancel("a")
        await until(lambda: bench.begun == ["a", "c"])
        assert bench.cancelled == ["a"]
        assert [(await bench.end_of(name)).status for name in "ab"] == ["cancelled", "cancelled"]
        assert not await bench.runner.cancel("a")


@in_loop
async def test_a_deleted_job_is_ended_and_gone(tmp_path: Path) -> None:
    async with benched(tmp_path, 1) as bench:
        await bench.queue("a")
        await until(lambda: bench.begun == ["a"])
        assert await bench.runner.delete("a")
        await until(lambda: bench.cancelled == ["a"])
        assert await bench.runner.wait("a", 1) is None


@in_loop
async def test_who_waits_is_told_of_every_end(tmp_path: Path) -> None:
    async with benched(tmp_path, 1) as bench:
        await bench.queue("runs", "waits", "purged")
        await until(lambda: bench.begun == ["runs"])
        waiting = [asyncio.create_task(bench.runner.wait(name, 10)) for name in ("runs", "runs", "waits", "purged")]
        await asyncio.sleep(0.02)
        assert await bench.runner.cancel("waits") and await bench.runner.purge() == 1
        bench.open.set()
        found = await asyncio.gather(*waiting)
    assert [one and one.status for one in found] == ["completed", "completed", "cancelled", None]


@in_loop
async def test_who_waits_too_short_sees_the_job_as_it_stands(tmp_path: Path) -> None:
    async with benched(tmp_path, 1) as bench:
        await bench.queue("a", "b")
        await until(lambda: bench.begun == ["a"])
        assert [(await bench.runner.wait(n, 0.05)).status for n in "ab"] == ["running", "queued"]  # type: ignore[union-attr]


@in_loop
async def test_a_job_waits_again_when_the_device_is_started_again(tmp_path: Path) -> None:
    async with benched(tmp_path) as bench:
        bench.answers["a"] = Stopping("the device thread hangs; it is started again", 0)
        await bench.queue("a")
        await until(lambda: len(bench.begun) > 1)
        bench.answers["a"] = 1
        assert (await bench.end_of("a")).result == b"1"


@in_loop
async def test_an_expired_job_s_work_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SWEEP_S", 0.05)
    async with benched(tmp_path, 1) as bench:
        await bench.queue("a", ttl_s=0.1)
        await until(lambda: bench.cancelled == ["a"])
        assert await bench.runner.wait("a", 1) is None


@in_loop
async def test_what_ran_when_the_server_stopped_runs_again_before_what_waited(tmp_path: Path) -> None:
    async with benched(tmp_path, 2) as bench:
        await bench.queue("a", "b", "c")
        await until(lambda: bench.begun == ["a", "b"])
    assert sorted(bench.cancelled) == ["a", "b"]
    async with benched(tmp_path, 1) as again:
        again.open.set()
        assert [(await again.end_of(name)).status for name in "abc"] == ["completed"] * 3
    assert again.begun == ["a", "b", "c"]


@in_loop
async def test_what_runs_may_finish_within_the_grace(tmp_path: Path) -> None:
    async with benched(tmp_path, 1, grace_s=5.0) as bench:
        await bench.queue("a", "b")
        await until(lambda: bench.begun == ["a"])
        asyncio.get_running_loop().call_later(0.1, bench.open.set)
    store = JobStore(tmp_path / "jobs.sqlite")
    assert await store.counts(API) == {"completed": 1, "queued": 1, "retried": 0}
    await store.close()


@in_loop
async def test_nothing_is_accepted_before_the_start_or_after_the_stop(tmp_path: Path) -> None:
    bench = Bench()
    with pytest.raises(Stopping, match="starting"):
        await bench.queue("early")
    async with at_work([bench.runner], tmp_path / "jobs.sqlite", 0):
        pass
    with pytest.raises(Stopping, match="shutting down"):
        await bench.queue("late")


@in_loop
async def test_without_companions_no_file_is_touched(tmp_path: Path) -> None:
    async with at_work([], tmp_path / "jobs.sqlite", 0):
        assert list(tmp_path.iterdir()) == []


@in_loop
async def test_jobs_are_taken_before_the_models_are_there_and_run_after(tmp_path: Path) -> None:
    bench = Bench()
    bench.ready.clear()
    bench.open.set()
    async with at_work([bench.runner], tmp_path / "jobs.sqlite", 0):
        await bench.queue("a", "b")
        assert await bench.runner.cancel("b")
        early = await bench.runner.wait("a", 0.05)
        assert early is not None and early.status == "queued" and bench.begun == []
        bench.ready.set()
        assert (await bench.end_of("a")).status == "completed" and bench.begun == ["a"]


@in_loop
async def test_a_server_that_ends_before_the_models_are_there_leaves_its_jobs_queued(tmp_path: Path) -> None:
    bench = Bench()
    bench.ready.clear()
    async with at_work([bench.runner], tmp_path / "jobs.sqlite", 5):
        await bench.queue("a")
        waiting = asyncio.create_task(bench.end_of("a"))
        await stop_all([bench.runner], 5)
        assert (await waiting).status == "queued"  # who waits is let go, and the store still answers


@in_loop
async def test_a_file_in_use_stops_the_start(tmp_path: Path) -> None:
    async with benched(tmp_path):
        with pytest.raises(LockHeldError):
            async with benched(tmp_path):
                pass
