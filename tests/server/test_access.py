"""Each request is seen once, whatever becomes of it, and its line tells no secrets."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from tests.server.listening import get, on_a_port
from visioncli.server.access import LEFT, NO_ROUTE, Exchange, observed, set_up, write_line

SEEN: list[Exchange] = []
EXCHANGE = Exchange("abc", "hailo-clip", "POST", "/v1/classify", "127.0.0.1", "/v1/classify", 200, 12, 0.01234)


def app() -> FastAPI:
    api = FastAPI()

    @api.get("/jobs/{job_id}")
    async def job(job_id: str) -> PlainTextResponse:
        return PlainTextResponse("0123456789")

    @api.get("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(iter(["abc", "de"]))

    @api.get("/crash")
    async def crash() -> None:
        raise ZeroDivisionError

    return api


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with on_a_port(observed(app(), "toy", [SEEN.append])) as address:
        yield address


@pytest.fixture
def loggers() -> Iterator[None]:
    """As they were before."""
    names = ("visioncli", "uvicorn.error", "asyncio")
    before = {name: (log := logging.getLogger(name)).__dict__ | {"handlers": log.handlers} for name in names}
    yield
    for name, state in before.items():
        logging.getLogger(name).__dict__.update(state)


@pytest.mark.parametrize(
    ("target", "status", "route", "path", "size"),
    [
        ("/jobs/12?key=secret", 200, "/jobs/{job_id}", "/jobs/12", 10),
        ("/stream", 200, "/stream", "/stream", 5),
        ("/nowhere", 404, NO_ROUTE, "/nowhere", 22),
        ("/a%0Ab", 404, NO_ROUTE, "/a%0Ab", 22),
        ("/crash", 500, "/crash", "/crash", 21),
    ],
)
def test_an_exchange_has_its_route_status_and_size(
    url: str, target: str, status: int, route: str, path: str, size: int
) -> None:
    SEEN.clear()
    answer = get(f"{url}{target}")
    (seen,) = SEEN
    assert 0 < seen.seconds < 60
    seen.seconds = 0.0
    own_id = answer.headers["x-request-id"] if status < 500 else seen.id
    assert seen == Exchange(own_id, "toy", "GET", path, "127.0.0.1", route, status, size)


@pytest.mark.parametrize("given", ["3ee14ebd-6f89-4ba5-9392-fe2ea0bb97f6-e2", "Root=1-67891233-abcdef0123456789"])
def test_a_clients_own_id_is_kept(url: str, given: str) -> None:
    assert get(f"{url}/stream", headers={"X-Request-ID": given}).headers["x-request-id"] == given


@pytest.mark.parametrize("given", [b"", b"a b", b"x" * 129, b"a\tb", b'"', b"\xe9"])
def test_an_id_that_could_spoil_a_line_is_replaced(url: str, given: bytes) -> None:
    answer = get(f"{url}/stream", headers=[(b"x-request-id", given if isinstance(given, bytes) else given.encode())])
    assert re.fullmatch("[0-9a-f]{16}", answer.headers["x-request-id"])


def test_lines_are_text_or_json(loggers: None, capsys: pytest.CaptureFixture[str]) -> None:
    set_up("text", "info")
    write_line(EXCHANGE)
    logging.getLogger("visioncli.server").info("ready, in %d s", 3)
    assert capsys.readouterr().err.splitlines() == [
        "visioncli: 127.0.0.1 hailo-clip POST /v1/classify 200 12 bytes 12.3 ms abc",
        "visioncli: ready, in 3 s",
    ]
    set_up("json", "info")
    write_line(EXCHANGE)
    logging.getLogger("visioncli.server").warning("ready, in %d s", 3)
    first, second = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first.pop("time"))
    assert first == {
        "level": "info",
        "request_id": "abc",
        "api": "hailo-clip",
        "method": "POST",
        "path": "/v1/classify",
        "route": "/v1/classify",
        "status": 200,
        "bytes": 12,
        "ms": 12.34,
        "client": "127.0.0.1",
    }
    assert (second["level"], second["message"]) == ("warning", "ready, in 3 s")


@pytest.mark.parametrize(("status", "said"), [(200, False), (404, False), (500, True), (503, True)])
def test_at_level_warning_only_the_servers_own_faults_are_said(
    loggers: None, capsys: pytest.CaptureFixture[str], status: int, said: bool
) -> None:
    set_up("text", "warning")
    write_line(Exchange("abc", "toy", "GET", "/", "127.0.0.1", "/", status))
    assert bool(capsys.readouterr().err) is said


def test_a_crash_is_told_with_its_traceback(loggers: None, capsys: pytest.CaptureFixture[str]) -> None:
    with on_a_port(observed(app(), "toy", [])) as url:
        set_up("json", "info")
        assert get(f"{url}/crash").status_code == 500
    (entry,) = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert entry["level"] == "error"
    assert entry["message"].endswith("ZeroDivisionError")


def test_no_key_of_a_request_gets_into_its_line(loggers: None, capsys: pytest.CaptureFixture[str]) -> None:
    with on_a_port(observed(app(), "toy", [write_line])) as url:
        set_up("json", "debug")
        headers = {"Authorization": "Bearer hush", "x-api-key": "hush", "Cookie": "hush"}
        assert get(f"{url}/jobs/1?api_key=hush", headers=headers).status_code == 200
    said = capsys.readouterr().err
    assert "/jobs/1" in said
    assert "hush" not in said


def test_an_answer_that_never_began_was_left_by_its_client() -> None:
    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    seen: list[Exchange] = []
    with on_a_port(observed(silent, "toy", [seen.append])) as url, pytest.raises(httpx.ReadTimeout):
        get(f"{url}/slow", timeout=0.2)
    assert [(one.path, one.status) for one in seen] == [("/slow", LEFT)]
