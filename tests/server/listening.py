"""A server as `serve-compat` runs it, and any app behind its middleware, each in a thread on a free port.

with listening([Binding(("hailo-clip",), 0)], ServeSettings(preload=False)) as (url,):
    get(f"{url}/health")
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn
from starlette.types import ASGIApp

from visioncli.server.config import Binding
from visioncli.server.listen import Tls, listen, open_doors
from visioncli.server.settings import ServeSettings
from visioncli.server.wire import Wire

PATIENCE_S = 300.0  # on a machine with other work


def ask(method: str, url: str, **more: Any) -> httpx.Response:
    return httpx.request(method, url, **{"timeout": PATIENCE_S, **more})


def get(url: str, **more: Any) -> httpx.Response:
    return ask("GET", url, **more)


@contextmanager
def listening(bindings: Sequence[Binding], settings: ServeSettings, tls: Tls | None = None) -> Iterator[list[str]]:
    """Yield an address for each binding when all is loaded; what the server raised is raised at the end."""
    context = tls and tls.context()
    with open_doors(bindings) as doors, _in_thread(lambda stop: listen(doors, settings, stop, context)) as running:
        urls = [f"{'https' if tls else 'http'}://127.0.0.1:{door.port}" for door in doors]
        while not running.done() and "visioncli_ready 1.0" not in get(f"{urls[0]}/metrics", verify=False).text:
            time.sleep(0.01)
        yield urls


@contextmanager
def on_a_port(app: ASGIApp) -> Iterator[str]:
    """Yield the address of an app."""
    with open_doors([Binding(("hailo-clip",), 0)]) as (door,):
        server = uvicorn.Server(uvicorn.Config(app, http=Wire, log_config=None, lifespan="off", access_log=False))

        async def serve(stop: asyncio.Event) -> None:
            serving = asyncio.create_task(server.serve([door.socket]))
            await stop.wait()
            server.should_exit = True
            await serving

        with _in_thread(serve):
            yield f"http://127.0.0.1:{door.port}"


@contextmanager
def _in_thread(work: Callable[[asyncio.Event], Awaitable[None]]) -> Iterator[Future[None]]:
    begun, stopping = threading.Event(), list[Callable[[], object]]()

    async def main() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        stopping.append(lambda: loop.call_soon_threadsafe(stop.set))
        begun.set()
        await work(stop)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(lambda: asyncio.run(main()))
        begun.wait()
        try:
            yield running
        finally:
            if not running.done():
                stopping[0]()
        running.result(PATIENCE_S)
