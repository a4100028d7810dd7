"""Web hooks over real sockets: called until they are told, at least once, never inside."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.server.looping import in_loop, until
from tests.server.test_jobstore import API, job
from visioncli.io.fetch import FetchOptions
from visioncli.server.jobstore import Job, JobStore
from visioncli.server.running import Runner, at_work
from visioncli.server.webhooks import Webhooks


class Ear:
    """A server that answers each POST with the next of `statuses` (the last one again and again)."""

    def __init__(self, statuses: Sequence[int]) -> None:
        self.statuses = list(statuses)
        self.heard: list[tuple[str, dict[str, str], Any]] = []  # path, headers, JSON
        self.port = 0

    def url(self, path: str = "/done") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await reader.readexactly(int(headers["content-length"]))
        self.heard.append((first.split()[1], headers, json.loads(body)))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        writer.write(f"HTTP/1.1 {status} X\r\nLocation: {self.url('/moved')}\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()


@asynccontextmanager
async def listening(*statuses: int) -> AsyncIterator[Ear]:
    ear = Ear(statuses)
    server = await asyncio.start_server(ear.answer, "127.0.0.1", 0)
    ear.port = server.sockets[0].getsockname()[1]
    async with server:
        yield ear


async def two() -> int:
    return 2


def rendered(one: Job) -> bytes:
    told = {"id": one.id, "status": one.status}
    return json.dumps(told if one.result in (None, b"1") else told | {"result": json.loads(one.result)}).encode()


@asynccontextmanager
async def calling(folder: Path, *allowed: str, result: bytes = b"1") -> AsyncIterator[Runner]:
    async def work(one: Job) -> bytes:
        return result

    runner = Runner(API, work, two)
    fetch = FetchOptions(guard=True, allow_hosts=allowed, headers=(("Authorization", "Bearer of the fetches"),))
    webhooks = Webhooks(API, rendered, fetch, delay_s=0.1)
    runner.on_end.append(webhooks.look)
    async with at_work([runner, webhooks], folder / "jobs.sqlite", 0.5):
        yield runner


async def until_told(runner: Runner, name: str) -> Job:
    while (found := await runner.wait(name, 10)) is None or found.webhook_due is not None:
        await asyncio.sleep(0.01)
    return found


@in_loop
async def test_the_url_gets_the_status_when_the_job_has_ended(tmp_path: Path) -> None:
    async with listening(200) as ear, calling(tmp_path, "127.0.0.1") as runner:
        await runner.submit(job("a", webhook=ear.url("/done?n=1")))
        await until_told(runner, "a")
    ((path, headers, content),) = ear.heard
    assert (path, content) == ("/done?n=1", {"id": "a", "status": "completed"})
    assert headers["content-type"] == "application/json" and "authorization" not in headers


@pytest.mark.parametrize(
    ("statuses", "calls"), [((500, 200), 2), ((204, 302, 500), 3), ((500,), 3)], ids=["second", "third", "never"]
)
@in_loop
async def test_a_url_that_does_not_answer_200_is_called_twice_more(
    tmp_path: Path, statuses: tuple[int, ...], calls: int
) -> None:
    async with listening(*statuses) as ear, calling(tmp_path, "127.0.0.1") as runner:
        await runner.submit(job("a", webhook=ear.url()))
        assert (await until_told(runner, "a")).webhook_tries == calls
        await asyncio.sleep(0.3)
    assert [path for path, _, _ in ear.heard] == ["/done"] * calls  # nor is a redirect followed


@in_loop
async def test_a_url_that_leads_inside_is_not_called(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with listening(200) as ear, calling(tmp_path) as runner:
        for name, url in (("a", ear.url()), ("b", f"http://[::1]:{ear.port}/"), ("c", "http://169.254.169.254/")):
            await runner.submit(job(name, webhook=url))
            assert (await until_told(runner, name)).webhook_tries == 1
    assert ear.heard == []
    assert caplog.text.count("its web hook failed") == 3


@in_loop
async def test_a_host_that_does_not_answer_keeps_no_other_waiting(tmp_path: Path) -> None:
    opened: list[asyncio.StreamWriter] = []

    async def dead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(writer)  # kept: what is let go is closed

    server = await asyncio.start_server(dead, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with server, listening(200) as ear, calling(tmp_path, "127.0.0.1") as runner:
        for number in range(100):
            await runner.submit(job(f"dead {number}", webhook=url))
        await runner.submit(job("a", webhook=ear.url()))
        await until_told(runner, "a")
        assert 0 < len(opened) <= 8  # as many as fetches of one host
        for writer in opened:
            writer.close()
    assert [content for _, _, content in ear.heard] == [{"id": "a", "status": "completed"}]


@in_loop
async def test_each_of_many_is_told_once(tmp_path: Path) -> None:
    async with listening(200) as ear, calling(tmp_path, "127.0.0.1") as runner:
        for number in range(100):
            await runner.submit(job(f"{number:02d}", webhook=ear.url()))
        for number in range(100):
            await until_told(runner, f"{number:02d}")
    assert sorted(content["id"] for _, _, content in ear.heard) == [f"{number:02d}" for number in range(100)]


@in_loop
async def test_a_long_result_is_told_in_whole(tmp_path: Path) -> None:
    async with listening(200) as ear, calling(tmp_path, "127.0.0.1", result=b'"' + b"a" * 10**6 + b'"') as runner:
        await runner.submit(job("a", webhook=ear.url()))
        await until_told(runner, "a")
    assert [content for _, _, content in ear.heard] == [{"id": "a", "status": "completed", "result": "a" * 10**6}]


@in_loop
async def test_a_cancelled_job_is_told_as_such(tmp_path: Path) -> None:
    async with listening(200) as ear, calling(tmp_path, "127.0.0.1") as runner:
        await runner.store.submit(job("a", webhook=ear.url()))  # the runner has not been told: it stays queued
        assert await runner.cancel("a")
        await until_told(runner, "a")
    assert [content for _, _, content in ear.heard] == [{"id": "a", "status": "cancelled"}]


@in_loop
async def test_what_was_owed_when_the_server_ended_is_told_after_the_restart(tmp_path: Path) -> None:
    async with listening(200) as ear:
        store = JobStore(tmp_path / "jobs.sqlite")
        await store.submit(job("a", webhook=ear.url(), keep_s=0.01))
        taken = await store.take(API)
        assert taken is not None and await store.finish(taken, b"1")
        await store.close()
        await asyncio.sleep(0.05)  # even though nobody can ask for it any more
        async with calling(tmp_path, "127.0.0.1"):
            await until(lambda: len(ear.heard) == 1)
    assert [content for _, _, content in ear.heard] == [{"id": "a", "status": "completed"}]
