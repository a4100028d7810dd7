"""The Vision Models API on a real socket, with the bundled models and jobs in a real file."""

from __future__ import annotations

import asyncio
import base64
import functools
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import requests
import uvicorn

from tests.server.dialects.serving import ROOT, settings_of
from visioncli.models import Predictor, load_all
from visioncli.models.runtime import RuntimeRequest
from visioncli.provenance import Checkpoint
from visioncli.server import create_app
from visioncli.server.running import at_work
from visioncli.server.service import Service

SCENES = ROOT / "sample_data/scenes"
DIALECT = "vision-models"


def scene(number: int) -> bytes:
    return (SCENES / f"{number:02d}.jpg").read_bytes()


def text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


PICTURE = text(scene(1))
SAM3 = {"images": [PICTURE], "prompts": ["truck"]}  # grounding-dino's, too
DEPTH = {"images": [PICTURE], "export_format": "npz"}


@functools.cache
def load_once(checkpoint: Checkpoint, request: RuntimeRequest) -> dict[str, Predictor[Any, Any]]:
    """Several servers of one test run share a model; a device that is not there is refused each time."""
    return load_all(checkpoint, request)


@contextmanager
def serving(jobs_db: Path, **settings: Any) -> Iterator[str]:
    """Yield the base URL of a server that loads its models when they are asked."""
    listener = socket.create_server(("127.0.0.1", 0))
    ended, begun = threading.Event(), []

    async def run() -> None:
        service = Service(settings_of(DIALECT, **settings), load_once)
        await service.start([DIALECT])
        app = create_app(DIALECT, service)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        begun.append(server)
        try:
            async with at_work(app.state.companions, jobs_db, 2.0):
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
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        begun[0].should_exit = True
        thread.join()
        listener.close()


class Client:
    """Posts JSON, and has what comes back."""

    def __init__(self, url: str, **headers: str) -> None:
        self.url, self.headers = url, headers
        self.post = partial(self.ask, "POST")
        self.get = partial(self.ask, "GET")

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """Return (status, JSON)."""
        response = requests.request(method, self.url + path, json=body, headers=self.headers, timeout=60, **more)
        return response.status_code, response.json()

    def answer(self, path: str, body: Any) -> Any:
        status, found = self.post(path, body)
        assert status == 200, found
        return found
