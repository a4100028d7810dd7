"""The Vision Models API's jobs: the synchronous questions, answered later, over the store that outlives the server.

Knows nothing of SQLite or of the models; of two jobs at once (`CONCURRENT`) the service makes batches as of requests.
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

import orjson
from fastapi import Body, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from visioncli.errors import RowError
from visioncli.server.bodies import HOLE, dump_json, dump_long_json, filled_response, json_response, parse_json
from visioncli.server.dialects.vision_models import schemas
from visioncli.server.dialects.vision_models.door import Operation, sentence
from visioncli.server.dialects.vision_models.inference import INFERENCES, infer, planned
from visioncli.server.dialects.vision_models.loading import DIALECT
from visioncli.server.job import Job, Line
from visioncli.server.running import Runner
from visioncli.server.service import Service

CONCURRENT = 2  # "Default is 2", vision-models.md
LISTED = 100  # newest jobs: each may carry megabytes of masks
TIME_LIMIT_S = 3600.0  # of one job; the original has none, and a job that hangs would take a place for ever
TTL_S = 30 * 86400.0  # an unfinished job; the original forgets only with its process
KEEP_S = 7 * 86400.0  # a finished one

STATUSES = {  # of the store -> the document's
    "queued": "pending",
    "running": "running",
    "completed": "completed",
    "failed": "failed",
    "cancelled": "failed",
    "timed_out": "failed",
}
BODY = Body(
    description="The body of the model's synchronous route",
    json_schema_extra={
        "anyOf": [{"$ref": f"#/components/schemas/{each.request.__name__}"} for each in INFERENCES.values()]
    },
)


def add_runner(app: FastAPI, service: Service) -> None:
    """Give an app who runs its jobs, to be started and stopped with the server."""
    line = Line(service.settings.max_jobs)
    app.state.jobs = Runner(DIALECT, partial(_run, service), partial(_jobs_at_once, service), line)
    app.state.companions = [app.state.jobs]


async def _jobs_at_once(service: Service) -> int:
    await service.started.wait()
    return CONCURRENT


async def submit_job(model_type: str, asked: Annotated[dict[str, Any], BODY], request: Request) -> Response:
    """Queue what a synchronous route would be asked; `model_type` may be spelled with hyphens, as those routes are."""
    kind = model_type.replace("-", "_")
    if kind not in INFERENCES:
        raise HTTPException(400, f"Invalid model type: {model_type}")
    try:
        parsed = _parsed(kind, asked)
        await planned(kind, parsed)
    except ValidationError as error:
        told = [{**each, "loc": ("body", *each["loc"])} for each in error.errors(include_url=False)]
        raise RequestValidationError(told) from error
    job = Job(
        id=str(uuid.uuid4()),
        api=DIALECT,
        kind=kind,
        payload=dump_json(parsed.model_dump(exclude_unset=True)),  # nothing that no model reads
        time_limit_s=TIME_LIMIT_S,
        ttl_s=TTL_S,
        keep_s=KEEP_S,
    )
    return json_response(described(await _jobs(request).submit(job)))


async def get_job(job_id: str, request: Request) -> Response:
    """How a job stands, with its result once there is one."""
    job = await _jobs(request).store.get(DIALECT, job_id)
    if job is None:
        raise HTTPException(404, f"Job {job_id} not found")
    if job.result_bytes is None or job.result is not None:
        return json_response(described(job))
    told = described(replace(job, result=HOLE))
    return filled_response(told, _jobs(request).store.pieces(job), job.result_bytes)


async def delete_job(job_id: str, request: Request) -> Response:
    """Forget a job; one that runs is stopped."""
    if not await _jobs(request).delete(job_id):
        raise HTTPException(404, f"Job {job_id} not found")
    return json_response({"message": f"Job {job_id} deleted"})


async def list_jobs(request: Request) -> Response:
    """The newest jobs by id, newest first; a long result is told by the job itself alone."""
    jobs = await _jobs(request).store.newest(DIALECT, limit=LISTED)
    return json_response({job.id: described(job) | {"processing_time": _seconds(job)} for job in jobs})


OPERATIONS = (
    Operation("POST", "/jobs/submit/{model_type}", submit_job, schemas.JobResponse, (400, 404, 408, 413, 500, 503)),
    Operation("GET", "/jobs/{job_id}", get_job, schemas.JobResponse, (404, 500, 503)),
    Operation("DELETE", "/jobs/{job_id}", delete_job, schemas.Message, (404, 500, 503)),
    Operation("GET", "/jobs", list_jobs, dict[str, schemas.ListedJob], (500, 503)),
)


def described(job: Job) -> dict[str, Any]:
    """Return the document's `JobResponse`; the result goes out as it was written."""
    return {
        "job_id": job.id,
        "status": STATUSES[job.status],
        "created_at": _time(job.created),
        "completed_at": None if job.finished is None else _time(job.finished),
        "result": None if job.result is None else orjson.Fragment(job.result),
        "error": job.error,
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _seconds(job: Job) -> float | None:
    return None if job.started is None or job.finished is None else round(job.finished - job.started, 6)


def _jobs(request: Request) -> Runner:
    runner: Runner = request.app.state.jobs
    return runner


def _parsed(kind: str, asked: Any) -> BaseModel:
    return INFERENCES[kind].request.model_validate(asked)


async def _run(service: Service, job: Job) -> bytes:
    """Answer a job as a request would be; raises its error in this API's words."""
    try:
        body = await infer(service, job.kind, _parsed(job.kind, await parse_json(job.payload)))
    except RowError as error:
        raise RowError(error.code, sentence(error)) from error
    return await dump_long_json(body)
