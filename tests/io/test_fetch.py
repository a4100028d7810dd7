import os
import shutil
import socket
import ssl
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import wait
from pathlib import Path
from urllib.parse import quote

import pytest

from tests import misbehaving
from visioncli.errors import FetchError, UsageError
from visioncli.io.address import is_public, parse_url
from visioncli.io.fetch import Fetched, Fetcher, FetchOptions, Unchanged, is_remote, read, stat, trust

ONCE = FetchOptions(retries=0, timeout_s=5)
CAT = b"\xff\xd8 not really a cat"


@pytest.fixture(scope="module")
def server() -> Iterator[misbehaving.Server]:
    with misbehaving.serve({"cat.jpg": CAT, "ünï 猫.jpg": b"a cat abroad", "100%.jpg": b"per cent"}) as running:
        yield running


@pytest.fixture
def fresh() -> Iterator[misbehaving.Server]:
    with misbehaving.serve({"cat.jpg": CAT}) as running:
        yield running


def code_of(uri: bytes, options: FetchOptions = ONCE) -> str:
    with pytest.raises(FetchError) as caught:
        read(uri, options)
    return caught.value.code


# Files


def test_a_file_is_read_with_its_modification_time(tmp_path: Path) -> None:
    path = tmp_path / "cat.jpg"
    path.write_bytes(CAT)
    os.utime(path, ns=(1, 1_600_000_000_123_456_789))
    uri = os.fsencode(path)
    assert read(uri, ONCE) == Fetched(CAT, "1600000000123456789")
    assert stat(uri) == (len(CAT), "1600000000123456789")
    assert not is_remote(uri)


def test_a_path_that_is_not_utf8_is_read(tmp_path: Path) -> None:
    uri = os.fsencode(tmp_path) + b"/caf\xe9.jpg"
    with open(uri, "wb") as file:
        file.write(CAT)
    fetched = read(uri, ONCE)
    assert isinstance(fetched, Fetched)
    assert fetched.data == CAT


def test_a_member_of_a_tar_is_read_at_its_offset(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"first")
    (tmp_path / "b.jpg").write_bytes(CAT)
    with tarfile.open(tmp_path / "all.tar", "w") as tar:
        tar.add(tmp_path / "a.jpg", "a.jpg")
        tar.add(tmp_path / "b.jpg", "b.jpg")
    with tarfile.open(tmp_path / "all.tar") as tar:
        member = tar.getmember("b.jpg")
    uri = b"tar:%d:%d:%s" % (member.offset_data, member.size, os.fsencode(tmp_path / "all.tar"))
    version = str((tmp_path / "all.tar").stat().st_mtime_ns)
    assert read(uri, ONCE) == Fetched(CAT, version)
    assert stat(uri) == (len(CAT), version)


def test_a_member_beyond_the_end_of_its_tar_is_truncated(tmp_path: Path) -> None:
    (tmp_path / "short.tar").write_bytes(b"0123456789")
    assert code_of(b"tar:8:4:" + os.fsencode(tmp_path / "short.tar")) == "fetch_truncated"


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda path: None, "file_not_found"),
        (lambda path: path.write_bytes(b""), "empty_file"),
        (lambda path: path.write_bytes(b"x" * 1001), "too_many_bytes"),
        (lambda path: path.mkdir(), "not_a_file"),
        (lambda path: os.mkfifo(path), "not_a_file"),
        (lambda path: path.symlink_to(path), "file_not_found"),
    ],
    ids=["absent", "empty", "large", "folder", "pipe", "link to itself"],
)
def test_a_file_without_usable_bytes_has_a_code(tmp_path: Path, make, code: str) -> None:
    make(tmp_path / "x.jpg")
    assert code_of(os.fsencode(tmp_path / "x.jpg"), FetchOptions(max_bytes=1000)) == code


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(CAT)
    (tmp_path / "x.jpg").chmod(0)
    assert code_of(os.fsencode(tmp_path / "x.jpg")) == "file_unreadable"


@pytest.mark.parametrize("uri", [b"/tmp/a\0b.jpg", b"/" + b"x" * 5000, b"/dev/null/x.jpg"])
def test_an_impossible_path_is_not_found(uri: bytes) -> None:
    assert code_of(uri) == "file_not_found"
    assert stat(uri) is None


def test_a_file_that_grows_while_it_is_read_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "growing.jpg"
    path.write_bytes(b"\1" * 30_000_000)
    stop = threading.Event()

    def grow() -> None:
        while not stop.is_set():
            with path.open("ab") as file:
                file.write(b"\1")

    def is_noticed() -> bool:
        try:
            read(os.fsencode(path), ONCE)
        except FetchError as error:
            return error.code == "file_changed"
        return False

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        assert any(is_noticed() for _ in range(100))  # it must have grown during one of the readings
    finally:
        stop.set()
        writer.join()


# Answers


def test_a_picture_comes_as_it_is_and_with_an_honest_user_agent(server: misbehaving.Server) -> None:
    assert read(server.url("/ok/cat.jpg"), ONCE) == Fetched(CAT, None)
    headers = server.requests[-1].headers
    assert headers["user-agent"].startswith("visioncli/")
    assert headers["user-agent"].endswith(" (+batch image fetch)")
    assert headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("/404", "http_404"),
        ("/403", "http_403"),
        ("/500", "http_500"),
        ("/206", "http_206"),
        ("/busy", "http_503"),
        ("/truncated", "fetch_truncated"),
        ("/chunked-truncated", "fetch_truncated"),
        ("/reset", "fetch_connection"),
        ("/garbage", "fetch_connection"),
        ("/endless", "too_many_bytes"),
        ("/huge", "too_many_bytes"),
        ("/empty", "empty_file"),
        ("/redirect-loop", "fetch_redirects"),
        ("/redirect-to-nowhere", "fetch_redirects"),
        ("/redirect-to?u=file:///etc/hosts", "fetch_redirects"),
        ("/slow?s=3", "fetch_timeout"),
        ("/dripping", "fetch_timeout"),
    ],
)
def test_each_way_to_misbehave_has_a_code(server: misbehaving.Server, target: str, code: str) -> None:
    options = FetchOptions(retries=0, timeout_s=0.3, max_bytes=10_000_000)
    assert code_of(server.url(target), options) == code


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/html.jpg", misbehaving.PAGE),
        ("/gzipped", b"unasked"),
        ("/ok/ünï 猫.jpg", b"a cat abroad"),
        ("/ok/" + quote("ünï 猫.jpg"), b"a cat abroad"),
        ("/ok/100%.jpg", b"per cent"),
        ("/ok/100%25.jpg", b"per cent"),
        ("/ok/cat.jpg#fragment", CAT),
        ("/redirect-to?u=/ok/cat.jpg", CAT),
        ("/redirect-to?u=/ok/%C3%BCn%C3%AF%20%E7%8C%AB.jpg", b"a cat abroad"),
    ],
)
def test_bodies_come_whatever_the_spelling(server: misbehaving.Server, target: str, body: bytes) -> None:
    assert read(server.url(target), ONCE) == Fetched(body, None)


@pytest.mark.parametrize(
    "uri",
    [
        *[b"http://", b"http:///x.jpg", b"ftp://h/x.jpg", b"s3://b/k", b"http://a b/x", b"http://h:99999/"],
        *[b"http://h:x/", b"http://h:" + b"9" * 5000, "http://h:٣/".encode()],
    ],
)
def test_what_is_no_url_has_a_code(uri: bytes) -> None:
    assert is_remote(uri)
    assert code_of(uri) == "url_invalid"


def test_a_closed_port_and_an_unknown_name_are_connection_failures() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert code_of(b"http://127.0.0.1:%d/" % closed.getsockname()[1]) == "fetch_connection"
    assert code_of(b"http://nobody.invalid/x.jpg") == "fetch_connection"


@pytest.mark.parametrize(
    ("uri", "spelled"),
    [
        (b"HTTP://Example.ORG", "http://example.org/"),
        (b"https://example.org:443/a b", "https://example.org/a%20b"),
        (b"https://example.org/%7e%zz?q=\xc3\xbc#top", "https://example.org/%7e%25zz?q=%C3%BC"),
        (b"https://example.org/caf\xe9", "https://example.org/caf%E9"),
        ("http://bücher.example:81/?a=b".encode(), "http://xn--bcher-kva.example:81/?a=b"),
        (b"http://[::1]:8080/x", "http://[::1]:8080/x"),
        (b"https://u:p@example.org?x={}", "https://example.org/?x=%7B%7D"),
    ],
)
def test_urls_are_quoted_once(uri: bytes, spelled: str) -> None:
    assert str(parse_url(uri)) == spelled
    assert str(parse_url(spelled.encode())) == spelled


# Versions


@pytest.mark.parametrize(
    ("target", "version", "body"),
    [("/etag", misbehaving.ETAG, b"tagged"), ("/last-modified", misbehaving.LAST_MODIFIED, b"dated")],
)
def test_an_answer_seen_before_is_unchanged(server: misbehaving.Server, target: str, version: str, body: bytes) -> None:
    assert read(server.url(target), ONCE) == Fetched(body, version)
    assert read(server.url(target), ONCE, seen=version) == Unchanged(version)
    assert read(server.url(target), ONCE, seen='"v0"') == Fetched(body, version)


def test_the_same_etag_ends_an_answer_before_its_body(server: misbehaving.Server) -> None:
    assert read(server.url("/ignorant-etag"), ONCE, seen=misbehaving.ETAG) == Unchanged(misbehaving.ETAG)


def test_bytes_that_are_not_utf8_show_in_versions_and_in_what_went_wrong(server: misbehaving.Server) -> None:
    version = r'"\xff\xfe"'
    assert read(server.url("/odd/etag"), ONCE) == Fetched(b"odd", version)
    assert read(server.url("/odd/etag"), ONCE, seen=version) == Unchanged(version)
    with pytest.raises(FetchError) as caught:
        read(server.url("/odd/reason"), ONCE)
    assert (caught.value.code, str(caught.value)) == ("http_404", r"the server answered 404 N\xff\xfe")


# Politeness


def test_no_request_comes_before_retry_after_is_over(fresh: misbehaving.Server) -> None:
    """Neither for the URL that was turned away nor for another of the same host."""
    with Fetcher(FetchOptions(retries=1)) as fetcher:
        flaky = fetcher.submit(fresh.url("/flaky"))
        while not fresh.requests:
            time.sleep(0.01)
        time.sleep(0.2)
        other = fetcher.submit(fresh.url("/ok/cat.jpg"))
        assert [flaky.result(), other.result()] == [Fetched(b"at last", None), Fetched(CAT, None)]
    turned_away, *later = sorted(request.at for request in fresh.requests)
    assert len(later) == 2
    assert 1.0 <= later[0] - turned_away < 3.0


def test_retry_after_may_be_a_date(fresh: misbehaving.Server) -> None:
    assert read(fresh.url("/flaky?date=2"), FetchOptions(retries=1)) == Fetched(b"at last", None)
    first, second = fresh.times("/flaky")
    assert 0.9 <= second - first < 4.0  # an HTTP date has whole seconds


def test_a_host_that_asks_for_an_hour_is_left_alone(fresh: misbehaving.Server) -> None:
    with Fetcher(FetchOptions(retries=3)) as fetcher:
        for target in ("/flaky?after=3600", "/ok/cat.jpg"):
            with pytest.raises(FetchError) as caught:
                fetcher.submit(fresh.url(target)).result()
            assert caught.value.code == "http_429"
    assert len(fresh.requests) == 1


def test_no_more_requests_are_under_way_than_a_host_may_get(fresh: misbehaving.Server) -> None:
    with Fetcher(FetchOptions(per_host=3)) as fetcher:
        futures = [fetcher.submit(fresh.url("/slow")) for _ in range(12)]
        wait(futures)
    assert [future.result() for future in futures] == [Fetched(b"slow", None)] * 12
    assert fresh.busiest == 3
    assert fresh.connections == 3


@pytest.mark.parametrize(("target", "requests"), [("/busy", 3), ("/reset", 6), ("/truncated", 3), ("/404", 1)])
def test_only_passing_failures_are_tried_again(fresh: misbehaving.Server, target: str, requests: int) -> None:
    """aiohttp itself repeats a GET once when the connection closes without an answer: it may have been a stale one."""
    code_of(fresh.url(target), FetchOptions(retries=2))
    assert fresh.count(target) == requests


def test_a_second_attempt_may_succeed(fresh: misbehaving.Server) -> None:
    assert read(fresh.url("/once-broken"), FetchOptions(retries=2)) == Fetched(b"slow", None)


def test_credentials_stay_with_their_host(fresh: misbehaving.Server, server: misbehaving.Server) -> None:
    options = FetchOptions(retries=0, headers=(("X-Key", "secret"),))
    user = fresh.url("/redirect-to?u=").replace(b"://", b"://ann:p%40ss@")
    read(user + fresh.url("/ok/cat.jpg"), options)
    here = fresh.requests[-1].headers
    assert (here["x-key"], here["authorization"]) == ("secret", "Basic YW5uOnBAc3M=")  # base64 of ann:p@ss
    read(user + server.url("/ok/cat.jpg"), options)
    assert not {"x-key", "authorization"} & set(server.requests[-1].headers)


def test_leaving_the_fetcher_cancels_what_is_under_way(fresh: misbehaving.Server) -> None:
    begun = time.monotonic()
    with Fetcher(FetchOptions()) as fetcher:
        future = fetcher.submit(fresh.url("/slow?s=30"))
    assert future.cancelled()
    assert time.monotonic() - begun < 5


def test_a_fetcher_reads_files_too(tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").write_bytes(CAT)
    with Fetcher(ONCE) as fetcher:
        fetched = fetcher.submit(os.fsencode(tmp_path / "cat.jpg")).result()
    found = stat(os.fsencode(tmp_path / "cat.jpg"))
    assert found is not None
    assert fetched == Fetched(CAT, found[1])


# The guard


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0x7f.1"])
def test_the_guard_refuses_loopback_by_any_name(server: misbehaving.Server, host: str) -> None:
    before = len(server.requests)
    assert code_of(server.url("/ok/cat.jpg", host), FetchOptions(retries=0, guard=True)) == "url_refused"
    assert len(server.requests) == before


def test_the_guard_checks_each_redirect(server: misbehaving.Server) -> None:
    """`localhost` is let through, the address that it redirects to is not."""
    options = FetchOptions(retries=0, guard=True, allow_hosts=("localhost",))
    assert read(server.url("/ok/cat.jpg", "localhost"), options) == Fetched(CAT, None)
    redirect = server.url("/redirect-to?u=", "localhost") + server.url("/ok/cat.jpg")
    assert code_of(redirect, options) == "url_refused"


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700:4700::1111", True),
        ("10.0.0.1", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("100.100.100.200", False),  # Alibaba's metadata
        ("169.254.169.254", False),  # AWS, Google, Azure metadata
        ("168.63.129.16", False),  # Azure's wire server
        ("fd00:ec2::254", False),  # AWS metadata
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("fe80::1%eth0", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::a00:1", False),  # 10.0.0.1 behind NAT64
        ("64:ff9b::808:808", True),
        ("2002:7f00:1::", False),  # 127.0.0.1 behind 6to4
        ("2001:0:4136:e378:8000:63bf:f7f7:f7f7", False),  # Teredo
        ("192.0.0.192", False),  # Oracle's metadata
        ("192.88.99.1", False),
        ("255.255.255.255", False),
        ("64:ff9b:1::a00:1", False),  # NAT64 of a local prefix
        ("fec0::1", False),  # site-local, given up
        ("::ffff:0:10.0.0.1", False),  # IPv4-translated
        ("::10.0.0.1", False),  # IPv4-compatible
        ("::", False),
        ("3fff::1", False),
        ("4000::1", False),  # not given to anyone
    ],
)
def test_public_addresses_are_told_from_private_ones(address: str, public: bool) -> None:
    assert is_public(address) is public


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout {0} -out {0}.crt"
    extension = ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command.format(path).split(), *extension], check=True, capture_output=True)
    return path


def test_a_certificate_is_checked_against_ca_cert(certificate: Path) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(f"{certificate}.crt", certificate)
    with misbehaving.serve({"cat.jpg": CAT}, tls) as server:
        assert code_of(server.url("/ok/cat.jpg")) == "fetch_tls"
        trusting = FetchOptions(retries=0, ca_cert=f"{certificate}.crt")
        assert read(server.url("/ok/cat.jpg"), trusting) == Fetched(CAT, None)


@pytest.mark.parametrize(("content", "why"), [(None, "No such file"), ("no certificate", "no certificate or crl")])
def test_an_unreadable_ca_cert_is_one_sentence(tmp_path: Path, content: str | None, why: str) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_text(content)
    with pytest.raises(UsageError, match=rf"(?i)--ca-cert {tmp_path}/ca\.pem cannot be read: .*{why}"):
        trust(str(tmp_path / "ca.pem"))
