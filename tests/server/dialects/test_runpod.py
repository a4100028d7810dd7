"""The RunPod API: the document's examples, states, limits and refusals, over real sockets and the bundled model."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from tests import misbehaving
from tests.server.dialects.runpod_serving import CAT, CLASSIFY, EMBED, LABELS, Place, serving
from tests.server.dialects.serving import DEMO, DEMO_LENGTH, KEY, sample, truth
from tests.server.looping import Clock
from tests.server.test_payloads import Book, Listener
from tests.server.transcripts import runpod as document
from tests.server.transcripts.reading import Curl, alike, parsed, replaced
from visioncli.errors import UsageError
from visioncli.server.dialects.runpod_asking import Rates
from visioncli.server.job import Job
from visioncli.server.jobstore import JobStore
from visioncli.server.refusals import Busy

ID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-e1"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with serving(tmp_path_factory.mktemp("jobs") / "jobs.sqlite") as running:
        yield running


@pytest.fixture(scope="module")
def pictures() -> Iterator[misbehaving.Server]:
    with misbehaving.serve({"cat.jpg": sample(101), "note.txt": b"no picture"}) as running:
        yield running


@pytest.fixture
def gate() -> threading.Event:
    return threading.Event()


@pytest.fixture
def gated(tmp_path: Path, gate: threading.Event) -> Iterator[Place]:
    """A server whose model does not answer before the gate is opened; it runs two jobs at once."""
    with serving(tmp_path / "jobs.sqlite", gate, max_batch=1) as running:
        yield running


# The document's examples


def powershell(command: str) -> Curl:
    """The HTTP request that a printed Invoke-WebRequest makes."""
    (url,) = re.findall(r'-Uri "(.*?)"', command)
    (method,) = re.findall(r"-Method (\w+)", command)
    (body,) = re.findall(r"-Body '(.*?)'", command, re.DOTALL)
    return Curl(method, url, dict(re.findall(r'"(.*?)" = "(.*?)"', command)), body)


OUTPUTS: dict[str, Any] = {
    "classify": {"predictions": [{"label": "cat", "score": 0.9}], "top_prediction": {"label": "cat", "score": 0.9}},
    "embed": {"task": "embed", "embeddings": [[0.1]], "shape": [1]},
}


@pytest.mark.parametrize("task", ["classify", "embed"])
@pytest.mark.parametrize(("read", "examples"), [(parsed, document.CURL), (powershell, document.POWERSHELL)])
def test_the_document_s_commands_queue_a_job_and_its_output_follows(
    place: Place, pictures: misbehaving.Server, task: str, read: Any, examples: dict[str, str]
) -> None:
    new = {document.HOST: place.base, document.KEY: KEY, document.PICTURE_URL: pictures.url("/ok/cat.jpg").decode()}
    answer = read(replaced(examples[task], new)).send()
    assert alike(document.ACCEPTED, answer) and re.fullmatch(ID, answer["id"]) and answer["status"] == "IN_QUEUE"
    url = f"/v2/YOUR_ENDPOINT_ID/status/{answer['id']}"
    ended = place.until(
        lambda: place.ask("GET", url).json(), lambda job: job["status"] != "IN_QUEUE" and "output" in job
    )
    shown = {"delayTime": 1, "executionTime": 1, "id": "", "output": OUTPUTS[task], "status": "", "workerId": ""}
    assert alike(shown, ended) and ended["status"] == "COMPLETED"


def test_the_document_s_base64_body_is_answered(place: Place) -> None:
    body = json.loads(replaced(document.BASE64_BODY, {document.BASE64: CAT}))
    ended = place.ask("POST", "/v2/siglip/runsync", body).json()
    assert alike(OUTPUTS["classify"], ended["output"])
    assert ended["output"]["top_prediction"]["label"] == "cat"
    assert sorted(one["label"] for one in ended["output"]["predictions"]) == sorted(LABELS.split(","))


# The worker


def output_of(place: Place, given: dict[str, Any]) -> Any:
    answer = place.ask("POST", "/v2/siglip/runsync", {"input": given})
    assert answer.status_code == 200 and answer.json()["status"] == "COMPLETED", answer.text
    return answer.json()["output"]


@pytest.mark.parametrize(
    ("labels", "meant"),
    [
        (LABELS, LABELS.split(",")),
        (" cat ,dog,, ", ["cat", "dog"]),
        (["dog", " bird"], ["dog", "bird"]),
        (None, ["cat", "dog", "car", "plane", "person"]),
    ],
)
def test_scores_are_transformers_softmax(place: Place, labels: Any, meant: list[str]) -> None:
    expected = dict(zip(meant, truth(DEMO, [sample(101)], meant, DEMO_LENGTH).softmax[0], strict=True))
    given = {"image_data": CAT} | ({} if labels is None else {"labels": labels})
    output = output_of(place, given)
    found = {one["label"]: one["score"] for one in output["predictions"]}
    assert found == pytest.approx(expected, abs=2e-5)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert output["top_prediction"] == output["predictions"][0]


def test_a_label_that_is_given_twice_counts_twice(place: Place) -> None:
    meant = ["cat", "dog", "cat"]
    expected = truth(DEMO, [sample(101)], meant, DEMO_LENGTH).softmax[0]
    predictions = output_of(place, CLASSIFY | {"labels": meant})["predictions"]
    assert sorted((one["label"], one["score"]) for one in predictions) == [
        ("cat", pytest.approx(expected[0], abs=2e-5)),
        ("cat", pytest.approx(expected[2], abs=2e-5)),
        ("dog", pytest.approx(expected[1], abs=2e-5)),
    ]


@pytest.mark.parametrize("task", ["embed", "embed_image"])
def test_embeddings_are_transformers_unit_vectors(place: Place, task: str) -> None:
    expected = truth(DEMO, [sample(101)], ["cat"], DEMO_LENGTH).images[0]
    output = output_of(place, EMBED | {"task": task})
    assert output["task"] == "embed" and output["shape"] == [1, len(expected)]
    np.testing.assert_allclose(output["embeddings"], [expected], atol=2e-5)


NO_IMAGE = "No image provided. Use 'image_url', 'image_base64', or 'image_data'"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, NO_IMAGE),
        ({"task": "embed", "image_url": ""}, NO_IMAGE),
        ({"image_base64": "not base64!"}, "Failed to load image"),
        ({"image_base64": base64.b64encode(b"no picture").decode()}, "Failed to load image"),
        ({"image_base64": 5}, "Failed to load image"),
        ({"image_base64": "http://127.0.0.1:1/cat.jpg"}, "Failed to load image"),
        ({"image_url": "http://127.0.0.1:1/cat.jpg"}, "Failed to load image"),
        ({"image_url": "http://169.254.169.254/latest"}, "Failed to load image"),
        ({"image_url": "file:///etc/passwd"}, "Failed to load image"),
        ({"image_url": CAT[:100]}, "Failed to load image"),
        (CLASSIFY | {"task": "caption"}, "Unknown task type: caption. Use 'classify' or 'embed'"),
        (CLASSIFY | {"task": ["embed"]}, "Unknown task type: ['embed']. Use 'classify' or 'embed'"),
        (CLASSIFY | {"labels": " , "}, "No valid labels provided"),
        (CLASSIFY | {"labels": [1]}, "No valid labels provided"),
        ("cat", "Invalid job format"),
        (None, "Invalid job format"),
    ],
)
def test_what_is_wrong_with_an_input_is_the_job_s_error(place: Place, given: Any, words: str) -> None:
    answer = place.ask("POST", "/v2/siglip/runsync", {"input": given})
    job = answer.json()
    assert (answer.status_code, job["status"], job["error"]) == (200, "FAILED", words)
    assert set(job) == {"delayTime", "executionTime", "id", "error", "status", "workerId"}


def test_image_url_goes_before_image_base64(place: Place, pictures: misbehaving.Server) -> None:
    given = CLASSIFY | {"image_url": pictures.url("/ok/note.txt").decode()}
    assert place.end_of(place.run(given))["error"] == "Failed to load image"


PLACES = {"inner.example": "127.0.0.1", "2130706433": "127.0.0.1", "0177.0.0.1": "127.0.0.1", "meta": "169.254.169.254"}
INSIDE = [
    "http://169.254.169.254/latest",
    "http://127.0.0.1:INSIDE/a.png",
    "http://[::1]:INSIDE/a.png",
    "http://inner.example:INSIDE/a.png",
    "http://meta/",
    "http://127.0.0.1:OUTSIDE/redirect-to?u=http://127.0.0.1:INSIDE/a.png",
    "http://127.0.0.1:OUTSIDE/redirect-to?u=http://inner.example:INSIDE/a.png",
    "http://2130706433:INSIDE/a.png",
    "http://0177.0.0.1:INSIDE/a.png",
    "file:///etc/passwd",
]


def test_urls_that_lead_inside_fail_their_job_and_no_connection_is_made(
    tmp_path: Path, pictures: misbehaving.Server
) -> None:
    inside, outside = Listener(), f"127.0.0.1:{pictures.port}"
    path = tmp_path / "jobs.sqlite"
    with inside.socket, serving(path, resolver=Book(PLACES), allow_hosts=(outside,)) as running:
        ports = {"INSIDE": str(inside.port), "OUTSIDE": str(pictures.port)}
        urls = [re.sub("INSIDE|OUTSIDE", lambda word: ports[word[0]], url) for url in INSIDE]
        ended = [running.end_of(running.run({"image_url": url})) for url in urls]
        assert {(job["status"], job["error"]) for job in ended} == {("FAILED", "Failed to load image")}
        assert inside.connections() == 0


# States


def test_a_job_that_waits_and_one_that_runs_say_so(gated: Place, gate: threading.Event) -> None:
    ids = [gated.run(EMBED) for _ in range(3)]
    running = gated.until(lambda: gated.status(ids[0]), lambda job: job["status"] == "IN_PROGRESS")
    assert set(running) == {"delayTime", "id", "status", "workerId"}
    assert gated.status(ids[2]) == {"id": ids[2], "status": "IN_QUEUE"}
    gate.set()
    assert [gated.end_of(one)["status"] for one in ids] == ["COMPLETED"] * 3


def test_runsync_hands_the_job_over_when_its_wait_is_over(gated: Place, gate: threading.Event) -> None:
    answer = gated.ask("POST", "/v2/siglip/runsync?wait=1", {"input": EMBED}).json()
    assert answer == {"id": answer["id"], "status": "IN_PROGRESS"} and re.fullmatch(f"sync-{ID}", answer["id"])
    threading.Timer(0.3, gate.set).start()
    waited = gated.ask("GET", f"/v2/siglip/status-sync/{answer['id']}?wait=20000").json()
    assert waited["status"] == "COMPLETED" and waited["output"]["task"] == "embed"


def test_a_client_that_leaves_runsync_makes_room_and_its_job_stays(tmp_path: Path, gate: threading.Event) -> None:
    with serving(tmp_path / "jobs.sqlite", gate, max_queue=1) as running:
        with pytest.raises(requests.Timeout):
            requests.post(f"{running.base}/v2/siglip/runsync", json={"input": EMBED}, timeout=0.5)
        ask = "/v2/siglip/runsync?wait=1000"
        answer = running.until(
            lambda: running.ask("POST", ask, {"input": EMBED}), lambda answer: answer.status_code == 200
        )
        assert answer.json()["status"] == "IN_PROGRESS"
        gate.set()
        jobs = running.ask("GET", "/v2/siglip/requests").json()["requests"]
        assert [running.end_of(job["id"])["status"] for job in jobs] == ["COMPLETED"] * 2


def test_cancel_purge_and_retry_change_what_the_states_allow(gated: Place, gate: threading.Event) -> None:
    first, second, *queued, last = [gated.run(EMBED) for _ in range(6)]
    gated.until(lambda: gated.status(second), lambda job: job["status"] == "IN_PROGRESS")
    assert gated.ask("POST", f"/v2/siglip/cancel/{last}", {}).json() == {"id": last, "status": "CANCELLED"}
    assert gated.ask("POST", "/v2/siglip/purge-queue").json() == {"removed": 3, "status": "completed"}
    assert {gated.ask("GET", f"/v2/siglip/status/{one}").status_code for one in queued} == {404}
    assert gated.ask("POST", f"/v2/siglip/cancel/{first}").json()["status"] == "CANCELLED"
    gate.set()
    assert [gated.end_of(one)["status"] for one in (second, first)] == ["COMPLETED", "CANCELLED"]
    refused = gated.ask("POST", f"/v2/siglip/retry/{first}")
    words = "only a failed or timed out job can be retried; this one is CANCELLED"
    assert (refused.status_code, refused.json()) == (400, {"error": words})


def test_a_failed_job_can_be_retried_under_its_id(place: Place, pictures: misbehaving.Server) -> None:
    pictures.busy_with.add("cat.jpg")
    try:
        job_id = place.run({"task": "embed", "image_url": pictures.url("/ok/cat.jpg").decode()})
        assert place.end_of(job_id)["status"] == "FAILED"
    finally:
        pictures.busy_with.clear()
    assert place.ask("POST", f"/v2/siglip/retry/{job_id}").json() == {"id": job_id, "status": "IN_QUEUE"}
    assert place.end_of(job_id)["status"] == "COMPLETED"


def test_a_job_that_runs_too_long_is_timed_out(tmp_path: Path, gate: threading.Event) -> None:
    path, payload = tmp_path / "jobs.sqlite", json.dumps({"input": EMBED}).encode()
    left = Job(id="a", api="runpod", kind="siglip", payload=payload, time_limit_s=0.3, ttl_s=99, keep_s=99)

    async def leave() -> None:
        store = JobStore(path)
        await store.submit(left)
        await store.close()

    asyncio.run(leave())
    with serving(path, gate) as running:
        ended = running.end_of("a")
    assert (ended["status"], ended["error"]) == ("TIMED_OUT", "the job ran longer than the 0.3 s that it may take")
    assert 300 <= ended["executionTime"] < 3000


def test_a_stream_is_the_output_once(place: Place) -> None:
    job_id = place.run(EMBED)
    output = place.end_of(job_id)["output"]
    streams = [place.ask(method, f"/v2/siglip/stream/{job_id}").json() for method in ("POST", "GET")]
    assert streams == [{"status": "COMPLETED", "stream": [{"output": output}]}, {"status": "COMPLETED", "stream": []}]


def test_health_counts_the_endpoint_s_jobs_and_the_one_worker(gated: Place, gate: threading.Event) -> None:
    def health(endpoint: str) -> Any:
        return gated.ask("GET", f"/v2/{endpoint}/health").json()

    nothing = {"completed": 0, "failed": 0, "inProgress": 0, "inQueue": 0, "retried": 0}
    idle = {"idle": 1, "initializing": 0, "ready": 1, "running": 0, "throttled": 0, "unhealthy": 0}
    assert health("siglip") == {"jobs": nothing, "workers": idle}
    job_id = gated.run(EMBED)
    gated.until(lambda: health("siglip"), lambda seen: seen["jobs"] == nothing | {"inProgress": 1})
    assert health("other") == {"jobs": nothing, "workers": idle | {"idle": 0, "running": 1}}
    gate.set()
    gated.end_of(job_id)
    assert health("siglip")["jobs"] == nothing | {"completed": 1}


def test_requests_lists_the_newest_jobs_first(gated: Place, gate: threading.Event) -> None:
    gate.set()
    ids = [gated.run(EMBED), gated.run({})]
    ended = [gated.end_of(one) for one in ids]
    assert gated.ask("GET", "/v2/siglip/requests").json() == {"requests": ended[::-1]}


def test_the_routes_are_there_without_prefix(place: Place) -> None:
    job = place.ask("POST", "/runsync", {"input": EMBED}).json()
    assert job["status"] == "COMPLETED"
    assert place.ask("POST", f"/status/{job['id']}").json() == job
    assert place.ask("GET", f"/v2/siglip/status/{job['id']}").status_code == 404  # another endpoint's


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The jobs that a server left behind, by how they were asked."""
    path = tmp_path_factory.mktemp("kept") / "jobs.sqlite"
    asks = {"run": ("run", {}), "runsync": ("runsync", {}), "waited": ("runsync?wait=2000", {})}
    asks["limited"] = ("run", {"policy": {"executionTimeout": 5000.0, "ttl": 10_000, "lowPriority": True}})
    with serving(path) as running:
        ids = {name: running.ask("POST", f"/{way}", {"input": EMBED} | more).json()["id"]
               for name, (way, more) in asks.items()}  # fmt: skip
        running.ask("GET", f"/status/{ids['run']}?ttl=9000000")

    async def read() -> dict[str, Job | None]:
        store = JobStore(path)
        found = {name: await store.get("runpod", job_id) for name, job_id in ids.items()}
        await store.close()
        return found

    return asyncio.run(read())


@pytest.mark.parametrize(
    ("name", "limits"),
    [
        ("run", (120, 86400, 1800)),
        ("runsync", (120, 86400, 60)),
        ("waited", (120, 86400, 300)),
        ("limited", (5, 10, 1800)),
    ],
)
def test_jobs_have_the_documented_times(kept: Any, name: str, limits: tuple[float, ...]) -> None:
    assert (kept[name].time_limit_s, kept[name].ttl_s, kept[name].keep_s) == limits


def test_ttl_keeps_a_job_for_longer(kept: Any) -> None:
    assert kept["run"].expires - kept["run"].created == pytest.approx(9000, abs=60)


# Refusals


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "the body is no JSON"),
        (b'{"input": NaN}', "the body is no JSON"),
        (b"[]", 'the body must be a JSON object with "input"'),
        (b'{"inputs": {}}', 'the body must be a JSON object with "input"'),
        (b'{"input": {}, "webhook": "file:///etc/passwd"}', "webhook: file:///etc/passwd is not an http or https URL"),
        (b'{"input": {}, "webhook": 1}', "webhook must be a URL"),
        (b'{"input": {}, "policy": []}', "policy must be an object"),
        (b'{"input": {}, "policy": {"ttl": 1}}', "policy.ttl must be from 10000 to 604800000 milliseconds"),
        (b'{"input": {}, "policy": {"ttl": true}}', "policy.ttl must be a whole number of milliseconds"),
        (b'{"input": {}, "policy": {"lowPriority": 1}}', "policy.lowPriority must be true or false"),
        (b'{"input": {}, "s3Config": "x"}', "s3Config must be an object"),
    ],
)
@pytest.mark.parametrize("route", ["run", "runsync"])
def test_a_body_that_cannot_be_queued_is_400(place: Place, route: str, body: bytes, words: str) -> None:
    answer = requests.post(f"{place.base}/v2/siglip/{route}", data=body, timeout=10)
    assert answer.status_code == 400 and answer.json()["error"].startswith(words)


@pytest.mark.parametrize(("route", "cap"), [("run", 10_000_000), ("runsync", 20_000_000)])
def test_a_body_over_the_documented_size_is_400(place: Place, route: str, cap: int) -> None:
    answer = requests.post(f"{place.base}/v2/siglip/{route}", data=b" " * (cap + 1), timeout=10)
    words = f"the body has more than the {cap} bytes allowed"
    assert (answer.status_code, answer.json()) == (400, {"error": words})


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "status/x"), ("GET", "status-sync/x"), ("GET", "stream/x"), ("POST", "cancel/x"), ("POST", "retry/x")],
)
def test_an_unknown_job_is_404(place: Place, method: str, path: str) -> None:
    answer = place.ask(method, f"/v2/siglip/{path}")
    assert (answer.status_code, answer.json()) == (404, {"error": "job x was not found"})


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/siglip/run", 405),
        ("DELETE", "/v2/siglip/health", 405),
        ("GET", "/v2/siglip", 404),
        ("GET", "/", 404),
    ],
)
def test_other_paths_and_methods_are_refused_in_the_same_shape(
    place: Place, method: str, path: str, status: int
) -> None:
    answer = place.ask(method, path)
    assert answer.status_code == status and list(answer.json()) == ["error"]


@pytest.mark.parametrize("path", ["status/{id}?ttl=soon", "status-sync/{id}?wait=1.5"])
def test_times_that_are_no_numbers_are_400(place: Place, path: str) -> None:
    answer = place.ask("GET", "/v2/siglip/" + path.format(id=place.run(EMBED)))
    assert answer.status_code == 400 and answer.json()["error"].endswith("must be a whole number of milliseconds")


def test_a_key_passes_with_and_without_bearer_and_no_other(tmp_path: Path) -> None:
    with serving(tmp_path / "jobs.sqlite", api_keys=(KEY,)) as running:
        given = [f"Bearer {KEY}", KEY, "Bearer wrong", "wrong", ""]
        answers = [running.ask("GET", "/v2/a/health", headers={"Authorization": one}) for one in given]
        answers.append(running.ask("POST", "/v2/a/run", {"input": {}}))
    assert [one.status_code for one in answers] == [200, 200, 401, 401, 401, 401]
    assert answers[-1].json() == {"error": "Unauthorized"}


def test_a_full_queue_is_429_for_runsync_and_health_stays_open(tmp_path: Path, gate: threading.Event) -> None:
    with serving(tmp_path / "jobs.sqlite", gate, max_queue=0) as running:
        answer = running.ask("POST", "/v2/a/runsync", {"input": EMBED})
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
        assert running.ask("GET", "/v2/a/health").status_code == 200


@pytest.mark.parametrize("route", ["run", "runsync"])
def test_a_job_that_finds_no_room_is_429(tmp_path: Path, route: str) -> None:
    with serving(tmp_path / "jobs.sqlite", max_jobs=0) as running:
        answer = running.ask("POST", f"/v2/a/{route}", {"input": EMBED})
    words = "as many jobs as there is room for are waiting already"
    assert (answer.status_code, answer.json(), answer.headers["Retry-After"]) == (429, {"error": words}, "10")


def test_nothing_is_kept_of_a_job_that_no_worker_reads(tmp_path: Path) -> None:
    given = {"task": "embed", "image_base64": "no picture", "labels": ["cat"]}
    more = {"s3Config": {"accessSecret": "hush"}, "policy": {"ttl": 20_000}, "other": "x" * 1000}
    with serving(tmp_path / "jobs.sqlite") as running:
        running.end_of(running.run(given | {"secret": "hush"}, **more))
    with closing(sqlite3.connect(tmp_path / "jobs.sqlite")) as kept:
        ((payload,),) = kept.execute("SELECT payload FROM jobs").fetchall()  # of a failed one
    assert json.loads(payload) == {"input": given}


def test_a_long_output_is_told_by_its_job_and_not_in_the_list(tmp_path: Path) -> None:
    output = json.dumps({"embeddings": ["a" * 400_000]}, separators=(",", ":")).encode()

    async def leave() -> None:
        store = JobStore(tmp_path / "jobs.sqlite")
        await store.submit(Job(id="a", api="runpod", kind="siglip", payload=b"{}", time_limit_s=9, ttl_s=99, keep_s=99))
        taken = await store.take("runpod")
        assert taken is not None and await store.finish(taken, output)
        await store.close()

    asyncio.run(leave())
    with serving(tmp_path / "jobs.sqlite") as running:
        assert running.status("a")["output"] == json.loads(output)
        (listed,) = running.ask("GET", "/v2/siglip/requests").json()["requests"]
        assert (listed["status"], "output" in listed) == ("COMPLETED", False)
        stream = running.ask("GET", "/v2/siglip/stream/a").json()["stream"]
    assert stream == [{"output": json.loads(output)}]


def test_the_third_purge_within_ten_seconds_is_429(tmp_path: Path) -> None:
    with serving(tmp_path / "jobs.sqlite") as running:
        answers = [running.ask("POST", "/v2/a/purge-queue") for _ in range(3)]
    assert [one.status_code for one in answers] == [200, 200, 429]
    assert answers[2].json() == {"error": "more than 2 requests to /purge-queue in 10 s"}
    assert 0 < int(answers[2].headers["Retry-After"]) <= 10


def test_rates_begin_anew_with_each_window_and_endpoint() -> None:
    clock = Clock()
    rates = Rates(clock)
    for _ in range(1000):
        rates.count("run", "a")
    with pytest.raises(Busy) as refused:
        rates.count("run", "a")
    assert refused.value.retry_after_s == 10 and not isinstance(refused.value, UsageError)
    rates.count("run", "b")
    rates.count("health", "a")
    clock.now += 10
    rates.count("run", "a")


# Web hooks, and the description


def test_a_web_hook_gets_what_status_says(place: Place) -> None:
    from http.server import BaseHTTPRequestHandler, HTTPServer

    heard = []

    class Ear(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Ear) as ear:
        ear.timeout = 10
        job_id = place.run(EMBED, webhook=f"http://127.0.0.1:{ear.server_port}/done")
        ear.handle_request()
    assert heard == [place.status(job_id)] and heard[0]["status"] == "COMPLETED"


def test_the_openapi_document_has_every_route_and_refusal(place: Place) -> None:
    paths = place.ask("GET", "/openapi.json").json()["paths"]
    gets = {"status/{job_id}", "status-sync/{job_id}", "stream/{job_id}", "health", "requests"}
    posts = {"run", "runsync", "status/{job_id}", "stream/{job_id}", "cancel/{job_id}", "retry/{job_id}", "purge-queue"}
    described = {(method, path) for path, item in paths.items() for method in item}
    assert described == {("get", f"/v2/{{endpoint_id}}/{one}") for one in gets} | {
        ("post", f"/v2/{{endpoint_id}}/{one}") for one in posts
    }
    for item in paths.values():
        for operation in item.values():
            assert set(operation["responses"]) == {"200", "400", "401", "404", "405", "408", "429", "500", "503"}
            assert all("application/json" in one["content"] for one in operation["responses"].values())
