"""Ports, and how they open and close: sockets before anything is loaded, TLS, signals, the end within --grace.

One uvicorn server a port, all in one event loop and over one Service. What is said at the start is in `greeting`.
Knows nothing of models, or of what the apps answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import importlib.util
import logging
import math
import os
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from visioncli.errors import UsageError
from visioncli.io.fetch import trust
from visioncli.server import DIALECTS, create_app, greeting
from visioncli.server.access import observed, write_line
from visioncli.server.config import Binding
from visioncli.server.intake import INTAKE_BYTES, Intake
from visioncli.server.metrics import Metrics, with_metrics
from visioncli.server.running import at_work, stop_all
from visioncli.server.service import Service
from visioncli.server.settings import ServeSettings
from visioncli.server.union import UNION, one_port
from visioncli.server.wire import Wire

log = logging.getLogger("visioncli.server")

BACKLOG = 2048  # connections that wait to be accepted; uvicorn's own figure
KEEP_ALIVE_S = 75  # idle; more than a load balancer's usual 60, so that it never writes to a connection just closed
THREADS = 64  # for what would stop the loop: names, long JSON, the disk
LINGER_S = 2.0  # for threads that nothing can end, once everything else has


@dataclass(frozen=True, slots=True)
class Tls:
    certfile: str
    keyfile: str | None = None  # None: the key is in certfile, too

    def context(self) -> ssl.SSLContext:
        """Read the files. Raises UsageError."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(self.certfile, self.keyfile, password="")  # else a locked key asks the terminal
        except ssl.SSLError as error:
            files = f"{self.certfile} and {self.keyfile} hold" if self.keyfile else f"{self.certfile} holds"
            raise UsageError(f"--certfile: {files} no certificate with its key: {error.reason or error}") from error
        except OSError as error:
            missing = next(
                (one for one in (self.certfile, self.keyfile) if one and not os.access(one, os.R_OK)), self.certfile
            )
            raise UsageError(f"--certfile, --keyfile: {missing} cannot be read: {error.strerror}") from error
        return context


@dataclass(frozen=True, slots=True)
class Door:
    """A binding whose port is ours; `port` is the true one."""

    binding: Binding
    socket: socket.socket
    port: int


# Ports


@contextlib.contextmanager
def open_doors(bindings: Sequence[Binding]) -> Iterator[list[Door]]:
    """Take every port, and give them back at the end. Raises UsageError where one cannot be had."""
    with contextlib.ExitStack() as stack:
        yield [_open(binding, stack) for binding in bindings]


def _open(binding: Binding, stack: contextlib.ExitStack) -> Door:
    try:
        found = socket.getaddrinfo(binding.host, binding.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        # IPv4 first where a name has both: `localhost` then is what was written for 127.0.0.1.
        family, _, _, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
        dual = family == socket.AF_INET6 and binding.host == "::" and socket.has_dualstack_ipv6()
        taken = socket.create_server(address[:2], family=family, backlog=BACKLOG, dualstack_ipv6=dual)
    except (socket.gaierror, UnicodeError) as error:  # UnicodeError: a name that DNS could not hold
        raise UsageError(f"--host: {binding.host!r} is no address of this machine: {error}") from error
    except OSError as error:
        raise UsageError(_why_not(binding, error)) from error
    stack.callback(taken.close)
    return Door(binding, taken, taken.getsockname()[1])


def _why_not(binding: Binding, error: OSError) -> str:
    one = len(binding.dialects) == 1
    other = f"--api {binding.dialects[0]}:{binding.port + 1}" if one else f"--port {binding.port + 1}"
    reasons = {
        errno.EADDRINUSE: f"port {binding.port} of {binding.host} is taken by another program; choose another: {other}",
        errno.EACCES: f"port {binding.port} needs privileges that this user lacks; choose one above 1023: "
        + (f"--api {binding.dialects[0]}:8000" if one else "--port 8000"),
        errno.EADDRNOTAVAIL: f"--host: {binding.host} is no address of this machine",
    }
    return reasons.get(
        error.errno or 0, f"port {binding.port} of {binding.host} cannot be listened on: {error.strerror}"
    )


# Servers


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: they are handled once, for all ports."""
        yield


def serve(bindings: Sequence[Binding], settings: ServeSettings, tls: Tls | None = None) -> None:
    """Answer until SIGINT or SIGTERM, then finish what runs within `settings.grace_s`; a second signal ends at once.

    Takes the process over: it ends soon after, whatever its threads do. Raises UsageError for files and ports that
    cannot be had, and what loading a model raises.
    """
    context = None if tls is None else tls.context()
    trust(settings.fetch.ca_cert)  # now: the first URL may come after hours
    with open_doors(bindings) as doors, asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_until_signalled(doors, settings, context))
        _end_within(LINGER_S)


async def _until_signalled(doors: Sequence[Door], settings: ServeSettings, tls: ssl.SSLContext | None) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def handle(number: int) -> None:
        if stop.is_set():
            os._exit(128 + number)
        log.info("stopping; once more to leave at once")
        _end_within(settings.grace_s + LINGER_S)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, handle, number)
    await listen(doors, settings, stop, tls)


async def listen(
    doors: Sequence[Door], settings: ServeSettings, stop: asyncio.Event, tls: ssl.SSLContext | None = None
) -> None:
    """Answer on every door until `stop` is set: health and jobs at once, questions when the models are loaded.

    Then refuses what waits, finishes what runs, and closes the doors. Raises what loading a model or opening the
    jobs' store raises.
    """
    # Python's own has a few threads, which names that are never resolved could keep from all else.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS, "visioncli-aside"))
    service = Service(settings)
    intake = Intake(max(INTAKE_BYTES, 2 * max(map(settings.body_of, DIALECTS))), settings.deadline_s)
    dialects = list(dict.fromkeys(name for door in doors for name in door.binding.dialects))
    apps = {name: _with_origins(create_app(name, service), settings.cors_origins) for name in dialects}
    companions = [each for app in apps.values() for each in getattr(app.state, "companions", ())]
    servers = [_server(app, tls, settings.grace_s) for app in _ports(doors, apps, service, intake)]
    async with at_work(companions, settings.jobs_db, settings.grace_s):  # before anybody can ask how a job stands
        greeting.opened([(door.binding, door.port) for door in doors], settings, is_tls=tls is not None)
        loading, stopped = asyncio.create_task(_load(service, dialects)), asyncio.create_task(stop.wait())
        serving = [asyncio.create_task(each.serve([door.socket])) for each, door in zip(servers, doors, strict=True)]
        try:
            done, _ = await asyncio.wait([loading, stopped, *serving], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for server in servers:
                server.should_exit = True
            intake.stop()
            loading.cancel()
            stopped.cancel()
            await asyncio.gather(service.close(), stop_all(companions, settings.grace_s))
            await asyncio.wait([loading, stopped, *serving])


async def _load(service: Service, dialects: Sequence[str]) -> None:
    """Load the models and say so; ends only by an error."""
    await service.start(dialects)
    greeting.loaded(service, dialects)
    await asyncio.Event().wait()


def _with_origins(app: FastAPI, origins: Sequence[str] | None) -> FastAPI:
    """Let browsers' pages of these origins ask, where the API has no rule of its own."""
    own = any(isinstance(each.cls, type) and issubclass(each.cls, CORSMiddleware) for each in app.user_middleware)
    if origins and not own:
        app.add_middleware(CORSMiddleware, allow_origins=list(origins), allow_methods=["*"], allow_headers=["*"])
    return app


def _ports(doors: Sequence[Door], apps: Mapping[str, FastAPI], service: Service, intake: Intake) -> list[ASGIApp]:
    """What answers behind each door; metrics and the bounds on bodies are of all doors together."""
    metrics = Metrics(service, list(apps))
    return [intake.bounded(_app(door.binding, apps, metrics)) for door in doors]


def _app(binding: Binding, apps: Mapping[str, FastAPI], metrics: Metrics) -> ASGIApp:
    """What answers on one port: its API, or all of its APIs; seen by metrics and log."""
    own = {name: apps[name] for name in binding.dialects}
    several = len(own) > 1
    app = one_port(own) if several else next(iter(own.values()))
    return observed(with_metrics(app, metrics), UNION if several else binding.dialects[0], [metrics.saw, write_line])


def _server(app: ASGIApp, tls: ssl.SSLContext | None, grace_s: float) -> _Server:
    config = uvicorn.Config(
        app,
        http=Wire,
        ws="none",
        lifespan="off",  # start-up is the Service's
        log_config=None,
        access_log=False,  # ours, see `access`
        server_header=False,
        proxy_headers=False,  # else whoever is on this machine says whose address is logged, and how it is spelled
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=math.ceil(grace_s),
        ssl_context_factory=None if tls is None else lambda config, default: tls,
    )
    return _Server(config)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's where it is installed, else Python's own."""
    if importlib.util.find_spec("uvloop") is None:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("uvloop").new_event_loop
    return factory


def _end_within(seconds: float) -> None:
    """A thread that waits for a device or a download cannot be ended; the process can."""
    timer = threading.Timer(seconds, os._exit, (0,))
    timer.daemon = True
    timer.start()
