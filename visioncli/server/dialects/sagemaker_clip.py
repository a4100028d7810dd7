"""`sagemaker-clip`: the CLIP container's API, as sagemaker-clip.md documents it (port 8080), and SageMaker's before it.

    GET  /ping
    POST /invocations                         {"images": [...], "classes": [[text, flag], ...]}
    POST /endpoints/{name}/invocations        the same, as the AWS SDKs ask SageMaker's runtime

Probabilities are a softmax over 100 times the cosines with "a photo of a <text>". Per image the three best are listed;
its class is 1 where one of them that is at most 0.02 below the best has a true flag. Classes given as strings alone
get the container's older answer, a list without `classification` and `confidence`.

Deviations from the original:

- Wrong requests are 400 with {"error": ...} (there: 500 as HTML); over 6 MB 413; a body that does not come in 408; a
  full queue 503 with Retry-After.
- At most 256 images and 4,096 classes a request: more is 400. Of a class the first 10,000 characters are looked at.
- Images may be base64 of any mode, with or without a data URI; a path or `file:` is refused.
- `application/json` may carry a charset. A class may stand in the list twice.
- On the SDK's path errors are SageMaker's: ModelError (424, with the container's status and words inside),
  ServiceUnavailable (503), ValidationError (400), over 6 MB a bare 413, too slow a bare 408. Every endpoint name
  answers, signatures are not verified, asynchronous and streamed invocations are refused.
- With keys configured: 403 AccessDeniedException unless the access key id that signed the request, `x-api-key` or
  `Bearer` is one of them.

`--fidelity original` changes nothing here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from visioncli.errors import NotNowError, PredictError, RunError, UsageError, VisioncliError, is_passing
from visioncli.server.auth import bearer, is_allowed
from visioncli.server.bodies import json_response, parse_json, read_body, while_connected
from visioncli.server.dialects import sagemaker_shapes as shapes
from visioncli.server.dialects.sagemaker_answers import NAME, classify
from visioncli.server.refusals import Busy, ClientLeft, NotLoaded, TooLarge, TooLate, TooSlow
from visioncli.server.service import Service

ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
RETRY_AFTER_S = 1
NOT_JSON = b'{"reason" : "Request should be application/json"}'  # the container's very bytes

_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/")  # Signature Version 4
_VISIBLE = re.compile(r"[\x20-\x7e]{0,1024}")  # what SageMaker lets through as custom attributes

STATUS: dict[type[Exception], int] = {
    VisioncliError: 400,
    RunError: 500,
    NotNowError: 503,
    NotLoaded: 503,
    TooLate: 503,
    Busy: 503,
    TooLarge: 413,
    TooSlow: 408,
    ClientLeft: 499,  # seen by the access log alone
    Exception: 500,
}
REFUSED_WAYS = {  # last part of /endpoints/{name}/... -> why it is not offered
    "async-invocations": "asynchronous invocations read from and write to Amazon S3, which is not offered here",
    "invocations-response-stream": "this endpoint's answers are not streamed; use InvokeEndpoint",
}

Answered = Callable[[Request], Coroutine[Any, Any, Response]]


class ValidationError(VisioncliError):
    """What SageMaker itself refuses, before a container sees it."""


def create_app(service: Service) -> FastAPI:
    """Return the dialect's app: its own errors, 404 and OpenAPI."""
    app = FastAPI(title="CLIP container", version="1.0.0", docs_url=None, redoc_url=None, redirect_slashes=False)
    app.add_api_route("/ping", _ping(service), methods=["GET"], **shapes.PING)
    app.add_api_route("/invocations", _invocations(service), methods=["POST"], **shapes.INVOCATIONS)
    endpoint = "/endpoints/{name}/"
    app.add_api_route(endpoint + "invocations", _as_endpoint(service), methods=["POST"], **shapes.ENDPOINT)
    for way, why in REFUSED_WAYS.items():
        app.add_api_route(endpoint + way, _refused_way(service, why), methods=["POST"], name=way, **shapes.REFUSED_WAY)
    for kind in STATUS:
        app.add_exception_handler(kind, _refused)
    app.add_exception_handler(HTTPException, _not_found)
    return app


def _ping(service: Service) -> Callable[[], Coroutine[Any, Any, Response]]:
    async def ping() -> Response:
        if not service.ready:
            return Response("\n", 404, media_type="application/json")
        return Response("\n", media_type="application/json")

    return ping


def _invocations(service: Service) -> Answered:
    async def invocations(request: Request) -> Response:
        return _denied(service, request) or await _invoke(service, request)

    return invocations


def _as_endpoint(service: Service) -> Answered:
    async def invoke_endpoint(request: Request) -> Response:
        attributes = request.headers.get(ATTRIBUTES, "")
        if denied := _denied(service, request):
            return denied
        if not _VISIBLE.fullmatch(attributes):  # SageMaker's own rule
            raise ValidationError(f"{ATTRIBUTES} must be at most 1024 visible US-ASCII characters")
        response = await _invoke(service, request)
        if response.status_code != 200:  # the container's own refusal
            return _model_error(response.status_code, bytes(response.body).decode())
        response.headers["x-Amzn-Invoked-Production-Variant"] = "AllTraffic"
        return response

    return invoke_endpoint


def _refused_way(service: Service, why: str) -> Answered:
    async def refuse(request: Request) -> Response:
        if denied := _denied(service, request):
            return denied
        raise ValidationError(why)

    return refuse


async def _invoke(service: Service, request: Request) -> Response:
    """What the container does with a request."""
    body = await read_body(request, service.settings.body_of(NAME))
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return Response(NOT_JSON, 400, media_type="application/json")
    asked = await parse_json(body)
    if not isinstance(asked, dict):
        raise UsageError("the body must be an object with images and classes")
    async with service.admitted(NAME):
        return json_response(await while_connected(request, classify(service, asked)), headers=_echoed(request))


def _echoed(request: Request) -> dict[str, str]:
    attributes = request.headers.get(ATTRIBUTES, "")
    return {ATTRIBUTES: attributes} if attributes and _VISIBLE.fullmatch(attributes) else {}


# Refusals


def _denied(service: Service, request: Request) -> Response | None:
    authorization = request.headers.get("authorization", "")
    keys = [*bearer(authorization), *_CREDENTIAL.findall(authorization), request.headers.get("x-api-key", "")]
    if is_allowed(service.settings.api_keys, keys):
        return None
    return _sdk_error(403, "AccessDeniedException", "the access key is not one of this server's keys")


async def _refused(request: Request, error: Exception) -> Response:
    status = _status(error)
    words = str(error) if isinstance(error, VisioncliError) else "Internal server error"
    headers = {"Retry-After": str(getattr(error, "retry_after_s", RETRY_AFTER_S))} if status == 503 else {}
    if isinstance(error, ValidationError):
        return _sdk_error(400, "ValidationError", words)
    if "name" not in request.path_params:
        return json_response({"error": words}, status, headers)
    if isinstance(error, Busy):
        return _sdk_error(503, "ServiceUnavailable", words, headers)
    if isinstance(error, (TooLarge, TooSlow)):  # no container has seen it
        return json_response({"Message": words}, status)
    return _model_error(status, words)


def _status(error: Exception) -> int:
    if isinstance(error, PredictError) and is_passing(error.code):  # the device's fault, not the picture's
        return 500
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def _model_error(status: int, words: str) -> Response:
    whose = "client" if status < 500 else "server"
    detail = {
        "OriginalStatusCode": status,
        "OriginalMessage": words,
        "LogStreamArn": "",
        "ErrorCode": f"{whose.upper()}_ERROR_FROM_MODEL",
    }
    return _sdk_error(424, "ModelError", f'Received {whose} error ({status}) from the model: "{words}"', detail=detail)


def _sdk_error(
    status: int,
    kind: str,
    words: str,
    headers: Mapping[str, str] | None = None,
    detail: Mapping[str, Any] | None = None,
) -> Response:
    """The AWS SDKs choose their exception by the header."""
    return json_response({"Message": words, **(detail or {})}, status, {"x-amzn-ErrorType": kind, **(headers or {})})


async def _not_found(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return json_response({}, error.status_code, error.headers)
