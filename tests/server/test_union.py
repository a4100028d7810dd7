"""All APIs on one port, as section 9.1 of the protocols settles what several of them want. No model is loaded."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest
from fastapi import FastAPI
from starlette.responses import JSONResponse, PlainTextResponse, Response

from tests.server.listening import PATIENCE_S, ask, get, listening, on_a_port
from visioncli.server import DIALECTS
from visioncli.server.config import Binding
from visioncli.server.settings import ServeSettings
from visioncli.server.union import one_port


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    settings = ServeSettings(
        preload=False, offline=True, jobs_db=tmp_path_factory.mktemp("jobs") / "jobs.db", grace_s=1
    )
    with listening([Binding(tuple(DIALECTS), 0)], settings) as (address,):
        yield address


def test_the_root_is_the_banner_of_vision_models(url: str) -> None:
    assert get(f"{url}/").json() == {"message": "Vision Models API", "version": "0.1.0", "docs": "/docs"}


def test_the_root_takes_hugging_faces_questions(url: str) -> None:
    answer = ask("POST", f"{url}/", json={"inputs": "x", "parameters": {"mode": "invalid_mode"}})
    assert answer.status_code == 400
    assert answer.json() == {
        "error": "Unknown mode: invalid_mode. Supported: zero_shot, image_embedding, text_embedding, similarity"
    }


def test_health_is_one_object_of_all(url: str) -> None:
    answer = get(f"{url}/health", headers={"Origin": "https://example.com"})
    body = answer.json()
    assert (answer.status_code, body["status"], body["service"]) == (200, "healthy", "hailo-clip")
    assert body["loaded_models"] == []
    assert answer.headers["access-control-allow-credentials"] == "true"  # vision-models' pages may read it


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/v1/nothing", 404, {"error": "Endpoint not found"}),
        ("GET", "/v1/classify", 405, None),
        ("POST", "/v1/classify", 400, {"error": "No JSON body"}),
        ("GET", "/inference/nothing", 404, {"detail": "Not Found"}),
        ("GET", "/jobs/none", 404, {"detail": "Job none not found"}),
        ("GET", "/ping", 200, None),
        ("POST", "/models/load", 400, None),
        ("POST", "/models/some/id/pipeline/feature-extraction", 400, None),
    ],
)
def test_a_path_tells_whose_it_is(url: str, method: str, path: str, status: int, body: object) -> None:
    answer = ask(method, f"{url}{path}")
    assert answer.status_code == status
    assert body in (None, answer.json() if body else None)


@pytest.mark.parametrize("path", ["/nothing", "/models/nothing/here", "/favicon.ico", "//", "/v3/x/run"])
def test_an_unknown_path_has_both_shapes_of_error(url: str, path: str) -> None:
    answer = get(f"{url}{path}")
    assert (answer.status_code, answer.json()) == (404, {"error": "Endpoint not found", "detail": "Not Found"})


def test_a_question_about_no_path_is_about_none_of_them(url: str) -> None:
    host, port = url.removeprefix("http://").split(":")
    connection = HTTPConnection(host, int(port), timeout=PATIENCE_S)
    connection.request("OPTIONS", "*")
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())) == (404, {"error": "Endpoint not found", "detail": "Not Found"})
    connection.close()


def test_one_document_describes_all(url: str) -> None:
    document = get(f"{url}/openapi.json").json()
    tagged = {
        operation["tags"][0]
        for item in document["paths"].values()
        for operation in item.values()
        if "tags" in operation
    }
    assert tagged == set(DIALECTS)
    assert set(document["paths"]) >= {
        "/",
        "/health",
        "/v2/{endpoint_id}/runsync",
        "/inference/sam3",
        "/v1/classify",
        "/invocations",
    }
    ids = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(ids) == len(set(ids))
    assert {method: item["tags"] for method, item in document["paths"]["/"].items()} == {
        "get": ["vision-models"],
        "post": ["hf-endpoint"],
    }


def test_every_reference_in_the_document_leads_somewhere(url: str) -> None:
    document = get(f"{url}/openapi.json").json()

    def references(part: object) -> Iterator[str]:
        if isinstance(part, dict):
            yield from [part["$ref"]] if isinstance(part.get("$ref"), str) else []
            yield from itertools.chain.from_iterable(map(references, part.values()))
        elif isinstance(part, list):
            yield from itertools.chain.from_iterable(map(references, part))

    found = set(references(document))
    assert found
    for reference in found:
        place = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def test_each_api_is_counted_under_its_own_name(url: str) -> None:
    for path in ("/health", "/v1/nothing", "/nothing"):
        get(f"{url}{path}")
    counted = get(f"{url}/metrics").text
    for labels in (
        'api="union",method="GET",route="/health",status="200"',
        'api="hailo-clip",method="GET",route="(none)",status="404"',
        'api="union",method="GET",route="(none)",status="404"',
    ):
        assert f"visioncli_requests_total{{{labels}}}" in counted


def test_the_pages_of_vision_models_stay(url: str) -> None:
    assert "/openapi.json" in get(f"{url}/docs").text
    assert get(f"{url}/redoc").status_code == 200


def toy(name: str, health: Response, *paths: str) -> FastAPI:
    app = FastAPI(title=name)

    async def told() -> Response:
        return JSONResponse({"api": name})

    async def healthy() -> Response:
        return health

    for path in paths:
        app.add_api_route(path, told)
    app.add_api_route("/health", healthy)
    return app


def test_an_api_that_nobody_knew_needs_no_further_line() -> None:
    apps = {
        "one": toy("one", JSONResponse({"status": "healthy", "one": 1}), "/a/x", "/shared/{x}/one"),
        "two": toy("two", JSONResponse({"status": "broken", "two": 2}, 503), "/b", "/shared/{x}/two"),
        "three": toy("three", JSONResponse({"detail": "no key"}, 401), "/c/{rest:path}"),
        "four": toy("four", PlainTextResponse("Ok"), "/d"),
    }
    with on_a_port(one_port(apps)) as url:
        told = {path: get(f"{url}{path}").json().get("api") for path in ("/a/x", "/b", "/c/d/e", "/shared/1/two")}
        health = get(f"{url}/health")
    assert told == {"/a/x": "one", "/b": "two", "/c/d/e": "three", "/shared/1/two": "two"}
    assert (health.status_code, health.json()) == (503, {"status": "broken", "one": 1, "two": 2})


def test_health_that_is_no_object_is_passed_on() -> None:
    apps = {"one": toy("one", PlainTextResponse("Ok")), "two": toy("two", JSONResponse({}, 401))}
    with on_a_port(one_port(apps)) as url:
        health = get(f"{url}/health")
    assert (health.status_code, health.text, health.headers["content-type"]) == (200, "Ok", "text/plain; charset=utf-8")
