"""Two hundred connections for a minute, one request in twenty hostile: what breaks, what health and memory say.

The bundled SigLIP behind hf-endpoint. Hostile requests are truncated, nested too deep, of wrong types, bombs, HTML
called an image, bodies over the cap, and clients that leave in the middle of a body or before their answer; and of each
of these HEAVY in all: bodies of twenty million empty lists, endless headers, large bodies that stop a byte before their
end.
Printed: answers by status, the slowest `/health` (asked by a process of its own: the two hundred clients' loop would
measure itself), and the server's resident memory before and after.

Usage: python -m tests.benchmarks.soak [--seconds 60] [--connections 200] [--share 0.05]
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import random
import struct
import tempfile
import time
import zlib
from collections import Counter
from contextlib import suppress
from http.client import HTTPConnection
from multiprocessing import Process, Queue
from pathlib import Path

import aiohttp

from tests.benchmarks.serve import draw, serving

MODE = {"mode": "image_embedding"}
HEAVY = 20  # times each: their senders alone would take the machine
HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


def bomb() -> bytes:
    """A PNG that says it has 60,000 × 60,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def asked(data: bytes) -> bytes:
    return json.dumps({"inputs": base64.b64encode(data).decode(), "parameters": MODE}).encode()


def hostile_bodies(good: bytes) -> list[bytes]:
    return [
        asked(good)[:200],
        b"[" * 100_000,
        b'{"inputs": ' + b'{"a":' * 2000 + b"1" + b"}" * 2000 + b"}",
        b'{"inputs": 1e999, "parameters": []}',
        b'{"inputs": [null, {}, [], 7], "parameters": {"mode": 7}}',
        b"\xff\xfe\x00",
        b"",
        asked(bomb()),
        asked(b"<html>not found</html>" * 50),
        asked(good[: len(good) // 2]),
        b'{"inputs": "' + b"A" * 70 * 2**20 + b'"}',
        json.dumps({"inputs": "http://169.254.169.254/latest", "parameters": MODE}).encode(),
        json.dumps({"inputs": ["x"] * 5000, "parameters": {"mode": "similarity"}}).encode(),
    ]


class Soak:
    def __init__(self, address: str, good: list[bytes], share: float) -> None:
        self.address, self.share = address, share
        self.good, self.hostile = [asked(data) for data in good], hostile_bodies(good[0])
        self.statuses: Counter[str] = Counter()
        self.heavy = [each for each in (self.many_values, self.endless_head, self.stall) for _ in range(HEAVY)]

    async def client(self, until: float, rng: random.Random) -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
            while time.monotonic() < until:
                is_hostile = rng.random() < self.share
                try:
                    await (self.hurt(session, rng) if is_hostile else self.ask(session, rng.choice(self.good), "good"))
                except (aiohttp.ClientError, TimeoutError, OSError) as error:
                    self.statuses[f"{'hostile' if is_hostile else 'good'} {type(error).__name__}"] += 1
                    await asyncio.sleep(0.05)

    async def ask(self, session: aiohttp.ClientSession, body: bytes, kind: str, timeout_s: float = 60) -> None:
        headers = {"Content-Type": "application/json"}
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        async with session.post(self.address, data=body, headers=headers, timeout=timeout) as answer:
            await answer.read()
            self.statuses[f"{kind} {answer.status}"] += 1
            if answer.status == 503:
                await asyncio.sleep(float(answer.headers["Retry-After"]))

    async def hurt(self, session: aiohttp.ClientSession, rng: random.Random) -> None:
        if self.share and self.heavy and rng.random() < 0.2:
            return await self.heavy.pop(rng.randrange(len(self.heavy)))(session)
        how = rng.randrange(len(self.hostile) + 2)
        if how < len(self.hostile):
            return await self.ask(session, self.hostile[how], "hostile")
        if how == len(self.hostile):
            return await self.ask(session, rng.choice(self.good), "left", timeout_s=0.005)
        return await self.leave_in_the_middle()

    async def leave_in_the_middle(self) -> None:
        _, writer = await self.connect()
        writer.write(HEAD + b"Content-Length: 9999\r\n\r\n{")
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.close()
        self.statuses["hostile left"] += 1

    async def many_values(self, session: aiohttp.ClientSession) -> None:
        await self.ask(session, b'{"inputs": [' + b"[]," * 20_000_000 + b"[]]}", "many values")

    async def endless_head(self, session: aiohttp.ClientSession) -> None:
        reader, writer = await self.connect()
        writer.write(HEAD + b"X-A: ")
        with suppress(ConnectionError):
            for _ in range(100):
                writer.write(b"a" * 2**20)
                await writer.drain()
        await self.count_answer("endless head", reader, writer)

    async def stall(self, session: aiohttp.ClientSession) -> None:
        reader, writer = await self.connect()
        writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % (16 * 2**20 + 1) + b" " * 16 * 2**20)
        with suppress(ConnectionError):
            await writer.drain()
        await self.count_answer("stalled", reader, writer)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = self.address.removeprefix("http://").split(":")
        return await asyncio.open_connection(host, int(port))

    async def count_answer(self, kind: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = b""
        with suppress(ConnectionError):
            said = await reader.readline()
        self.statuses[f"{kind} {said.split()[1].decode() if said else 'closed'}"] += 1
        writer.close()

    async def run(self, seconds: float, connections: int) -> None:
        until = time.monotonic() + seconds
        clients = [self.client(until, random.Random(number)) for number in range(connections)]
        await asyncio.gather(*clients)


def watch(address: str, seconds: float, found: Queue[list[tuple[int, float]]]) -> None:
    """Ask for health twenty times a second on one connection: (status, seconds) of each answer."""
    host, port = address.removeprefix("http://").split(":")
    connection, until, answers = HTTPConnection(host, int(port), timeout=60), time.monotonic() + seconds, []
    while time.monotonic() < until:
        began = time.monotonic()
        connection.request("GET", "/health")
        answer = connection.getresponse()
        answer.read()
        answers.append((answer.status, time.monotonic() - began))
        time.sleep(0.05)
    found.put(answers)


def resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def soak(seconds: float, connections: int, share: float) -> None:
    with tempfile.TemporaryDirectory() as place, serving("demo") as (address, process):
        good = [path.read_bytes() for path in draw(Path(place), 64)]
        asyncio.run(Soak(address, good, 0.0).run(5, connections))  # warm: threads, buffers and caches are there
        time.sleep(3)
        before = resident_mb(process.pid)
        storm = Soak(address, good, share)
        found: Queue[list[tuple[int, float]]] = Queue()
        watcher = Process(target=watch, args=(address, seconds, found))
        watcher.start()
        asyncio.run(storm.run(seconds, connections))
        health = found.get(timeout=60)
        time.sleep(5)
        after = resident_mb(process.pid)
    answered = ", ".join(f"{kind} {count:,}" for kind, count in sorted(storm.statuses.items()))
    slowest = sorted(each for _, each in health)
    print(f"{connections} connections, {seconds:g} s: {answered}")
    bad, worst, most = sum(s != 200 for s, _ in health), slowest[-1] * 1e3, slowest[len(slowest) * 99 // 100] * 1e3
    print(f"/health: {len(health)} answers, {bad} not 200; slowest {worst:.0f} ms, 99 % within {most:.0f} ms")
    print(f"resident: {before:.0f} MB before, {after:.0f} MB after: {after / before:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--share", type=float, default=0.05)
    flags = parser.parse_args()
    soak(flags.seconds, flags.connections, flags.share)


if __name__ == "__main__":
    main()
