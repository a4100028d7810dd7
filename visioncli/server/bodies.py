"""A request's body under a cap, JSON in and out, and a client that leaves. Knows nothing of dialects.

orjson: a vector of 768 float32 numbers becomes text in 0.02 ms as it is, where the standard library needs 0.5 ms and a
list of Python floats first. It holds the interpreter's lock while it reads or writes, in whatever thread: a text of 60
MB keeps everybody waiting for 0.1 s, twenty million empty lists in as many bytes for 15 s. So the number of values is
bounded before they are made, and long arrays are written a row at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import Any, TypeVar

import numpy as np
import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from visioncli.server.refusals import ClientLeft, NotJson, TooLarge

T = TypeVar("T")

MOST_VALUES = 128 * 2**10  # of one body, 0.05 s to make; the longest that are meant are 4,096 texts and their flags
OFF_LOOP_BYTES = 2 * MOST_VALUES  # a larger body is parsed in a thread; a smaller one cannot have more values
COUNT_BYTES = 2**20  # are looked at at once
ARRAY_BYTES = 2**20  # a larger array is written row by row


async def read_body(request: Request, cap: int) -> bytes:
    """Return the whole body. Raises TooLarge as soon as it can be told, ClientLeft."""
    too_large = TooLarge(f"the body has more than the {cap} bytes allowed")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > cap:
        raise too_large
    body = bytearray()  # in one piece: thousands of small ones would leave the memory in shreds
    try:
        async for chunk in request.stream():
            if len(body) + len(chunk) > cap:
                raise too_large
            body += chunk
    except ClientDisconnect as error:
        raise ClientLeft("the client left while it was sending") from error
    return bytes(body)


async def read_json(request: Request, cap: int) -> Any:
    """Return the body as JSON. Raises NotJson, TooLarge, ClientLeft."""
    return await parse_json(await read_body(request, cap))


async def parse_json(body: bytes) -> Any:
    """Return what the JSON text says; a large one is read in a thread. Raises NotJson, TooLarge."""
    try:
        return orjson.loads(body) if len(body) < OFF_LOOP_BYTES else await asyncio.to_thread(_parse_large, body)
    except orjson.JSONDecodeError as error:
        raise NotJson(f"the body is no JSON: {error}") from error


def _parse_large(body: bytes) -> Any:
    _refuse_many_values(body)
    return orjson.loads(body)


def _refuse_many_values(body: bytes) -> None:
    """Raise TooLarge for a JSON text that may have more values than allowed: each stands behind one of these bytes.

    Those within texts count, too: base64 has none of them.
    """
    count = 0
    for start in range(0, len(body), COUNT_BYTES):
        count += sum(body.count(mark, start, start + COUNT_BYTES) for mark in (b",", b"[", b"{", b":"))
        if count > MOST_VALUES:
            raise TooLarge(f"the body may have more than the {MOST_VALUES} JSON values allowed")


def dump_json(content: Any) -> bytes:
    """Return JSON; numpy arrays go in as they are. NaN becomes null."""
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)


async def dump_long_json(content: Any) -> bytes:
    """Return JSON as `dump_json` does, made in a thread, with room for other threads between two rows of an array."""
    return await asyncio.to_thread(orjson.dumps, content, _rows_apart, orjson.OPT_NON_STR_KEYS)


def _rows_apart(value: Any) -> Any:
    """What orjson is to write for a value of numpy: while this runs, other threads may."""
    if isinstance(value, np.ndarray) and value.ndim > 1 and value.nbytes > ARRAY_BYTES:
        return list(value)
    if isinstance(value, (np.ndarray, np.generic)):
        return orjson.Fragment(dump_json(value))
    raise TypeError(f"{type(value).__name__} is not JSON")


HOLE = b"\0"  # stands in no JSON text


def filled_response(content: Any, pieces: AsyncIterator[bytes], size: int) -> Response:
    """Return JSON in which the one `orjson.Fragment(HOLE)` is filled with `size` bytes of JSON, piece by piece."""
    before, after = dump_json(content).split(HOLE)

    async def parts() -> AsyncIterator[bytes]:
        yield before
        async for piece in pieces:
            yield piece
        yield after

    length = {"content-length": str(len(before) + size + len(after))}
    return StreamingResponse(parts(), headers=length, media_type="application/json")


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
        leaving.result()
        raise ClientLeft("the client left before it was answered")
    finally:
        for each in (task, leaving):
            each.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
