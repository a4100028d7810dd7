"""The RunPod API on a real socket, with the bundled model and jobs in a real file; a model may wait for a gate."""

from __future__ import annotations

import asyncio
import base64
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import requests
import uvicorn

from tests.server.dialects.serving import load_once, sample, settings_of
from visioncli.server import create_app
from visioncli.server.running import at_work
from visioncli.server.service import Service

CAT, DOG = base64.b64encode(sample(101)).decode(), base64.b64encode(sample(102)).decode()
LABELS = "cat,dog,bird,car,person"
EMBED = {"task": "embed", "image_base64": CAT}
CLASSIFY = {"task": "classify", "image_base64": CAT, "labels": LABELS}
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT")


@dataclass
class Place:
    base: str

    def ask(self, method: str, path: str, content: Any = None, **more: Any) -> requests.Response:
        return requests.request(method, self.base + path, json=content, timeout=60, **more)

    def run(self, given: Any, **more: Any) -> str:
        """Return the id of a job with this input."""
        return str(self.ask("POST", "/v2/siglip/run", {"input": given, **more}).json()["id"])

    def status(self, job_id: str) -> Any:
        return self.ask("GET", f"/v2/siglip/status/{job_id}").json()

    def end_of(self, job_id: str) -> Any:
        return self.until(lambda: self.status(job_id), lambda job: job["status"] in ENDED)

    def until(self, look: Callable[[], Any], holds: Callable[[Any], bool]) -> Any:
        until = time.monotonic() + 30
        while not holds(seen := look()):
            assert time.monotonic() < until, seen
            time.sleep(0.02)
        return seen


class Gated:
    """A predictor whose `forward` waits for a gate, at most 20 s."""

    def __init__(self, inner: Any, gate: threading.Event) -> None:
        self._inner, self._gate = inner, gate

    def forward(self, inputs: Any, options: Any) -> Any:
        self._gate.wait(20)
        return self._inner.forward(inputs, options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@contextmanager
def serving(
    jobs_db: Path,
    gate: threading.Event | None = None,
    resolver: Any = None,
    allow_hosts: tuple[str, ...] = ("127.0.0.1",),
    **more: Any,
) -> Iterator[Place]:
    listener = socket.create_server(("127.0.0.1", 0))
    ended, begun = threading.Event(), []

    def load(checkpoint: Any, request: Any) -> dict[str, Any]:
        loaded = load_once(checkpoint, request)
        return loaded if gate is None else {task: Gated(one, gate) for task, one in loaded.items()}

    async def run() -> None:
        settings = settings_of("runpod", **more)
        fetch = replace(settings.fetch, allow_hosts=allow_hosts)
        service = Service(replace(settings, fetch=fetch), load, resolver)
        await service.start(["runpod"])
        app = create_app("runpod", service)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        try:
            async with at_work(app.state.companions, jobs_db, 2.0):
                begun.append(server)
                await server.serve(sockets=[listener])
        finally:
            await service.close()

    def work() -> None:
        try:
            asyncio.run(run())
        finally:
            ended.set()

    thread = threading.Thread(target=work)
    thread.start()
    while not (begun and begun[0].started):
        assert not ended.wait(0.01), "the server did not start"
    try:
        yield Place(f"http://127.0.0.1:{listener.getsockname()[1]}")
    finally:
        if gate is not None:
            gate.set()
        begun[0].should_exit = True
        thread.join()
        listener.close()
