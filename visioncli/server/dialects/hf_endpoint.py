"""`hf-endpoint`: a Hugging Face Inference Endpoint with SigLIP 2, as hf-endpoint-siglip2.md documents it (port 8081).

    GET  /  /health            Ok
    POST /  /predict           {"inputs": ..., "parameters": {...}}, or one picture as the body
    POST /pipeline/{task}  /models/{id}/pipeline/{task}
                               feature-extraction, sentence-similarity, zero-shot-image-classification

The modes and how one is detected stand in `hf_modes`. Query parameters become `parameters` where the body has none.
`Accept` is not looked at: huggingface_hub asks for image/png and wants JSON.

Deviations from the original:

- Zero-shot scores are a softmax over the scaled logits, not over raw cosines, which could not yield the document's.
- `inputs: ["one"]` gets a list of one list of labels (there: a flat list).
- A dict with an image and no text is no similarity; a short text alone without a mode is an image: the document's rule.
- `data:` before base64, `{"image": ...}` (the JavaScript client's) and labels as one text with commas are accepted.
- An image's type may be absent or wrong: its first bytes tell. `hypothesis_template` has `{}` for the label.
- At most 256 pictures, 4,096 texts or labels and 262,144 scores a request, a template of 500 characters: more is 400.
  Of a text the first 10,000 characters are looked at (there: all, of which 64 pieces count here as there).
- Empty texts are refused. The pipeline routes, which a custom handler has not, answer for every model id.
- 401 for a wrong key; 408 for a body that does not come in; 413 for one over the limit; 503 with Retry-After for a full
  queue, a server that stops and a time-out. Every other error is 400, as the toolkit around the original has it.
  Unknown paths: 404 as JSON.

`--fidelity original`: softmax over raw cosines; a flat list for one image in a list; `image` alone means similarity; a
short text alone is a text.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import FastAPI
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Match, Route

from visioncli.errors import DeviceError, NotNowError, UsageError, VisioncliError
from visioncli.io import formats
from visioncli.server.auth import bearer, is_allowed
from visioncli.server.bodies import json_response, parse_json, read_body, while_connected
from visioncli.server.dialects import hf_shapes as shapes
from visioncli.server.dialects.hf_modes import NAME, PIPELINES, Ask, Question, answer
from visioncli.server.refusals import Busy, ClientLeft, NotLoaded, TooLarge, TooLate, TooSlow
from visioncli.server.service import Service

RETRY_AFTER_S = 1

STATUS: dict[type[Exception], int] = {
    VisioncliError: 400,
    DeviceError: 503,
    NotNowError: 503,
    NotLoaded: 503,
    TooLate: 503,
    Busy: 503,
    TooLarge: 413,
    TooSlow: 408,
    ClientLeft: 499,  # seen by the access log alone
    Exception: 500,
}

Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]


def create_app(service: Service) -> FastAPI:
    """Return the dialect's app: its own errors, 404 and OpenAPI."""
    app = FastAPI(title="SigLIP2 endpoint", version="1.0.0", docs_url=None, redoc_url=None, redirect_slashes=False)
    for path in ("/", "/health"):
        app.add_api_route(path, _health(service), methods=["GET"], **shapes.HEALTH)
    for path in ("/", "/predict"):
        app.add_api_route(path, _endpoint(service, answer), methods=["POST"], name="answer", **shapes.ANSWER)
    for task, ask in PIPELINES.items():
        for before in ("", "/models/{id:path}"):
            docs = shapes.pipeline(task, with_id=bool(before))
            endpoint = _endpoint(service, ask)
            app.add_api_route(f"{before}/pipeline/{task}", endpoint, methods=["POST"], name=ask.__name__, **docs)
    for kind in STATUS:
        app.add_exception_handler(kind, _refused)
    app.add_exception_handler(HTTPException, _not_found)
    return app


def _health(service: Service) -> Callable[[], Coroutine[Any, Any, Response]]:
    async def health() -> Response:
        return PlainTextResponse("Ok") if service.ready else PlainTextResponse("Not ready", 503)

    return health


def _endpoint(service: Service, ask: Ask) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        if not is_allowed(service.settings.api_keys, bearer(request.headers.get("authorization"))):
            return json_response({"error": "Invalid credentials"}, 401, {"WWW-Authenticate": "Bearer"})
        question = await _read(service, request)
        async with service.admitted(NAME):
            return json_response(await while_connected(request, ask(service, question)))

    return endpoint


async def _read(service: Service, request: Request) -> Question:
    """Return what is asked, whatever form it has. Raises UsageError, NotJson, TooLarge, FetchError, ClientLeft."""
    data = await read_body(request, service.settings.body_of(NAME))
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.startswith("image/") or (kind != "application/json" and formats.sniff(data)):
        return Question(service.payloads(NAME).raw(data), _from_query(request.query_params))
    if kind != "application/json" and not data.lstrip().startswith(b"{"):
        raise UsageError(f"Content type {kind or 'missing'!r} is neither application/json nor an image's")
    body = await parse_json(data)
    if not isinstance(body, dict) or "inputs" not in body:
        raise UsageError("Body needs to be an object with the key inputs")
    given = body.get("parameters")
    parameters = _from_query(request.query_params) if given is None else given
    if not isinstance(parameters, dict):
        raise UsageError("parameters must be an object")
    return Question(body["inputs"], parameters, body)


def _from_query(query: QueryParams) -> dict[str, Any]:
    """A name that stands several times becomes a list."""
    values = {name: [_value(text) for text in query.getlist(name)] for name in query}
    return {name: given[0] if len(given) == 1 else given for name, given in values.items()}


def _value(text: str) -> str | int | bool:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdecimal() and len(digits) < 19 else text  # 64 bits


async def _refused(request: Request, error: Exception) -> Response:
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    words = str(error) if isinstance(error, VisioncliError) else "Internal server error"
    headers = {"Retry-After": str(getattr(error, "retry_after_s", RETRY_AFTER_S))} if status == 503 else None
    return json_response({"error": words}, status, headers)


async def _not_found(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {}) | ({"Allow": _methods(request)} if error.status_code == 405 else {})
    return json_response({"error": error.detail}, error.status_code, headers)


def _methods(request: Request) -> str:
    """Of all routes with the path: `/` has two."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    partial = [route.methods or set() for route in routes if route.matches(request.scope)[0] is Match.PARTIAL]
    return ", ".join(sorted(set().union(*partial)))
