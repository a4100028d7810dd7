"""RunPod's own Python client, sync and asyncio, against the server; and what a kill -9 leaves to the next one."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import requests
import runpod
from runpod import AsyncioEndpoint
from runpod.http_client import ClientSession

from tests.server.dialects.runpod_serving import CAT, CLASSIFY, DOG, EMBED, Place, serving
from tests.server.dialects.serving import KEY


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with serving(tmp_path_factory.mktemp("jobs") / "jobs.sqlite", api_keys=("another", KEY)) as running:
        yield running


@pytest.fixture
def gate() -> threading.Event:
    return threading.Event()


def endpoint(place: Place, key: str = KEY) -> runpod.Endpoint:
    runpod.api_key, runpod.endpoint_url_base = key, f"{place.base}/v2"
    return runpod.Endpoint("siglip")


def test_the_client_runs_a_job_and_reads_its_output(place: Place) -> None:
    job = endpoint(place).run(CLASSIFY)
    output = job.output(timeout=60)
    assert output["top_prediction"]["label"] == "cat"
    assert output["predictions"][0] == output["top_prediction"] and len(output["predictions"]) == 5
    assert job.status() == "COMPLETED"


@pytest.mark.parametrize("wrap", [lambda given: given, lambda given: {"input": given}], ids=["bare", "wrapped"])
def test_the_client_waits_for_a_synchronous_answer(place: Place, wrap: Any) -> None:
    output = endpoint(place).run_sync(wrap(EMBED), timeout=60)
    assert output["task"] == "embed" and output["shape"] == [1, len(output["embeddings"][0])]


def test_the_client_streams_the_output(place: Place) -> None:
    job = endpoint(place).run(EMBED)
    (chunk,) = job.stream()
    assert chunk["task"] == "embed"


def test_the_client_sees_a_bad_picture_as_a_failed_job(place: Place) -> None:
    job = endpoint(place).run({"task": "embed", "image_base64": "no picture"})
    assert (job.output(timeout=60), job.status()) == (None, "FAILED")


def test_the_client_raises_for_an_unknown_job_and_a_wrong_key(place: Place) -> None:
    client = endpoint(place)
    with pytest.raises(requests.HTTPError, match="404"):
        runpod.endpoint.Job("siglip", "unknown", client.rp_client).status()
    with pytest.raises(RuntimeError, match="401 Unauthorized"):
        endpoint(place, "wrong").run(EMBED)


def test_the_client_cancels_purges_and_reads_health_while_the_model_is_at_work(
    tmp_path: Path, gate: threading.Event
) -> None:
    with serving(tmp_path / "jobs.sqlite", gate, max_batch=1) as running:  # two jobs at once
        client = endpoint(running)
        jobs = [client.run(EMBED) for _ in range(5)]
        running.until(jobs[1].status, lambda status: status == "IN_PROGRESS")
        assert client.purge_queue() == {"removed": 3, "status": "completed"}
        assert jobs[0].cancel()["status"] == "CANCELLED"
        health = client.health()
        assert (health["jobs"]["inQueue"], health["workers"]["running"]) == (0, 1)
        gate.set()
        assert jobs[1].output(timeout=60)["task"] == "embed"
        assert jobs[0].status() == "CANCELLED"


def test_health_is_quick_while_an_inference_runs(tmp_path: Path, gate: threading.Event) -> None:
    with serving(tmp_path / "jobs.sqlite", gate) as running:
        client = endpoint(running)
        job = client.run(EMBED)
        running.until(client.health, lambda seen: seen["workers"]["running"] == 1)
        slowest = []  # of three times ten: the machine may be busy with other things
        for _ in range(3):
            begun = [time.monotonic()]
            for _ in range(10):
                assert client.health()["jobs"]["inProgress"] == 1
                begun.append(time.monotonic())
            slowest.append(max(after - before for before, after in pairwise(begun)))
        gate.set()
        assert job.output(timeout=60)["task"] == "embed"
    assert min(slowest) < 0.3


def in_session(place: Place, work: Any, key: str = KEY) -> Any:
    async def run() -> Any:
        runpod.api_key, runpod.endpoint_url_base = key, f"{place.base}/v2"
        async with ClientSession() as session:
            return await work(AsyncioEndpoint("siglip", session))

    return asyncio.run(asyncio.wait_for(run(), 60))


def test_the_asyncio_client_runs_jobs_side_by_side(place: Place) -> None:
    async def work(client: AsyncioEndpoint) -> list[Any]:
        jobs = [await client.run(CLASSIFY | {"image_base64": picture}) for picture in (CAT, DOG)]
        return await asyncio.gather(*(job.output(timeout=60) for job in jobs))

    assert [one["top_prediction"]["label"] for one in in_session(place, work)] == ["cat", "dog"]


def test_the_asyncio_client_cancels_and_reads_health(place: Place) -> None:
    async def work(client: AsyncioEndpoint) -> tuple[Any, Any, Any]:
        bad = await client.run({"image_base64": "no picture"})
        failed = await bad.output(timeout=60), await bad.status()
        return failed, await bad.cancel(), await client.health()

    failed, cancelled, health = in_session(place, work)
    assert failed == (None, "FAILED") and cancelled["status"] == "FAILED"  # what has ended cannot be cancelled
    assert set(health) == {"jobs", "workers"} and health["workers"]["ready"] == 1


def test_the_asyncio_client_finds_no_id_in_a_refusal(place: Place) -> None:
    async def work(client: AsyncioEndpoint) -> Any:
        return await client.run(EMBED)

    with pytest.raises(KeyError):
        in_session(place, work, "wrong")


_KILLED = """
import asyncio, json, sys
from pathlib import Path
from visioncli.server.jobstore import Job, JobStore
from visioncli.server.running import Runner

async def four():
    return 4

async def work(job):
    await asyncio.sleep(60)

async def serve():
    runner = Runner("runpod", work, four)
    await runner.start(JobStore(Path(sys.argv[1])))
    limits = dict(api="runpod", kind="siglip", time_limit_s=120, ttl_s=999, keep_s=999)
    for n, payload in enumerate(sys.stdin.buffer):
        await runner.submit(Job(id=f"{n:02d}", payload=payload, **limits))
    while runner.running < 4:
        await asyncio.sleep(0.01)
    print("ready", flush=True)
    await asyncio.sleep(60)

asyncio.run(serve())
"""


def test_after_kill_9_all_fifty_queued_jobs_complete_once(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    payloads = b"".join(b'{"input":{"task":"classify","image_base64":"%s"}}\n' % each.encode() for each in (CAT, DOG))
    child = subprocess.Popen([sys.executable, "-c", _KILLED, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None and child.stdout is not None
    child.stdin.write(payloads * 25)
    child.stdin.close()
    assert child.stdout.readline() == b"ready\n"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    ids = [f"{n:02d}" for n in range(50)]
    with serving(path) as running:
        ended = {one: running.end_of(one) for one in ids}
        jobs = running.ask("GET", "/v2/siglip/requests").json()["requests"]
        counts = running.ask("GET", "/v2/siglip/health").json()["jobs"]
        time.sleep(0.3)
        assert {one: running.status(one) for one in ids} == ended  # nothing is finished a second time
    assert {one["status"] for one in ended.values()} == {"COMPLETED"}
    assert [one["output"]["top_prediction"]["label"] for one in ended.values()] == ["cat", "dog"] * 25
    assert sorted(one["id"] for one in jobs) == ids
    assert counts == {"completed": 50, "failed": 0, "inProgress": 0, "inQueue": 0, "retried": 4}
