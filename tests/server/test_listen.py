"""Ports that open before anything is loaded, and close when what runs has ended. No model is loaded."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.server.listening import PATIENCE_S, ask, get, listening
from visioncli.errors import ModelError, UsageError
from visioncli.server.access import Exchange
from visioncli.server.config import Binding
from visioncli.server.listen import Tls, listen, open_doors
from visioncli.server.settings import ServeSettings

HAILO = Binding(("hailo-clip",), 0)
SETTINGS = ServeSettings(preload=False, offline=True, grace_s=20)
HALF = b"POST /v1/embed/text HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n{"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its key lies beside it, as `key.pem`."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout {path.parent}/key.pem"
    extension = ["-out", str(path), "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command.split(), *extension], check=True, capture_output=True)
    return path


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as held:
        yield held.getsockname()[1]


@pytest.mark.parametrize(
    ("dialects", "remedy"),
    [(("hailo-clip",), "--api hailo-clip:{}"), (("hailo-clip", "runpod"), "--port {}")],
)
def test_a_port_that_is_taken_is_one_sentence(taken: int, dialects: tuple[str, ...], remedy: str) -> None:
    expected = f"port {taken} of 127.0.0.1 is taken by another program; choose another: {remedy.format(taken + 1)}"
    with pytest.raises(UsageError) as refused, open_doors([HAILO, Binding(dialects, taken)]):
        pass
    assert str(refused.value) == expected


@pytest.mark.parametrize("host", ["203.0.113.7", "x" * 64])  # RFC 5737: nobody's; and too long for a name
def test_an_address_of_another_machine_is_one_sentence(host: str) -> None:
    sentence = rf"^--host: '?{host}'? is no address of this machine"
    with pytest.raises(UsageError, match=sentence), open_doors([Binding(("runpod",), 0, host)]):
        pass


def test_doors_are_closed_again_when_a_later_one_cannot_be_opened(taken: int) -> None:
    with open_doors([HAILO]) as (door,):
        free = door.port
    with pytest.raises(UsageError), open_doors([Binding(("hailo-clip",), free), Binding(("runpod",), taken)]):
        pass
    with open_doors([Binding(("hailo-clip",), free)]) as (door,):
        assert door.port == free


def test_each_api_has_its_own_port_in_one_process() -> None:
    with listening([HAILO, Binding(("sagemaker-clip",), 0)], SETTINGS) as (hailo, sagemaker):
        assert get(f"{hailo}/health").json()["service"] == "hailo-clip"
        assert get(f"{sagemaker}/ping").status_code == 200
        assert get(f"{hailo}/ping").json() == {"error": "Endpoint not found"}
        counted = get(f"{sagemaker}/metrics").text
    assert 'visioncli_requests_total{api="hailo-clip",method="GET",route="/health",status="200"} 1.0' in counted


def test_pages_of_other_origins_may_ask_where_they_were_named() -> None:
    with listening([HAILO], replace(SETTINGS, cors_origins=("https://shop.example",))) as (url,):
        allowed = [
            get(f"{url}/health", headers={"Origin": origin}).headers.get("access-control-allow-origin")
            for origin in ("https://shop.example", "https://elsewhere.example")
        ]
    assert allowed == ["https://shop.example", None]


def test_no_header_says_who_a_client_is(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "visioncli.access")
    with listening([HAILO], SETTINGS) as (url,):
        get(f"{url}/health", headers={"X-Forwarded-For": "hush\t\x1b[2J", "X-Forwarded-Proto": "https"})
    assert {seen.client for seen in exchanges(caplog)} == {"127.0.0.1"}


def test_answers_name_no_server_software() -> None:
    with listening([HAILO], SETTINGS) as (url,):
        assert "server" not in get(f"{url}/health").headers


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_an_ipv6_address_can_be_listened_on() -> None:
    with open_doors([Binding(("hailo-clip",), 0, "::1")]) as (door,):
        assert socket.create_connection(("::1", door.port)).close() is None


def test_a_model_that_cannot_be_loaded_ends_the_server() -> None:
    settings = ServeSettings(models={("hailo-clip", "embed"): "/nowhere"}, offline=True)
    with open_doors([HAILO]) as doors, pytest.raises(ModelError):
        asyncio.run(listen(doors, settings, asyncio.Event()))


# TLS


def test_tls_is_spoken_where_a_certificate_is_given(certificate: Path) -> None:
    tls = Tls(str(certificate), str(certificate.parent / "key.pem"))
    with listening([HAILO], SETTINGS, tls) as (url,):
        trusting = ssl.create_default_context(cafile=str(certificate))
        assert get(f"{url}/health", verify=trusting).status_code == 200


@pytest.mark.parametrize(
    ("certfile", "keyfile", "sentence"),
    [
        ("certificate.pem", "nowhere.pem", "--certfile, --keyfile: {}/nowhere.pem cannot be read: No such file"),
        ("nowhere.pem", None, "--certfile, --keyfile: {}/nowhere.pem cannot be read: No such file"),
        ("key.pem", "certificate.pem", "--certfile: {0}/key.pem and {0}/certificate.pem hold no certificate with its"),
        ("certificate.pem", None, "--certfile: {}/certificate.pem holds no certificate with its key: "),
    ],
)
def test_files_that_are_no_certificate_are_one_sentence(
    certificate: Path, certfile: str, keyfile: str | None, sentence: str
) -> None:
    folder = certificate.parent
    with pytest.raises(UsageError) as refused:
        Tls(str(folder / certfile), keyfile and str(folder / keyfile)).context()
    assert str(refused.value).startswith(sentence.format(folder))


# The end


@contextmanager
def sending(url: str) -> Iterator[socket.socket]:
    """A client with half a body, whose server knows of it."""
    with socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])), timeout=PATIENCE_S) as client:
        client.sendall(HALF)
        assert get(f"{url}/health").status_code == 200
        yield client


def test_a_body_that_is_not_whole_is_not_waited_for_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "visioncli.access")
    with ExitStack() as stack:
        with listening([HAILO], SETTINGS) as (url,):
            client = stack.enter_context(sending(url))
            begun = time.monotonic()
        assert time.monotonic() - begun < SETTINGS.grace_s / 2
        answer = client.recv(10_000).decode()
    assert answer.startswith("HTTP/1.1 503 ") and answer.endswith('{"error":"Server busy"}')
    assert "\r\nconnection: close\r\n" in answer
    assert [seen.status for seen in exchanges(caplog) if seen.method == "POST"] == [503]  # as it was answered
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])))


def exchanges(caplog: pytest.LogCaptureFixture) -> list[Exchange]:
    found = [record.args[0] for record in caplog.records if isinstance(record.args, tuple) and record.args]
    return [one for one in found if isinstance(one, Exchange)]


def test_what_does_not_end_within_the_grace_is_cut_off() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor(1) as pool, ExitStack() as stack:
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        settings = replace(SETTINGS, grace_s=1, fetch=replace(SETTINGS.fetch, allow_hosts=(place,)))
        with listening([Binding(("hf-endpoint",), 0)], settings) as (url,):
            asked = {"inputs": f"http://{place}/a.png", "parameters": {"mode": "image_embedding"}}
            answer = pool.submit(ask, "POST", url, json=asked)
            fetching = stack.enter_context(silent.accept()[0])
            assert fetching.recv(3) == b"GET"
            begun = time.monotonic()
        assert 0.9 < time.monotonic() - begun < 9  # a fetch may take ten
        assert answer.result().status_code != 200
