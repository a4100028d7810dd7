"""Several APIs on one port: each request to the API whose routes it means, and what two of them want answered once.

Which API means a path is read from the APIs' own routes, so a further one needs no line here. Shared are `/health` (one
object of all), `/openapi.json` (one description of all) and an unknown path, whose answer has both shapes of error.

Knows nothing of models, and of dialects only which one goes first.
"""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from fastapi import FastAPI
from starlette.responses import JSONResponse, Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from visioncli.server.access import API, Template

UNION = "union"  # which API answers, in logs and metrics, where it is none of them alone
FIRST = ("vision-models",)  # its banner at GET /, its fixed names below /models/, its pages /docs and /redoc
SHARED = ("/health", "/openapi.json")
HEALTH_STATUSES = (200, 503)  # what a health route answers that counts; 401 and 404 say nothing about health
NOT_FOUND = {"error": "Endpoint not found", "detail": "Not Found"}  # Hailo's words and FastAPI's
HEALTH: dict[str, Any] = {
    "summary": "Health of every API on this port",
    "operationId": "health_of_all",
    "responses": {
        str(status): {
            "description": "What each API says of its health, in one object",
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["status"],
                        "properties": {"status": {"type": "string"}},
                        "additionalProperties": True,
                    }
                }
            },
        }
        for status in HEALTH_STATUSES
    },
}


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def one_port(apps: Mapping[str, FastAPI]) -> ASGIApp:
    """Return one app that answers as all of `apps` (by dialect) do."""
    names = [*(name for name in FIRST if name in apps), *(name for name in apps if name not in FIRST)]
    ordered = {name: apps[name] for name in names}
    claims = _claims(ordered)
    describe = functools.cache(lambda: orjson.dumps(description(ordered)))

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["path"] in SHARED and scope["method"] == "GET":
            scope[API], scope["route"] = UNION, Template(scope["path"])
            shared = await _health(ordered, scope) if scope["path"] == "/health" else _json(describe())
            await shared(scope, receive, send)
            return
        name = _meant(ordered, claims, scope)
        scope[API] = name or UNION
        await (ordered[name] if name else JSONResponse(NOT_FOUND, 404))(scope, receive, send)

    return answer


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")


# Whose path it is


def _claims(apps: Mapping[str, FastAPI]) -> dict[str, list[str]]:
    """First segment of a path -> the APIs that have a route there. A route that takes any path claims nothing."""
    claims: dict[str, list[str]] = {}
    for name, app in apps.items():
        for segment in sorted({path.split("/", 2)[1] for path in _paths(app)}):
            if "{" not in segment:
                claims.setdefault(segment, []).append(name)
    return claims


def _paths(app: FastAPI) -> set[str]:
    paths = {getattr(route, "path", None) for route in app.routes}
    included = set(app.openapi()["paths"]) if None in paths else set()  # a router within has no path of its own
    return {path for path in paths | included if path}


def _meant(apps: Mapping[str, FastAPI], claims: Mapping[str, list[str]], scope: Scope) -> str | None:
    """The only API with such paths, whatever it says to this one; of several, the first that has the very route."""
    claimants = claims.get(scope["path"].removeprefix("/").partition("/")[0], [])
    if len(claimants) == 1:
        return claimants[0]
    matches = {name: _match(apps[name], scope) for name in claimants}
    for wanted in (Match.FULL, Match.PARTIAL):  # PARTIAL: the path, but not the method
        for name, match in matches.items():
            if match is wanted:
                return name
    return None


def _match(app: FastAPI, scope: Scope) -> Match:
    specific = (route for route in app.routes if not (getattr(route, "path", None) or "").startswith("/{"))
    return max((route.matches(scope)[0] for route in specific), key=lambda match: match.value, default=Match.NONE)


# Health


async def _health(apps: Mapping[str, FastAPI], scope: Scope) -> Response:
    """One object of all JSON objects that the APIs answer with; where they disagree, the unhealthiest one counts."""
    answers = [await _asked(app, scope) for app in apps.values() if _match(app, scope) is Match.FULL]
    telling = sorted((one for one in answers if one.status in HEALTH_STATUSES), key=lambda one: one.status)
    objects = [one for one in telling if isinstance(_parsed(one.body), dict)]
    if not telling:
        return _replayed(answers[0]) if answers else JSONResponse(NOT_FOUND, 404)
    if not objects:
        return _replayed(telling[-1])
    union: dict[str, Any] = {}
    for one in objects:
        union |= _parsed(one.body)
    return _replayed(_Answer(telling[-1].status, objects[0].headers, orjson.dumps(union)))


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _replayed(answer: _Answer) -> Response:
    """The headers stay (a browser needs the CORS ones), the length is the body's."""
    response = Response(answer.body, answer.status)
    headers = [(name, value) for name, value in answer.headers if name != b"content-length"]
    response.raw_headers = [*headers, (b"content-length", str(len(answer.body)).encode())]
    return response


async def _asked(app: ASGIApp, scope: Scope) -> _Answer:
    """Ask an app the same request, without a body, and keep its answer."""
    start: dict[str, Any] = {}
    body = bytearray()

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        start.update(message if message["type"] == "http.response.start" else {})
        body.extend(message.get("body", b""))

    await app(dict(scope), receive, send)
    return _Answer(start["status"], list(start["headers"]), bytes(body))


# Description


def description(apps: Mapping[str, FastAPI]) -> dict[str, Any]:
    """Return one OpenAPI document of all apps: operations tagged and components prefixed with the name of their API."""
    paths: dict[str, dict[str, Any]] = {}
    components: dict[str, dict[str, Any]] = {}
    for name, app in apps.items():
        own = _prefixed(name, app.openapi())
        for path, item in own.get("paths", {}).items():
            paths[path] = dict(_tagged(name, item, own.get("security"))) | paths.get(path, {})
        for kind, entries in own.get("components", {}).items():
            components.setdefault(kind, {}).update({f"{name}.{key}": value for key, value in entries.items()})
    if "/health" in paths:
        paths["/health"]["get"] = HEALTH
    about = {"title": "visioncli serve-compat", "version": _version()}
    tags = [{"name": name, "description": app.description or app.title} for name, app in apps.items()]
    return {"openapi": "3.1.0", "info": about, "tags": tags, "paths": paths, "components": components}


def _version() -> str:
    try:
        return importlib.metadata.version("visioncli")
    except importlib.metadata.PackageNotFoundError:  # run from its source folder
        return "0"


def _prefixed(name: str, document: Any) -> Any:
    """Every reference to a component, by the name that it has in the union."""
    text = orjson.dumps(document)
    for kind in document.get("components", {}):
        text = text.replace(f'"#/components/{kind}/'.encode(), f'"#/components/{kind}/{name}.'.encode())
    return orjson.loads(text)


def _tagged(name: str, item: Mapping[str, Any], security: Iterable[Any] | None) -> Iterator[tuple[str, Any]]:
    """The operations of one path, each saying whose it is and what it asks for; ids stay unique."""
    for method, operation in item.items():
        if not isinstance(operation, dict):
            yield method, operation
            continue
        asked = operation.get("security", security)
        own: dict[str, Any] = {"tags": [name]}
        if "operationId" in operation:
            own["operationId"] = f"{name}.{operation['operationId']}"
        if asked is not None:
            own["security"] = [{f"{name}.{key}": scopes for key, scopes in each.items()} for each in asked]
        yield method, operation | own
