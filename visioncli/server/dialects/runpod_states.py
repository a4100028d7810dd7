"""Jobs and their worker as the RunPod API words them. Knows nothing of requests."""

from __future__ import annotations

import hashlib
import platform
from typing import Any

import orjson

from visioncli.server.dialects.runpod_worker import NAME
from visioncli.server.jobstore import Job
from visioncli.server.running import Runner
from visioncli.server.service import Service

STATES = {
    "queued": "IN_QUEUE",
    "running": "IN_PROGRESS",
    "completed": "COMPLETED",
    "failed": "FAILED",
    "cancelled": "CANCELLED",
    "timed_out": "TIMED_OUT",
}
WORKER_ID = hashlib.sha256(platform.node().encode()).hexdigest()[:14]  # as long as theirs; one worker a machine


def rendered(job: Job) -> dict[str, Any]:
    """Return a job as /status shows it; what is not known yet is absent."""
    shown: dict[str, Any] = {}
    if job.started is not None:
        shown["delayTime"] = round((job.started - job.created) * 1000)
        if job.finished is not None:
            shown["executionTime"] = round((job.finished - job.started) * 1000)
    shown["id"] = job.id
    if job.error is not None:
        shown["error"] = job.error
    if job.result is not None:
        shown["output"] = orjson.Fragment(job.result)
    shown["status"] = STATES[job.status]
    if job.started is not None:
        shown["workerId"] = WORKER_ID
    return shown


def workers(service: Service, runner: Runner) -> dict[str, int]:
    """Return the one worker there is, in the words of the original's fleet."""
    is_ready, busy = service.ready, runner.running > 0
    is_loaded = all(standing.loaded for standing in service.status(NAME).values())
    return {
        "idle": int(is_ready and not busy),
        "initializing": int(not is_ready and not is_loaded),
        "ready": int(is_ready),
        "running": int(is_ready and busy),
        "throttled": 0,
        "unhealthy": int(not is_ready and is_loaded),
    }
