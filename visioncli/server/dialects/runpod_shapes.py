"""What runpod's requests and answers look like, for its OpenAPI. Reads and answers nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel

Status = Literal["IN_QUEUE", "IN_PROGRESS", "COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"]
WEEK_MS = 7 * 86_400_000
POLICIES = {"executionTimeout": (5_000, WEEK_MS), "ttl": (10_000, WEEK_MS)}  # docs.runpod.io: least and most, in ms


class Fault(BaseModel):
    error: str


class JobState(BaseModel):
    """What is not known yet is absent; times are in milliseconds."""

    id: str
    status: Status
    delayTime: int = 0
    executionTime: int = 0
    output: Any = None
    error: str = ""
    workerId: str = ""


class Accepted(BaseModel):
    id: str
    status: Literal["IN_QUEUE"]


class Chunk(BaseModel):
    output: Any


class Stream(BaseModel):
    status: Status
    stream: list[Chunk]


class Purged(BaseModel):
    removed: int
    status: Literal["completed"]


class JobCounts(BaseModel):
    completed: int
    failed: int
    inProgress: int
    inQueue: int
    retried: int


class WorkerCounts(BaseModel):
    idle: int
    initializing: int
    ready: int
    running: int
    throttled: int
    unhealthy: int


class Health(BaseModel):
    jobs: JobCounts
    workers: WorkerCounts


class JobList(BaseModel):
    requests: list[JobState]


_URL = r"^https?://[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*(:[0-9]{1,4})?(/[A-Za-z0-9._~/?=&%2F-]*)?$"
_POLICY = {
    "type": ["object", "null"],
    "properties": {
        name: {"type": "integer", "minimum": least, "maximum": most, "description": "milliseconds"}
        for name, (least, most) in POLICIES.items()
    }
    | {"lowPriority": {"type": "boolean"}},
}
_INPUT = {
    "description": "The worker's input; what is wrong with it is the job's error",
    "examples": [{"task": "classify", "image_url": "https://example.com/image.jpg", "labels": "cat,dog"}],
}
_SCHEMA = {
    "type": "object",
    "properties": {
        "input": _INPUT,
        "webhook": {"type": ["string", "null"], "pattern": _URL},
        "policy": _POLICY,
        "s3Config": {"type": ["object", "null"]},
    },
    "required": ["input"],
}
BODY = {"required": True, "content": {"application/json": {"schema": _SCHEMA}}}
_PATH = {name: {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in
         ("endpoint_id", "job_id")}  # fmt: skip
FAULTS: dict[int | str, dict[str, Any]] = {
    400: {"model": Fault, "description": "The request cannot be understood, or is too large"},
    401: {"model": Fault, "description": "No key, or a wrong one"},
    404: {"model": Fault, "description": "There is no such job (any more)"},
    405: {"model": Fault},
    408: {"model": Fault, "description": "The body does not come in"},
    429: {"model": Fault, "description": "Too many requests; Retry-After says when to come back"},
    500: {"model": Fault},
    503: {"model": Fault, "description": "The server is starting or stopping"},
}


def described(path: str, answer: type[BaseModel], query: Sequence[str], has_body: bool) -> dict[str, Any]:
    """Return what `add_api_route` is told of a route; `query` names its parameters in milliseconds."""
    parameters = [each for name, each in _PATH.items() if f"{{{name}}}" in path]
    parameters += [{"name": name, "in": "query", "schema": {"type": "integer"}} for name in query]
    extra = {"parameters": parameters} | ({"requestBody": BODY} if has_body else {})
    return {"responses": {200: {"model": answer}, **FAULTS}, "openapi_extra": extra}
