"""A whole `serve-compat` process is killed with fifty jobs accepted; the next one finishes each of them, once."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import requests

from tests.server.dialects.serving import sample

JOBS, FIRST = 50, 10  # all jobs, and how many end before the kill
PATIENCE_S = 120


@dataclass
class World(ThreadingHTTPServer):
    """Pictures that come when the gate is open (the first jobs' at once), and a web hook that counts."""

    gate: threading.Event = field(default_factory=threading.Event)
    told: Counter[str] = field(default_factory=Counter)
    daemon_threads = True

    def __post_init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Room)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"


class Room(BaseHTTPRequestHandler):
    server: World

    def do_GET(self) -> None:
        number = int(self.path.strip("/"))
        if number >= FIRST:
            self.server.gate.wait(PATIENCE_S)
        self._answer(sample(101 + number % 2))

    def do_POST(self) -> None:
        job = orjson.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.told[job["id"]] += 1
        self._answer(b"")

    def _answer(self, body: bytes) -> None:
        with suppress(OSError):  # who asked was killed meanwhile
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def server(jobs_db: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    command = [sys.executable, "-m", "visioncli", "serve-compat", "--api", "runpod:0", "--model", "demo", "--offline"]
    command += ["--jobs-db", str(jobs_db), "--allow-host", "127.0.0.1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            base = next(found[0] for line in process.stderr if (found := re.search(r"http://127[\d.]+:\d+", line)))
            threading.Thread(target=process.stderr.read, daemon=True).start()
            yield base + "/v2/siglip", process
        finally:
            process.kill()


def submit(base: str, world: World, number: int) -> str:
    given = {"task": "classify", "image_url": world.url(f"/{number}"), "labels": "cat,dog"}
    job = {"input": given, "webhook": world.url("/hook")}
    answer = requests.post(f"{base}/run", json=job, timeout=60)
    assert answer.status_code == 200, answer.text  # also while the model is still being loaded
    return str(answer.json()["id"])


def states(base: str, ids: list[str]) -> dict[str, Any]:
    found = {}
    for one in ids:
        answer = requests.get(f"{base}/status/{one}", timeout=60)
        assert answer.status_code == 200, answer.text
        found[one] = answer.json()
    return found


def until(look: Any, holds: Any) -> Any:
    end = time.monotonic() + PATIENCE_S
    while not holds(seen := look()):
        assert time.monotonic() < end, seen
        time.sleep(0.05)
    return seen


def completed(found: dict[str, Any]) -> int:
    return sum(job["status"] == "COMPLETED" for job in found.values())


def test_a_killed_server_s_fifty_jobs_complete_once(tmp_path: Path) -> None:
    world = World()
    with world:
        threading.Thread(target=world.serve_forever, daemon=True).start()
        with server(tmp_path / "jobs.sqlite") as (base, process):
            ids = [submit(base, world, number) for number in range(JOBS)]
            before = until(lambda: states(base, ids), lambda found: completed(found) == FIRST)
            until(lambda: world.told, lambda told: len(told) == FIRST)
            time.sleep(0.5)  # that a hook was answered is written down after its answer
            process.kill()
        world.gate.set()
        with server(tmp_path / "jobs.sqlite") as (base, _):
            after = until(lambda: states(base, ids), lambda found: completed(found) == JOBS)
            until(lambda: world.told, lambda told: len(told) == JOBS)
            time.sleep(0.5)
            assert states(base, ids) == after
        world.shutdown()
    assert [after[one]["output"]["top_prediction"]["label"] for one in ids] == ["cat", "dog"] * (JOBS // 2)
    assert {one: after[one] for one in ids[:FIRST]} == {one: before[one] for one in ids[:FIRST]}
    assert world.told == Counter(ids)
