"""JSON in and out: how much of it is read, and that long arrays are written as short ones are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import orjson
import pytest
from fastapi import FastAPI, Response

from tests.server.dialects.serving import settings_of
from tests.server.listening import ask, get, on_a_port
from tests.server.test_intake import PATHS
from visioncli.server import DIALECTS, create_app
from visioncli.server.bodies import HOLE, MOST_VALUES, dump_json, dump_long_json, filled_response, parse_json
from visioncli.server.refusals import NotJson, TooLarge
from visioncli.server.service import Service

TOO_MANY = f"the body may have more than the {MOST_VALUES} JSON values allowed"


def of(part: bytes, count: int) -> bytes:
    return b"[" + part * count + b"0]"


@pytest.mark.parametrize("part", [b"[],", b"{},", b'"a",', b"0,", b'{"a":0},', b"[[]],"])
def test_a_text_of_more_values_than_allowed_is_not_read(part: bytes) -> None:
    with pytest.raises(TooLarge, match=TOO_MANY):
        asyncio.run(parse_json(of(part, 300_000)))
    assert asyncio.run(parse_json(of(part, 20_000))) == orjson.loads(of(part, 20_000))


def test_long_texts_are_few_values() -> None:
    picture = "A" * 5_000_000
    assert asyncio.run(parse_json(dump_json({"images": [picture, picture]}))) == {"images": [picture, picture]}


def test_what_is_no_json_is_told_however_long() -> None:
    for body in (b"[1,", b"[" + b" " * 500_000):
        with pytest.raises(NotJson):
            asyncio.run(parse_json(body))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_too_many_values_are_refused_as_a_body_that_is_too_large(dialect: str) -> None:
    typed = {"Content-Type": "application/json"}
    with on_a_port(create_app(dialect, Service(settings_of(dialect)))) as url:
        refused = ask("POST", url + PATHS[dialect], content=of(b"[],", 400_000), headers=typed)
    assert refused.status_code == {"runpod": 400}.get(dialect, 413)
    words = {"hailo-clip": "Request body too large"}.get(dialect, TOO_MANY)
    assert refused.json() == {"detail" if dialect == "vision-models" else "error": words}


LONG = {
    "masks": [np.arange(1_500_000, dtype=np.uint32).reshape(1000, 1500) % 2],
    "tokens": np.linspace(-1, 1, 800_000, dtype=np.float32).reshape(2, 500, 800),
    "line": np.zeros(2_000_000, np.uint8),
    "score": np.float32(0.5),
    "names": {1: ["a", None, True]},
}


def test_long_arrays_are_written_as_short_ones() -> None:
    assert asyncio.run(dump_long_json(LONG)) == dump_json(LONG)


def test_what_is_not_json_is_an_error_in_both() -> None:
    for dump in (dump_json, lambda content: asyncio.run(dump_long_json(content))):
        with pytest.raises(TypeError):
            dump({"a": object()})


def test_a_hole_is_filled_piece_by_piece() -> None:
    app = FastAPI()
    pieces = [b'{"a":', b"[1,2]", b"}"]

    async def each() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    @app.get("/")
    async def filled() -> Response:
        return filled_response(
            {"before": "\0", "result": orjson.Fragment(HOLE), "after": 1}, each(), sum(map(len, pieces))
        )

    with on_a_port(app) as url:
        answer = get(url)
    assert answer.json() == {"before": "\0", "result": {"a": [1, 2]}, "after": 1}
    assert int(answer.headers["content-length"]) == len(answer.content)
