"""`runpod`: the serverless API in front of a SigLIP worker, as runpod-siglip.md and docs.runpod.io document it.

    POST /v2/{endpoint_id}/run  runsync  cancel/{id}  retry/{id}  purge-queue
    GET  /v2/{endpoint_id}/status/{id}  status-sync/{id}  stream/{id}  health  requests

The same routes are there without `/v2/{endpoint_id}`, as the SDK's own local server has them. A job is one of the
endpoint under which it was submitted; every endpoint id exists, and all share one queue and one worker, first in, first
out. /runsync waits 90 s unless `?wait=` says otherwise (what the npm SDK asks for), then answers as /run does; its
client may leave and ask /status later. Labels are padded to the checkpoint's own length (64), scores are softmax.

Deviations from the original, and what its documents leave open:

- `image_url` is fetched from public addresses alone, unless a host is allowed; `image_base64` and `image_data` never.
- Ids end in `-e1`; an error is `{"error": text}`; an unknown or expired job is 404, also where the SDK's local server
  says 200 FAILED. A body that is too large (10 MB /run, 20 MB /runsync) is 400 with an explanation; one that does not
  come in is 408.
- After its end a job is kept 30 minutes (/run), 1 minute (/runsync) or 5 (/runsync?wait=), whatever `policy.ttl` is
  left; `?ttl=` extends that, to 7 days at most. `wait` outside its range counts as the nearest one in it.
- `policy` outside its documented range is 400. `lowPriority` changes nothing: it keeps a job from starting further
  workers, and there is one. `s3Config` is accepted and not read, as by the original worker.
- Web hooks are called for every end: also cancelled, timed out.
- The documented rate limits hold per endpoint and route. 429, too, when --max-jobs wait, or more than 4 GiB of inputs
  are kept; and from /runsync when more requests wait than --max-queue. Of an input only what the worker reads is kept.
- /requests, undocumented in shape, lists the newest 100 jobs; an output of more than 256 KiB is not among them, but in
  /status. A stream is one chunk: the output.
- More than 4,096 labels fail a job. Of a label the first 10,000 characters are looked at, and of those 64 pieces.
- A result whose label was given twice names it twice. A job under which the server ended is begun again.
- A server that starts or stops answers 503.

`--fidelity original` changes nothing here: the original's one difference, labels padded to the longest of a request
(`padding=True`), is not offered, since a label's vector would depend on the labels beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import uuid4

import orjson
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from visioncli.errors import UsageError, VisioncliError
from visioncli.server.auth import bearer, is_allowed
from visioncli.server.bodies import dump_json, json_response, while_connected
from visioncli.server.dialects import runpod_shapes as shapes
from visioncli.server.dialects.runpod_asking import Rates, ask_of, milliseconds
from visioncli.server.dialects.runpod_states import STATES, rendered, workers
from visioncli.server.dialects.runpod_worker import NAME, answer
from visioncli.server.job import Job, Line
from visioncli.server.refusals import Busy, ClientLeft, NotJson, Stopping, TooLarge, TooSlow
from visioncli.server.running import Runner
from visioncli.server.service import Service
from visioncli.server.webhooks import Webhooks

RUN_BYTES = 10 * 10**6  # docs.runpod.io; of /runsync see BODY_BYTES
WAIT_S = 90.0  # of /runsync and /status-sync where nothing is said: as the npm SDK
RUNSYNC_WAIT_S, STATUS_WAIT_S = (1.0, 300.0), (1.0, 90.0)  # docs.runpod.io: least and most
KEEP_S, KEEP_SYNC_S, KEEP_WAITED_S = 1800.0, 60.0, 300.0  # after the end, docs.runpod.io
TTL_S = (0.0, 7 * 86400.0)  # of `?ttl=`
LISTED = 100  # newest jobs of /requests: each may carry its output
BATCH = 8  # while no model is loaded: the runtime's own choice on a CPU

STATUS: dict[type[Exception], int] = {
    NotJson: 400,
    UsageError: 400,
    TooLarge: 400,
    TooSlow: 408,
    Stopping: 503,
    Busy: 429,
    ClientLeft: 499,  # seen by the access log alone
    VisioncliError: 500,
}


@dataclass(frozen=True, slots=True)
class _Desk:
    service: Service
    runner: Runner
    rates: Rates


Answer = Callable[[_Desk, Request], Coroutine[Any, Any, Any]]


def create_app(service: Service) -> FastAPI:
    """Return the dialect's app. Its companions run its jobs and call their web hooks."""
    app = FastAPI(title="RunPod serverless", version="2", docs_url=None, redoc_url=None, redirect_slashes=False)
    line = Line(service.settings.max_jobs)
    runner = Runner(NAME, partial(answer, service), partial(_jobs_at_once, service), line)
    fetch = service.settings.fetch_of(NAME)
    webhooks = Webhooks(NAME, lambda job: dump_json(rendered(job)), fetch, resolver=service.resolver)
    runner.on_end.append(webhooks.look)
    app.state.companions = [runner, webhooks]
    desk = _Desk(service, runner, Rates())
    for path, route in ROUTES.items():
        answer_it = _endpoint(desk, path.split("/")[1], route.answer)
        docs = shapes.described("/v2/{endpoint_id}" + path, route.shape, route.query, route.has_body)
        for method in route.methods:
            name = f"{route.answer.__name__}_{method.lower()}"
            app.add_api_route("/v2/{endpoint_id}" + path, answer_it, methods=[method], name=name, **docs)
        app.add_api_route(path, answer_it, methods=[*route.methods], include_in_schema=False)
    for kind in (VisioncliError, HTTPException, Exception):
        app.add_exception_handler(kind, _refused)
    return app


async def _jobs_at_once(service: Service) -> int:
    """One batch on the device, and one being fetched and decoded behind it; known when the models are."""
    await service.started.wait()
    info = service.info(NAME, "classify")
    return 2 * (service.settings.max_batch or (BATCH if info is None else info.batch_size))


def _endpoint(desk: _Desk, route: str, answer: Answer) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    async def endpoint(request: Request) -> Response:
        given = request.headers.get("authorization", "")
        if not is_allowed(desk.service.settings.api_keys, [*bearer(given), given]):
            return json_response({"error": "Unauthorized"}, 401, {"WWW-Authenticate": "Bearer"})
        desk.rates.count(route, _endpoint_of(request))
        return json_response(await answer(desk, request))

    return endpoint


# Routes


async def run(desk: _Desk, request: Request) -> Any:
    asked = await ask_of(request, desk.service.settings.max_body_bytes or RUN_BYTES)
    job = await desk.runner.submit(asked.job(f"{uuid4()}-e1", _endpoint_of(request), KEEP_S))
    return {"id": job.id, "status": STATES[job.status]}


async def runsync(desk: _Desk, request: Request) -> Any:
    wait_s = milliseconds(request, "wait", RUNSYNC_WAIT_S)
    until_s = min(wait_s or WAIT_S, desk.service.settings.deadline_s)
    keep_s = KEEP_SYNC_S if wait_s is None else KEEP_WAITED_S
    asked = await ask_of(request, desk.service.settings.body_of(NAME))
    async with desk.service.admitted(NAME, is_timed=False):
        job = await desk.runner.submit(asked.job(f"sync-{uuid4()}-e1", _endpoint_of(request), keep_s))
        found = await while_connected(request, desk.runner.wait(job.id, until_s))
    if found is None:
        raise HTTPException(404, f"job {job.id} was removed before it ended")
    return await _rendered(desk, found) if found.has_ended else {"id": job.id, "status": STATES[found.status]}


async def status(desk: _Desk, request: Request) -> Any:
    job = await _job(desk, request)
    ttl_s = milliseconds(request, "ttl", TTL_S)
    if ttl_s is not None:
        await desk.runner.store.extend(NAME, job.id, ttl_s)
    return await _rendered(desk, job)


async def status_sync(desk: _Desk, request: Request) -> Any:
    wait_s = milliseconds(request, "wait", STATUS_WAIT_S) or WAIT_S
    job = await _job(desk, request)
    await while_connected(request, desk.runner.wait(job.id, wait_s))
    return await _rendered(desk, await _job(desk, request))


async def stream(desk: _Desk, request: Request) -> Any:
    job = await _job(desk, request)
    is_new = job.result_bytes is not None and await desk.runner.store.deliver(NAME, job.id)
    output = (await desk.runner.store.whole(job)).result if is_new else None
    chunks = [] if output is None else [{"output": orjson.Fragment(output)}]
    return {"status": STATES[job.status], "stream": chunks}


async def cancel(desk: _Desk, request: Request) -> Any:
    job = await _job(desk, request)
    await desk.runner.cancel(job.id)
    return await _rendered(desk, await _job(desk, request))


async def retry(desk: _Desk, request: Request) -> Any:
    job = await _job(desk, request)
    if not await desk.runner.retry(job.id):
        raise UsageError(f"only a failed or timed out job can be retried; this one is {STATES[job.status]}")
    return {"id": job.id, "status": "IN_QUEUE"}


async def purge_queue(desk: _Desk, request: Request) -> Any:
    return {"removed": await desk.runner.purge(_endpoint_of(request)), "status": "completed"}


async def health(desk: _Desk, request: Request) -> Any:
    counts = await desk.runner.store.counts(NAME, _endpoint_of(request))
    names = {"completed": "completed", "failed": "failed", "inProgress": "running", "inQueue": "queued"}
    jobs = {shown: counts[name] for shown, name in names.items()} | {"retried": counts["retried"]}
    return {"jobs": jobs, "workers": workers(desk.service, desk.runner)}


async def requests(desk: _Desk, request: Request) -> Any:
    jobs = await desk.runner.store.newest(NAME, _endpoint_of(request), LISTED)
    return {"requests": [rendered(job) for job in jobs]}


@dataclass(frozen=True, slots=True)
class _Route:
    answer: Answer
    shape: type[BaseModel]
    methods: tuple[str, ...] = ("POST",)
    query: tuple[str, ...] = ()
    has_body: bool = False


ROUTES = {
    "/run": _Route(run, shapes.Accepted, has_body=True),
    "/runsync": _Route(runsync, shapes.JobState, query=("wait",), has_body=True),
    "/status/{job_id}": _Route(status, shapes.JobState, ("GET", "POST"), ("ttl",)),
    "/status-sync/{job_id}": _Route(status_sync, shapes.JobState, ("GET",), ("wait",)),
    "/stream/{job_id}": _Route(stream, shapes.Stream, ("GET", "POST")),
    "/cancel/{job_id}": _Route(cancel, shapes.JobState),
    "/retry/{job_id}": _Route(retry, shapes.Accepted),
    "/purge-queue": _Route(purge_queue, shapes.Purged),
    "/health": _Route(health, shapes.Health, ("GET",)),
    "/requests": _Route(requests, shapes.JobList, ("GET",)),
}


def _endpoint_of(request: Request) -> str:
    return str(request.path_params.get("endpoint_id", ""))


async def _job(desk: _Desk, request: Request) -> Job:
    """The job of this endpoint that the path names; 404 without one."""
    job_id = request.path_params["job_id"]
    job = await desk.runner.store.get(NAME, job_id)
    if job is None or job.kind != _endpoint_of(request):
        raise HTTPException(404, f"job {job_id} was not found")
    return job


async def _rendered(desk: _Desk, job: Job) -> dict[str, Any]:
    return rendered(await desk.runner.store.whole(job))


async def _refused(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        return json_response({"error": error.detail}, error.status_code, error.headers)
    status = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)
    words = str(error) if isinstance(error, VisioncliError) else "Internal server error"
    headers = {"Retry-After": str(error.retry_after_s)} if isinstance(error, Busy) else None
    return json_response({"error": words}, status, headers)
