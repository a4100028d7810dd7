"""A request's body under a cap, JSON in and out, and a client that leaves. Knows nothing of dialects.

orjson: a vector of 768 float32 numbers becomes text in 0.02 ms as it is, where the standard library needs 0.5 ms and a
list of Python floats first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from visioncli.server.refusals import ClientLeft, NotJson, TooLarge

T = TypeVar("T")

OFF_LOOP_BYTES = 256 * 2**10  # a larger body is parsed in a thread: health must answer meanwhile


async def read_body(request: Request, cap: int) -> bytes:
    """Return the whole body. Raises TooLarge as soon as it can be told, ClientLeft."""
    too_large = TooLarge(f"the body has more than the {cap} bytes allowed")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > cap:
        raise too_large
    chunks, size = [], 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > cap:
                raise too_large
            chunks.append(chunk)
    except ClientDisconnect as error:
        raise ClientLeft("the client left while it was sending") from error
    return b"".join(chunks)


async def read_json(request: Request, cap: int) -> Any:
    """Return the body as JSON. Raises NotJson, TooLarge, ClientLeft."""
    return await parse_json(await read_body(request, cap))


async def parse_json(body: bytes) -> Any:
    """Return what the JSON text says; a large one is read in a thread. Raises NotJson."""
    try:
        return orjson.loads(body) if len(body) < OFF_LOOP_BYTES else await asyncio.to_thread(orjson.loads, body)
    except orjson.JSONDecodeError as error:
        raise NotJson(f"the body is no JSON: {error}") from error


def dump_json(content: Any) -> bytes:
    """Return JSON; numpy arrays go in as they are. NaN becomes null."""
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(dump_json(content), status, headers, media_type="application/json")


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns; a client that leaves takes it along. The body must have been read.

    Raises ClientLeft, and what `work` raises.
    """
    task = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientLeft("the client left before it was answered")
    finally:
        for each in (task, leaving):
            each.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
