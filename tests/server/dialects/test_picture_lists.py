"""The pictures of one request, from a real HTTP server."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator, Sequence

import pytest

from tests import misbehaving
from tests.doubles import colour_of, png
from tests.server.dialects.serving import LOOPBACK
from visioncli.errors import FetchError
from visioncli.server.dialects import picture_lists
from visioncli.server.dialects.picture_lists import AT_ONCE, read_pictures
from visioncli.server.payloads import Payloads, Picture

FILES = {f"{number}.png": png(colour_of(number)) for number in range(20)}


@pytest.fixture(scope="module")
def server() -> Iterator[misbehaving.Server]:
    with misbehaving.serve(FILES) as running:
        yield running


def read(given: Sequence[str]) -> list[Picture]:
    async def work() -> list[Picture]:
        payloads = Payloads(LOOPBACK)
        try:
            return await read_pictures(payloads.picture, given)
        finally:
            await payloads.close()

    return asyncio.run(work())


def urls(server: misbehaving.Server, *paths: str) -> list[str]:
    return [server.url(path).decode() for path in paths]


def test_urls_and_base64_come_in_the_order_they_were_given(server: misbehaving.Server) -> None:
    given = urls(server, *(f"/ok/{name}" for name in FILES))
    given[3] = base64.b64encode(FILES["3.png"]).decode()
    assert read(given) == [Picture(data) for data in FILES.values()]
    assert read([]) == []


def test_the_first_that_fails_is_named_and_what_lies_far_behind_it_not_fetched(server: misbehaving.Server) -> None:
    far = urls(server, "/ok/19.png?far")
    before = server.count("/ok/19.png")
    with pytest.raises(FetchError) as caught:
        read(urls(server, "/ok/0.png", "/ok/nowhere.png", "/reset") + urls(server, "/ok/1.png") * AT_ONCE + far)
    assert caught.value.code == "http_404"
    assert server.count("/ok/19.png") == before


def test_pictures_are_bounded_together(server: misbehaving.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_lists, "TOTAL_BYTES", sum(len(data) for data in FILES.values()) - 1)
    with pytest.raises(FetchError, match="together"):
        read(urls(server, *(f"/ok/{name}" for name in FILES)))
