"""A job as one value, and what of a row makes one. Knows nothing of files or statements."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

INLINE_BYTES = 256 * 2**10  # a longer result is read for itself: a poll or a list must not move megabytes
STATUSES = ("queued", "running", "completed", "failed", "cancelled", "timed_out")
ENDED = frozenset(STATUSES[2:])


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One row. Whoever submits fills in what stands before `status`. Times are seconds since the epoch."""

    id: str
    api: str  # "runpod" | "vision-models"
    kind: str  # endpoint id, model type
    payload: bytes  # JSON text; `take` alone reads it, it is b"" elsewhere: a poll must not move megabytes
    time_limit_s: float  # of one execution
    ttl_s: float  # after submission, an unfinished job is forgotten
    keep_s: float  # after its end, a job is forgotten
    webhook: str | None = None
    status: str = "queued"  # one of STATUSES
    created: float = 0.0
    started: float | None = None
    finished: float | None = None
    expires: float = 0.0
    result: bytes | None = None  # JSON text of a completed job; None, too, where it is longer than INLINE_BYTES
    result_bytes: int | None = None  # how long it is
    error: str | None = None
    attempts: int = 0  # how often it was begun
    restarts: int = 0  # of them, after a server that ended under it
    delivered: bool = False  # the result was streamed to somebody
    webhook_due: float | None = None  # when to call its web hook next; None: not now, or not any more
    webhook_tries: int = 0

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED


@dataclass(frozen=True, slots=True)
class Line:
    """How many of an API's jobs may wait, and how much may be asked by all that may yet run."""

    jobs: int = 4096
    held_bytes: int = 4 * 2**30  # of payloads, on disk


LINE = Line()


_FIELDS = [field.name for field in fields(Job)]
COLUMNS = [name for name in _FIELDS if name != "result_bytes"]


def _shown(payload: str = "x''", result: str = "NULL") -> str:
    found = {"payload": payload, "result": result, "result_bytes": "length(result)"}
    return ", ".join(f"{found[name]} AS {name}" if name in found else name for name in _FIELDS)


BARE = _shown()  # what a statement returns for `jobs_of`: neither payload nor result
LIGHT = _shown(result=f"CASE WHEN length(result) <= {INLINE_BYTES} THEN result END")  # with a short result
TO_RUN = _shown(payload="payload")  # with its payload


def jobs_of(rows: list[Any]) -> list[Job]:
    return [Job(**dict(zip(_FIELDS, row, strict=True))) for row in rows]
