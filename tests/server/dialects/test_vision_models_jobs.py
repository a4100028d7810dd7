"""The Vision Models API's jobs: what is answered later is what would have been answered at once."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.server.dialects.vision_serving import DEPTH, PICTURE, SAM3, Client, serving, text
from visioncli.server.job import INLINE_BYTES

UNKNOWN = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with serving(tmp_path_factory.mktemp("jobs") / "jobs.sqlite") as url:
        yield Client(url)


def ended(client: Client, job_id: str) -> dict[str, Any]:
    for _ in range(600):
        _, job = client.get(f"/jobs/{job_id}")
        if job["status"] in ("completed", "failed"):
            return dict(job)
        time.sleep(0.05)
    raise AssertionError("the job does not end")


@pytest.mark.parametrize(
    ("kind", "path", "body"),
    [
        ("sam3", "/inference/sam3", SAM3),
        ("grounding-dino", "/inference/grounding-dino", SAM3),
        ("grounding_dino", "/inference/grounding-dino", SAM3),
        ("depth_anything", "/inference/depth-anything", DEPTH),
        ("dinov3", "/inference/dinov3", {"images": [PICTURE]}),
    ],
)
def test_a_jobs_result_is_the_synchronous_answer(client: Client, kind: str, path: str, body: Any) -> None:
    queued = client.answer(f"/jobs/submit/{kind}", body)
    now = client.answer(path, body)
    job = ended(client, queued["job_id"])
    assert list(job["result"]) == list(now)
    assert job["result"] | {"processing_time": 0} == now | {"processing_time": 0}
    assert (job["status"], job["error"]) == ("completed", None)


def test_times_are_in_utc_and_say_so(client: Client) -> None:
    job = ended(client, client.answer("/jobs/submit/sam3", SAM3)["job_id"])
    begun, done = (datetime.fromisoformat(job[name]) for name in ("created_at", "completed_at"))
    assert begun.utcoffset() == timedelta(0) and begun <= done <= datetime.now(UTC)


def test_jobs_are_listed_by_id_with_their_time(client: Client) -> None:
    job = ended(client, client.answer("/jobs/submit/sam3", SAM3)["job_id"])
    _, listed = client.get("/jobs")
    assert next(iter(listed)) == job["job_id"]  # the newest
    assert {key: value for key, value in listed[job["job_id"]].items() if key != "processing_time"} == job
    assert 0 < listed[job["job_id"]]["processing_time"] < 60


def test_a_long_result_is_told_by_its_job_alone(client: Client) -> None:
    asked = SAM3 | {"output_format": "dense", "threshold": 0.0}
    now = client.answer("/inference/sam3", asked)
    job = ended(client, client.answer("/jobs/submit/sam3", asked)["job_id"])
    assert len(json.dumps(now, separators=(",", ":"))) > INLINE_BYTES
    assert job["result"] | {"processing_time": 0} == now | {"processing_time": 0}
    _, listed = client.get("/jobs")
    shown = listed[job["job_id"]]
    assert (shown["status"], shown["result"]) == ("completed", None)
    assert shown | {"result": 0, "processing_time": 0} == job | {"result": 0, "processing_time": 0}


def test_a_job_that_finds_no_room_is_a_503(tmp_path: Path) -> None:
    with serving(tmp_path / "jobs.sqlite", max_jobs=0) as url:
        refused = requests.post(f"{url}/jobs/submit/sam3", json=SAM3, timeout=60)
    words = "as many jobs as there is room for are waiting already"
    assert (refused.status_code, refused.json(), refused.headers["Retry-After"]) == (503, {"detail": words}, "10")


def test_nothing_is_kept_of_a_job_that_no_model_reads(tmp_path: Path) -> None:
    asked = {"images": [text(b"no picture")], "prompts": ["truck"], "threshold": 1}
    with serving(tmp_path / "jobs.sqlite") as url:
        ended(Client(url), Client(url).answer("/jobs/submit/sam3", asked | {"secret": "x" * 1000})["job_id"])
    with closing(sqlite3.connect(tmp_path / "jobs.sqlite")) as kept:
        ((payload,),) = kept.execute("SELECT payload FROM jobs").fetchall()  # of a failed one
    assert json.loads(payload) == asked


def test_a_deleted_job_is_gone(client: Client) -> None:
    job_id = client.answer("/jobs/submit/sam3", SAM3)["job_id"]
    assert client.ask("DELETE", f"/jobs/{job_id}") == (200, {"message": f"Job {job_id} deleted"})
    for method in ("GET", "DELETE"):
        assert client.ask(method, f"/jobs/{job_id}") == (404, {"detail": f"Job {job_id} not found"})


def test_an_unknown_job_is_a_404(client: Client) -> None:
    assert client.get(f"/jobs/{UNKNOWN}") == (404, {"detail": f"Job {UNKNOWN} not found"})


def test_a_job_whose_image_cannot_be_read_fails_in_the_apis_words(client: Client) -> None:
    job_id = client.answer("/jobs/submit/sam3", SAM3 | {"images": [text(b"no picture")]})["job_id"]
    job = ended(client, job_id)
    assert (job["status"], job["result"]) == ("failed", None)
    assert job["error"].startswith("Failed to decode image: no known picture format")


def test_jobs_outlive_the_server(tmp_path: Path) -> None:
    with serving(tmp_path / "jobs.sqlite") as url:
        before = ended(Client(url), Client(url).answer("/jobs/submit/sam3", SAM3)["job_id"])
    with serving(tmp_path / "jobs.sqlite") as url:
        assert Client(url).get(f"/jobs/{before['job_id']}") == (200, before)
