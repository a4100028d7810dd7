"""Many hosts: what is remembered of them, and what it costs in open files."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import misbehaving
from visioncli.io import hosts, sockets
from visioncli.io.address import Address, parse_url
from visioncli.io.fetch import Fetched, Fetcher, FetchOptions, read, stat
from visioncli.io.hosts import HostRestsError, Hosts

FETCH_MANY = """
import sys
from collections import Counter
from visioncli.io.fetch import Fetcher, FetchOptions
with Fetcher(FetchOptions(retries=0)) as fetcher:
    urls = (b"http://127.0.%d.%d:%d/ok/cat.jpg" % (n // 100, n % 100 + 1, int(sys.argv[1])) for n in range(400))
    futures = [fetcher.submit(url) for url in urls]
    print(Counter(repr(future.exception()) for future in futures))
"""


def address(number: int) -> Address:
    return parse_url(b"http://host%d/" % number)


async def visit(known: Hosts, *numbers: int) -> None:
    for number in numbers:
        async with known.turn(address(number)):
            pass


def test_hosts_that_nobody_waits_for_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "REMEMBERED", 3)

    async def many() -> int:
        known = Hosts(per_host=1)
        await visit(known, *range(100))
        return len(known)

    assert asyncio.run(many()) == 3


def test_a_host_in_use_or_at_rest_is_remembered_when_others_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "REMEMBERED", 3)

    async def many() -> str:
        known = Hosts(per_host=1)
        async with known.turn(address(1)) as resting:
            resting.rest(3600, "http_429")
        async with known.turn(address(0)) as used:
            await visit(known, *range(2, 100))
            waiting = asyncio.create_task(visit(known, 0))
            await asyncio.sleep(0)
            assert (used.users, waiting.done()) == (2, False)  # the same host, and its one slot is taken
        await waiting
        with pytest.raises(HostRestsError) as refusal:
            await visit(known, 1)
        return refusal.value.code

    assert asyncio.run(many()) == "http_429"


def test_any_number_of_hosts_is_fetched_from_with_few_open_files() -> None:
    with misbehaving.serve({"cat.jpg": b"cat"}, address="0.0.0.0") as server:  # all of 127/8 leads here
        limited = ["sh", "-c", 'ulimit -n 64; exec "$@"', "sh", sys.executable, "-c", FETCH_MANY, str(server.port)]
        told = subprocess.run(limited, capture_output=True, text=True, check=True)
    assert told.stdout == "Counter({'None': 400})\n"


def test_no_more_requests_are_under_way_than_there_are_descriptors_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "MOST", 3)
    with misbehaving.serve(address="0.0.0.0") as server, Fetcher(FetchOptions()) as fetcher:
        futures = [fetcher.submit(server.url("/slow", f"127.0.0.{host}")) for host in range(1, 13)]
        assert [future.result() for future in futures] == [Fetched(b"slow", None)] * 12
    assert server.busiest == 3


@contextmanager
def no_more_files() -> Iterator[None]:
    """Nothing can be opened inside the block."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_url_waits_until_a_socket_may_be_opened() -> None:
    with misbehaving.serve({"cat.jpg": b"cat"}) as server, Fetcher(FetchOptions(retries=0)) as fetcher:
        with no_more_files():
            future = fetcher.submit(server.url("/ok/cat.jpg"))
            time.sleep(0.3)
            assert not future.done()
        assert future.result() == Fetched(b"cat", None)


def test_a_file_waits_until_it_may_be_opened(tmp_path: Path) -> None:
    path, found = tmp_path / "cat.jpg", []
    path.write_bytes(b"cat")
    reader = threading.Thread(target=lambda: found.append(read(os.fsencode(path), FetchOptions())))
    with no_more_files():
        reader.start()
        time.sleep(0.3)
        assert found == []
    reader.join()
    facts = stat(os.fsencode(path))
    assert facts is not None
    assert found == [Fetched(b"cat", facts[1])]
