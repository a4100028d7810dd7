"""Images per second from a server that answers 20 KB after 50 ms: our client (aiohttp) against httpx.

    python tests/benchmarks/fetch.py [--requests 2000] [--per-host 64]

The server is a process of its own; client and server share the machine. Prints one line per client and round.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import wait
from multiprocessing.connection import Connection

from visioncli.io.fetch import Fetched, Fetcher, FetchOptions

BODY = os.urandom(20_000)
DELAY_S = 0.05
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(BODY)


class SlowAnswers(asyncio.Protocol):
    """The least work that a server can do, so that the client is what is measured."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        for _ in range(data.count(b"\r\n\r\n")):
            asyncio.get_running_loop().call_later(DELAY_S, self.transport.write, HEAD + BODY)


def serve(port: Connection) -> None:
    async def forever() -> None:
        server = await asyncio.get_running_loop().create_server(SlowAnswers, "127.0.0.1", 0)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(forever())


def with_fetcher(urls: list[str], per_host: int) -> int:
    with Fetcher(FetchOptions(per_host=per_host)) as fetcher:
        futures = [fetcher.submit(url.encode()) for url in urls]
        wait(futures)
        return sum(isinstance(future.result(), Fetched) for future in futures)


def with_httpx(urls: list[str], per_host: int) -> int:
    """The rejected client at its best: one pool, no retries, no guard, no caps."""
    import httpx

    async def fetch_all() -> int:
        limits = httpx.Limits(max_connections=per_host, max_keepalive_connections=per_host)
        slots = asyncio.Semaphore(per_host)

        async def fetch(client: httpx.AsyncClient, url: str) -> bool:
            async with slots:
                return len((await client.get(url)).content) == len(BODY)

        async with httpx.AsyncClient(limits=limits, timeout=30, trust_env=False) as client:
            return sum(await asyncio.gather(*(fetch(client, url) for url in urls)))

    return asyncio.run(fetch_all())


def measure(name: str, fetch: Callable[[list[str], int], int], urls: list[str], per_host: int) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    fetched = fetch(urls, per_host)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{name:8} {fetched} images, {fetched / wall:6.0f} images/s, {1e3 * cpu / fetched:.2f} ms CPU per image")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--per-host", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    server.start()
    urls = [f"http://127.0.0.1:{here.recv()}/cat.jpg"] * options.requests
    for _ in range(options.rounds):
        measure("aiohttp", with_fetcher, urls, options.per_host)
        measure("httpx", with_httpx, urls, options.per_host)
    server.terminate()


if __name__ == "__main__":
    main()
