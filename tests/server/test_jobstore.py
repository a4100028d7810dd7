"""The store of jobs, on real files: order, ends that stay, expiry, restarts, and files that are no store."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.server.looping import Clock, in_loop
from visioncli.errors import LockHeldError, OutputError
from visioncli.server.job import Line
from visioncli.server.jobfile import default_path
from visioncli.server.jobstore import RESTARTS, Job, JobStore

API = "runpod"


def job(name: str, **more: Any) -> Job:
    known = {"api": API, "kind": "siglip", "payload": b"{}", "time_limit_s": 120.0, "ttl_s": 3600.0, "keep_s": 60.0}
    return Job(id=name, **(known | more))


@asynccontextmanager
async def opened(folder: Path, clock: Clock | None = None) -> AsyncIterator[JobStore]:
    store = JobStore(folder / "jobs.sqlite", clock or Clock())
    try:
        yield store
    finally:
        await store.close()


async def filled(store: JobStore, *names: str, **more: Any) -> None:
    for name in names:
        await store.submit(job(name, **more))


async def states(store: JobStore, names: Sequence[str]) -> dict[str, str | None]:
    found = {name: await store.get(API, name) for name in names}
    return {name: one and one.status for name, one in found.items()}


# A client's side


@in_loop
async def test_a_job_is_kept_as_it_was_submitted(tmp_path: Path) -> None:
    given = job("a", payload=b'{"input":1}', webhook="https://example.com/done")
    async with opened(tmp_path) as store:
        await store.submit(given)
        kept = await store.get(API, "a")
        taken = await store.take(API)
    assert kept == job("a", payload=b"", webhook="https://example.com/done", created=1e6, expires=1e6 + 3600)
    assert taken is not None and (taken.payload, taken.status, taken.attempts) == (b'{"input":1}', "running", 1)


@in_loop
async def test_jobs_are_taken_in_order_by_each_api(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await filled(store, "a", "b", "c")
        await filled(store, "x", api="vision-models")
        taken = [await store.take(API) for _ in range(4)]
    assert [one and one.id for one in taken] == ["a", "b", "c", None]


@in_loop
async def test_a_result_is_there_until_its_time_is_over(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, clock) as store:
        await filled(store, "a")
        taken = await store.take(API)
        assert taken is not None and await store.finish(taken, b"[1]")
        clock.now += 59.9
        found = await store.get(API, "a")
        assert found is not None and (found.status, found.result, found.finished) == ("completed", b"[1]", 1e6)
        clock.now += 0.2
        assert await store.get(API, "a") is None
        assert await store.sweep(API) == ["a"]


@in_loop
async def test_an_unfinished_job_is_forgotten_when_its_time_is_over(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, clock) as store:
        await filled(store, "running", "queued", ttl_s=10.0)
        running = await store.take(API)
        clock.now += 11
        assert await store.take(API) is None
        assert running is not None and not await store.finish(running, b"[1]")
        assert await states(store, ["running", "queued"]) == {"running": None, "queued": None}
        assert await store.sweep(API) == ["running", "queued"]


@in_loop
async def test_a_job_that_is_asked_to_stay_stays(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, clock) as store:
        await filled(store, "a", "b", ttl_s=10.0)
        await store.extend(API, "a", 100.0)
        await store.extend(API, "b", 1.0)
        clock.now += 9
        assert await states(store, "ab") == {"a": "queued", "b": "queued"}
        clock.now += 90
        assert await states(store, "ab") == {"a": "queued", "b": None}


@in_loop
async def test_cancelled_stays_cancelled_whatever_comes_back(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await filled(store, "a", "b")
        taken = await store.take(API)
        assert await store.cancel(API, "a") and await store.cancel(API, "b")
        assert taken is not None and not await store.finish(taken, b"[1]") and not await store.fail(taken, "late")
        assert not await store.cancel(API, "a") and not await store.retry(API, "a")
        assert await store.take(API) is None
        assert await states(store, "ab") == {"a": "cancelled", "b": "cancelled"}


@in_loop
async def test_a_finished_job_cannot_be_cancelled(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await filled(store, "a")
        taken = await store.take(API)
        assert taken is not None and await store.finish(taken, b"[1]")
        assert not await store.cancel(API, "a") and not await store.finish(taken, b"[2]")
        found = await store.get(API, "a")
    assert found is not None and (found.status, found.result) == ("completed", b"[1]")


@pytest.mark.parametrize("status", ["failed", "timed_out"])
@in_loop
async def test_a_job_that_failed_runs_again_behind_the_others(tmp_path: Path, status: str) -> None:
    async with opened(tmp_path) as store:
        await filled(store, "a", "b", payload=b'{"input":2}')
        first = await store.take(API)
        assert first is not None and await store.fail(first, "no", status)
        assert await store.retry(API, "a") and not await store.retry(API, "a")
        order = [await store.take(API), await store.take(API)]
        assert [one and (one.id, one.payload, one.error) for one in order] == [
            ("b", b'{"input":2}', None),
            ("a", b'{"input":2}', None),
        ]
        assert not await store.finish(first, b"[1]")  # the first run may not end the second
        assert (await store.counts(API))["retried"] == 1


@in_loop
async def test_jobs_are_counted_listed_purged_and_deleted_by_kind(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, clock) as store:
        for name in "abc":
            clock.now += 1
            await filled(store, name)
        await filled(store, "other", kind="clip")
        await store.take(API)
        assert await store.counts(API, "siglip") == {"running": 1, "queued": 2, "retried": 0}
        assert [one.id for one in await store.newest(API, "siglip", 2)] == ["c", "b"]
        assert await store.purge(API, "siglip") == ["b", "c"]
        assert await store.delete(API, "a") and not await store.delete(API, "a")
        assert [one.id for one in await store.newest(API)] == ["other"]


@in_loop
async def test_a_stream_is_delivered_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await filled(store, "a")
        taken = await store.take(API)
        assert not await store.deliver(API, "a")
        assert taken is not None and await store.finish(taken, b"[1]")
        assert [await store.deliver(API, "a") for _ in range(2)] == [True, False]


@in_loop
async def test_a_statement_that_fails_takes_no_other_along(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        given = [job("a"), job("a"), job("\ud800"), job("b")]
        ends = await asyncio.gather(*map(store.submit, given), return_exceptions=True)
        assert [type(end) for end in ends] == [Job, OutputError, OutputError, Job]
        assert await states(store, ["a", "b"]) == {"a": "queued", "b": "queued"}


@in_loop
async def test_an_event_loop_does_not_wait_for_the_disk(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        others = asyncio.gather(*(filled(store, str(n), payload=b"x" * 2_000_000) for n in range(10)))
        await asyncio.sleep(0)
        ticks = 0
        while not others.done():
            await asyncio.sleep(0.001)
            ticks += 1
        assert ticks > 5
        assert (await store.counts(API))["queued"] == 10


# Long results, long lines


async def finished(store: JobStore, name: str, result: bytes) -> None:
    await filled(store, name)
    taken = await store.take(API)
    assert taken is not None and await store.finish(taken, result)


@in_loop
async def test_a_long_result_is_read_for_itself(tmp_path: Path) -> None:
    long = os.urandom(2_500_000)
    async with opened(tmp_path) as store:
        await finished(store, "short", b"[1]")
        await finished(store, "long", long)
        found = await store.get(API, "long")
        assert found is not None and (found.status, found.result, found.result_bytes) == ("completed", None, len(long))
        listed = await store.newest(API)
        assert [(one.id, one.result) for one in listed] == [("long", None), ("short", b"[1]")]
        assert [len(piece) async for piece in store.pieces(found)] == [2**20, 2**20, 2_500_000 - 2**21]
        assert [(await store.whole(one)).result for one in listed] == [long, b"[1]"]


@in_loop
async def test_a_result_whose_job_is_removed_meanwhile_is_an_error(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await finished(store, "a", bytes(2**21))
        found = await store.get(API, "a")
        assert found is not None and await store.delete(API, "a")
        with pytest.raises(OutputError, match="the job was removed"):
            await store.whole(found)


@in_loop
async def test_who_writes_keeps_nobody_from_asking(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await filled(store, "a")
        other = sqlite3.connect(tmp_path / "jobs.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        writing = asyncio.create_task(filled(store, "b"))
        await asyncio.sleep(0.05)
        assert await store.counts(API) == {"queued": 1, "retried": 0}
        assert await states(store, ["a"]) == {"a": "queued"} and len(await store.newest(API)) == 1
        assert not writing.done()
        other.execute("ROLLBACK")
        other.close()
        await writing


@in_loop
async def test_who_reads_a_long_result_keeps_nobody_from_asking(tmp_path: Path) -> None:
    gate = threading.Event()
    async with opened(tmp_path) as store:
        await filled(store, "a")
        reading = store._long_reader.run(lambda database: [gate.wait(20)])
        assert await store.counts(API) == {"queued": 1, "retried": 0}
        assert await states(store, ["a"]) == {"a": "queued"}
        assert not reading.done()
        gate.set()


@pytest.mark.parametrize("line", [Line(jobs=2), Line(held_bytes=25)])
@in_loop
async def test_no_more_jobs_wait_than_there_is_room_for(tmp_path: Path, line: Line) -> None:
    async with opened(tmp_path) as store:
        ends = [await store.submit(job(name, payload=b"0123456789"), line) for name in "abc"]
        assert [end and end.id for end in ends] == ["a", "b", None]
        assert await store.submit(job("x", api="vision-models", payload=b"0123456789"), line) is not None  # its own
        assert await store.delete(API, "a") and await store.submit(job("c", payload=b"0123456789"), line) is not None


@in_loop
async def test_what_may_be_retried_holds_its_room(tmp_path: Path) -> None:
    line = Line(held_bytes=15)
    async with opened(tmp_path) as store:
        assert await store.submit(job("a", payload=b"0123456789"), line)
        taken = await store.take(API)
        assert taken is not None and await store.submit(job("b", payload=b"0123456789"), line) is None
        assert await store.fail(taken, "no") and await store.submit(job("b", payload=b"0123456789"), line) is None
        assert await store.retry(API, "a") and await store.take(API)
        assert await store.cancel(API, "a") and await store.submit(job("b", payload=b"0123456789"), line)


@in_loop
async def test_web_hooks_of_one_host_stand_in_nobodys_way(tmp_path: Path) -> None:
    hooks = {"a": "http://dead.example/1", "b": "http://user@DEAD.example/2", "c": "http://dead.example?3",
             "d": "http://live.example/", "e": "http://dead.example:81/", "f": "http://live.example/2"}  # fmt: skip
    clock = Clock()
    async with opened(tmp_path, clock) as store:
        for name, url in hooks.items():
            await filled(store, name, webhook=url)
            await store.cancel(API, name)
            clock.now += 1
        assert [one.id for one in await store.due(API, 2)] == ["a", "d", "e", "b", "f"]
        assert [one.id for one in await store.due(API, 1)] == ["a", "d", "e"]


# Restarts

_CHILD = """
import asyncio, sys
from pathlib import Path
from visioncli.server.jobstore import Job, JobStore

async def work():
    store = JobStore(Path(sys.argv[1]))
    more = dict(api="runpod", kind="", time_limit_s=9, ttl_s=999, keep_s=999)
    for n in range(50):
        await store.submit(Job(id=f"{n:02d}", payload=b"%d" % n, **more))
    for n in range(3):
        await store.take("runpod")
    print("ready", flush=True)
    await asyncio.sleep(60)

asyncio.run(work())
"""


@in_loop
async def test_after_kill_9_every_job_is_there_once_and_in_order(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    child = subprocess.Popen([sys.executable, "-c", _CHILD, path], stdout=subprocess.PIPE)
    assert child.stdout is not None and child.stdout.readline() == b"ready\n"
    with pytest.raises(LockHeldError):
        JobStore(path)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    async with opened(tmp_path) as store:
        await store.recover(API)
        await filled(store, "newer")
        taken = [one async for one in everything(store)]
    assert [one.id for one in taken] == [f"{n:02d}" for n in range(50)] + ["newer"]
    assert [one.payload for one in taken[:50]] == [b"%d" % n for n in range(50)]
    assert [one.attempts for one in taken[:5]] == [2, 2, 2, 1, 1]


async def everything(store: JobStore) -> AsyncIterator[Job]:
    while (one := await store.take(API)) is not None:
        yield one


@in_loop
async def test_ended_jobs_stay_as_they_are_over_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await filled(store, "done", "failed", "cancelled")
        for end in (store.finish, store.fail):
            one = await store.take(API)
            assert one is not None
            await (store.finish(one, b"[1]") if end == store.finish else store.fail(one, "no"))
        await store.cancel(API, "cancelled")
    async with opened(tmp_path) as store:
        await store.recover(API)
        assert await store.take(API) is None
        expected = {"done": "completed", "failed": "failed", "cancelled": "cancelled"}
        assert await states(store, [*expected]) == expected


@in_loop
async def test_a_job_under_which_the_server_always_ends_fails_at_last(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await filled(store, "a")
        for _ in range(RESTARTS + 1):
            assert await store.take(API) is not None
            await store.recover(API)
        assert await store.take(API) is None
        found = await store.get(API, "a")
    assert found is not None and (found.status, found.error) == ("failed", "the server ended 6 times while it ran")


# Files


def foreign(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE songs (title TEXT)")
    database.close()


def newer(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE jobs (id TEXT)")
        database.execute("PRAGMA user_version = 7")
    database.close()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.write_bytes(b"not a database at all, but long enough to be read as one" * 20), "database"),
        (lambda path: path.mkdir(), "directory"),
        (foreign, "its schema is 0, not 2; choose another: --jobs-db FILE"),
        (newer, "its schema is 7, not 2; choose another: --jobs-db FILE"),
    ],
    ids=["text", "folder", "another program's", "of another version"],
)
def test_a_file_that_is_no_store_is_refused_and_left_alone(tmp_path: Path, make: Any, words: str) -> None:
    path = tmp_path / "jobs.sqlite"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    for _ in range(2):  # nor does it stay locked
        with pytest.raises(OutputError, match=words) as refused:
            JobStore(path)
        assert str(path) in str(refused.value) and "\n" not in str(refused.value)
    assert before is None or path.read_bytes() == before


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"jobs\.sqlite cannot hold jobs: "):
        JobStore(tmp_path / "file" / "jobs.sqlite")


@in_loop
async def test_two_servers_do_not_share_a_file(tmp_path: Path) -> None:
    async with opened(tmp_path):
        words = r"^another server works on the jobs in .*jobs\.sqlite; give this one a file of its own: --jobs-db FILE$"
        with pytest.raises(LockHeldError, match=words):
            JobStore(tmp_path / "jobs.sqlite")
    async with opened(tmp_path):
        pass


@in_loop
async def test_what_is_kept_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    async with opened(tmp_path / "state") as store:
        await filled(store, "a")
        modes = {oct(path.stat().st_mode & 0o777) for path in (tmp_path / "state").iterdir()}
    assert modes == {"0o600"}


@in_loop
async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        pass
    with pytest.raises(OutputError, match="are closed"):
        await store.get(API, "a")


def test_jobs_lie_in_the_user_s_state_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_path() == tmp_path / "visioncli" / "jobs.sqlite"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert default_path() == Path("/home/someone/.local/state/visioncli/jobs.sqlite")
