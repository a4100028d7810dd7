"""What every route of this API does before and instead of its own work: keys, a body under a cap, errors in its words.

Errors are `{"detail": "..."}`, as FastAPI's own. Knows nothing of models or answers.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from json import JSONDecodeError
from types import NoneType
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from visioncli.errors import (
    DecodeError,
    FetchError,
    RowError,
    UsageError,
    VisioncliError,
)
from visioncli.server.auth import bearer, is_allowed
from visioncli.server.bodies import json_response, parse_json, read_body
from visioncli.server.dialects.vision_models.loading import DIALECT, UnknownModel
from visioncli.server.dialects.vision_models.schemas import Problem
from visioncli.server.limits import SHOWN
from visioncli.server.refusals import Busy, ClientLeft, NotJson, TooLarge, TooLate, TooSlow
from visioncli.server.service import Service

STATUS: dict[type[Exception], int] = {  # the nearest ancestor counts; what is not here is 500, "inference failed"
    RowError: 400,
    UsageError: 400,
    UnknownModel: 404,
    NotJson: 400,
    TooLarge: 413,
    TooSlow: 408,
    ClientLeft: 499,  # nobody sees it but the access log
    Busy: 503,
    TooLate: 503,
}
MOST_FAULTS = 8  # of a request that are told: a field has two at most, for each way to write it
FAULTS = {"device_failed", "out_of_memory", "non_finite"}  # codes of a RowError that are no fault of the picture
RETRY_S = 5  # after a request whose time was over
OPEN = frozenset({"/health"})  # needs no key: a probe has none
WORDS = {
    400: "The request, or one of its images, cannot be used",
    401: "A key is configured, and the request has none that is right",
    404: "There is no such job or model",
    408: "The body does not come in",
    413: "The body is too large",
    500: "The model could not answer",
    503: "The queue is full, the server ends, or the request's time is over",
}


class _Request(Request):
    """A request whose body has been read, under the dialect's cap."""

    def __init__(self, request: Request, body: bytes) -> None:
        super().__init__(request.scope, request.receive)
        self._read = body

    async def body(self) -> bytes:
        return self._read

    async def json(self) -> Any:
        try:
            return await parse_json(self._read)
        except NotJson as error:
            raise JSONDecodeError(str(error.__cause__), "", 0) from error  # what FastAPI knows as a bad request
        except TooLarge as error:
            raise HTTPException(STATUS[TooLarge], str(error)) from error  # all else FastAPI would call a 400


class Door(APIRoute):
    """A route that asks for the key first, then reads the body under a cap."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            service = service_of(request)
            if self.path not in OPEN:
                _refuse_strangers(request, service.settings.api_keys)
            if self.body_field is None:
                return await answer(request)
            body = await read_body(request, service.settings.body_of(DIALECT))
            return await answer(_Request(request, body))

        return guarded


@dataclass(frozen=True, slots=True)
class Operation:
    """One route, as a table lists it."""

    method: str
    path: str
    answer: Callable[..., Coroutine[Any, Any, Response]]
    response: Any  # the schema of a 200
    problems: tuple[int, ...] = ()  # statuses of WORDS, besides 401
    extra: dict[int | str, dict[str, Any]] = field(default_factory=dict)  # further responses, for OpenAPI


def add_operations(app: FastAPI, operations: Sequence[Operation]) -> None:
    """Give an app routes, and its OpenAPI what each may answer."""
    for each in operations:
        said = {} if each.path in OPEN else problems(*each.problems)
        app.add_api_route(
            each.path, each.answer, methods=[each.method], response_model=each.response, responses=said | each.extra
        )


def service_of(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _refuse_strangers(request: Request, keys: Sequence[str]) -> None:
    candidates = [*bearer(request.headers.get("authorization")), *request.headers.getlist("x-api-key")]
    if not is_allowed(keys, candidates):
        raise HTTPException(401, "Invalid or missing API key", {"WWW-Authenticate": "Bearer"})


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what an operation's OpenAPI says of its errors; every one may be a 401."""
    return {status: {"model": Problem, "description": WORDS[status]} for status in sorted({401, *statuses})}


# Errors


def translate_errors(app: FastAPI, fidelity: str) -> None:
    """Give an app this API's errors."""
    app.add_exception_handler(VisioncliError, _refused)
    app.add_exception_handler(Exception, _crashed)
    app.add_exception_handler(RequestValidationError, _misasked if fidelity == "document" else _misasked_originally)


async def _refused(request: Request, error: Exception) -> Response:
    status, headers = status_of(error), {}
    if status == 503:
        headers["Retry-After"] = str(getattr(error, "retry_after_s", RETRY_S))
    return json_response({"detail": sentence(error)}, status, headers)


def status_of(error: Exception) -> int:
    if isinstance(error, RowError) and error.code in FAULTS:
        return 500
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def sentence(error: Exception) -> str:
    """Return an error in the original's words, where it had some."""
    return f"Failed to decode image: {error}" if isinstance(error, (DecodeError, FetchError)) else str(error)


async def _crashed(request: Request, error: Exception) -> Response:
    return json_response({"detail": "Internal server error"}, 500)


async def _misasked(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return json_response({"detail": complaint(error.errors())}, 400)


async def _misasked_originally(request: Request, error: Exception) -> Response:
    """FastAPI's own 422, as the original's; but what a client sent comes back to it only where it is short."""
    assert isinstance(error, RequestValidationError)
    told = [{**each, "loc": [*each["loc"]]} for each in error.errors()[:MOST_FAULTS]]
    for each in told:
        if not isinstance(each.get("input"), (str, int, float, NoneType)) or len(str(each["input"])) > SHOWN:
            each.pop("input", None)
    return json_response({"detail": jsonable_encoder(told)}, 422)


def complaint(errors: Sequence[Any]) -> str:
    """Return what is wrong with a request as one line, the places by name: `threshold: Input should be …`.

    The first faults are told, each cut to a sentence's length.
    """
    if errors[0]["type"] == "json_invalid":
        return f"the body is no JSON: {errors[0]['ctx']['error']}"
    first = [(".".join(map(str, error["loc"][1:])) or "body", error["msg"]) for error in errors[:MOST_FAULTS]]
    told = {place[:SHOWN]: words[: 4 * SHOWN] for place, words in reversed(first)}
    return "; ".join(f"{place}: {words}" for place, words in reversed(told.items()))
