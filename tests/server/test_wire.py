"""What a connection may do before its request is known, and while its answer goes out, over real sockets."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from tests.server.listening import PATIENCE_S, get, listening, on_a_port
from visioncli.server import wire
from visioncli.server.config import Binding
from visioncli.server.settings import ServeSettings

SETTINGS = ServeSettings(preload=False, offline=True, grace_s=5)
TOO_LONG = "the request line and its headers have more than the 65536 bytes allowed"
TOO_SLOW = "the request's headers did not come in within 0.3 s"
GOOD = b'{"text": 1}'
PAUSE = b""  # so that what follows is read apart
CHUNKED = b"POST /v1/embed/text HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with listening([Binding(("hailo-clip",), 0)], SETTINGS) as (address,):
        yield address


def connected(url: str) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])))
    client.settimeout(PATIENCE_S)
    return client


def answer_to(url: str, *sent: bytes) -> tuple[int, bytes]:
    """Send, and read to the connection's end: (status, body)."""
    with connected(url) as client:
        try:
            for each in sent:
                time.sleep(0.2 if each == PAUSE else 0)
                client.sendall(each)
        except OSError:
            pass  # closed while much was still to come
        received = read_to_the_end(client)
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def read_to_the_end(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(65536), b""))


def send_on(client: socket.socket, data: bytes) -> None:
    """Until the connection ends."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        client.sendall(data)


def refusal(words: str) -> bytes:
    return json.dumps({"error": words, "detail": words}, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    "sent",
    [
        [b"GET /health HTTP/1.1\r\nHost: x\r\nX-A: ", b"a" * 70_000, b"\r\n\r\n"],
        [b"GET /health HTTP/1.1\r\nHost: x\r\nX-A: ", b"a" * 65_000, PAUSE, b"a" * 5_000 + b"\r\n\r\n"],
        [b"GET /", b"a" * 70_000, b" HTTP/1.1\r\nHost: x\r\n\r\n"],
        [b"GET /health HTTP/1.1\r\nHost: x\r\n", b"X-A: a\r\n" * 20_000, b"\r\n"],
        [b"GET /health HTTP/1.1\r\nHost: x\r\nX-A: ", *[b"a" * 2**20] * 20],
        [b"GET /", *[b"a" * 2**20] * 20],
    ],
    ids=["header", "header in parts", "request line", "many headers", "endless header", "endless request line"],
)
def test_a_head_that_is_too_long_is_refused_and_the_connection_closed(url: str, sent: list[bytes]) -> None:
    assert answer_to(url, *sent) == (431, refusal(TOO_LONG))


def test_an_endless_trailer_ends_its_connection(url: str) -> None:
    with connected(url) as client:
        client.sendall(CHUNKED + b"1\r\n{\r\n0\r\nX-A: ")
        with pytest.raises(ConnectionError):
            send_on(client, b"a" * 2**20)
    assert get(f"{url}/health").status_code == 200


def test_a_head_of_almost_as_many_bytes_as_allowed_is_answered(url: str) -> None:
    assert get(f"{url}/health", headers={"X-A": "a" * 65_000}).status_code == 200


def test_what_is_no_http_is_refused_in_both_shapes(url: str) -> None:
    assert answer_to(url, b"GARBAGE\r\n\r\n") == (400, refusal("this is no HTTP request"))


def test_a_body_in_many_small_chunks_is_no_head(url: str) -> None:
    body = [b"1\r\n \r\n" * 20_000, b"b\r\n" + GOOD + b"\r\n0\r\nX-Trailer: a\r\n\r\n"]
    with connected(url) as client:
        client.sendall(CHUNKED + b"".join(body))
        assert client.recv(100).startswith(b"HTTP/1.1 400 ")  # its API's: there is no text


def test_requests_of_one_connection_are_measured_apart(url: str) -> None:
    with httpx.Client(timeout=PATIENCE_S) as client:
        answers = [client.get(f"{url}/health", headers={"X-A": "a" * 40_000}) for _ in range(4)]
    assert [one.status_code for one in answers] == [200] * 4


@pytest.mark.parametrize("sent", [b"", b"GET /health HTTP/1.1\r\nHost"], ids=["nothing", "half a head"])
def test_a_head_that_does_not_come_is_not_waited_for(url: str, sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "PATIENCE_S", 0.3)
    monkeypatch.setitem(wire.WORDS, 408, TOO_SLOW)
    assert answer_to(url, sent) == (408, refusal(TOO_SLOW))


def test_a_client_that_takes_nothing_of_its_answer_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for left in range(63, -1, -1):
            await send({"type": "http.response.body", "body": bytes(2**20), "more_body": left > 0})
        ended.set()

    monkeypatch.setattr(wire, "PATIENCE_S", 0.3)
    with on_a_port(app) as url, connected(url) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert ended.wait(PATIENCE_S)
        assert len(read_to_the_end(client)) < 64 * 2**20
