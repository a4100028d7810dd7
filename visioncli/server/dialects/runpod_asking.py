"""What a runpod request asks for: its body, its policy, its times; and how often it may ask. Answers nothing."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from visioncli.errors import FetchError, UsageError
from visioncli.io.address import parse_url
from visioncli.server.bodies import dump_json, read_json
from visioncli.server.dialects.runpod_shapes import POLICIES
from visioncli.server.dialects.runpod_worker import KEYS, NAME
from visioncli.server.jobstore import Job
from visioncli.server.refusals import Busy

RATES = {"run": 1000, "runsync": 2000, "status": 2000, "status-sync": 2000, "stream": 2000, "cancel": 100, "retry": 100}
RATES |= {"purge-queue": 2}  # requests of one endpoint in a window, docs.runpod.io
WINDOW_S = 10.0  # docs.runpod.io
TIME_LIMIT_MS = 120_000  # "Execution Timeout: 120 seconds", runpod-siglip.md
TTL_MS = 86_400_000  # docs.runpod.io


class Rates:
    """How often each route of each endpoint was asked, in the window that runs."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._until = clock, 0.0
        self._counts: Counter[tuple[str, str]] = Counter()  # forgotten with the window, so it stays small

    def count(self, route: str, endpoint: str) -> None:
        """Count a request. Raises Busy when it is one too many."""
        now = self._clock()
        if now >= self._until:
            self._until = now + WINDOW_S
            self._counts.clear()
        self._counts[route, endpoint] += 1
        limit = RATES.get(route)
        if limit is not None and self._counts[route, endpoint] > limit:
            raise Busy(f"more than {limit} requests to /{route} in {WINDOW_S:g} s", math.ceil(self._until - now))


@dataclass(frozen=True, slots=True)
class Ask:
    """A body of /run or /runsync that can be queued."""

    payload: bytes  # {"input": what the worker reads of it}
    webhook: str | None
    time_limit_s: float
    ttl_s: float

    def job(self, job_id: str, endpoint: str, keep_s: float) -> Job:
        return Job(
            id=job_id,
            api=NAME,
            kind=endpoint,
            payload=self.payload,
            webhook=self.webhook,
            time_limit_s=self.time_limit_s,
            ttl_s=self.ttl_s,
            keep_s=keep_s,
        )


async def ask_of(request: Request, cap: int) -> Ask:
    """Read a body. Raises NotJson, TooLarge, ClientLeft, UsageError."""
    asked = await read_json(request, cap)
    if not isinstance(asked, dict) or "input" not in asked:
        raise UsageError('the body must be a JSON object with "input"')
    policy, _ = _object(asked, "policy"), _object(asked, "s3Config")
    if not isinstance(policy.get("lowPriority", False), bool):
        raise UsageError("policy.lowPriority must be true or false")
    limit_s = _policy(policy, "executionTimeout", TIME_LIMIT_MS)
    return Ask(_payload(asked["input"]), _webhook(asked.get("webhook")), limit_s, _policy(policy, "ttl", TTL_MS))


def _payload(given: Any) -> bytes:
    """What is kept of an input: nothing that no worker reads, and of no object nothing (`Invalid job format`)."""
    read = {key: given[key] for key in KEYS if key in given} if isinstance(given, dict) else None
    return dump_json({"input": read})


def _object(asked: dict[str, Any], name: str) -> dict[str, Any]:
    found = asked.get(name)
    if found is not None and not isinstance(found, dict):
        raise UsageError(f"{name} must be an object")
    return found or {}


def _policy(policy: dict[str, Any], name: str, default: int) -> float:
    """Seconds."""
    least, most = POLICIES[name]
    value = policy.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1:
        raise UsageError(f"policy.{name} must be a whole number of milliseconds")
    if not least <= value <= most:
        raise UsageError(f"policy.{name} must be from {least} to {most} milliseconds")
    return value / 1000


def _webhook(given: Any) -> str | None:
    if given is None:
        return None
    if not isinstance(given, str):
        raise UsageError("webhook must be a URL")
    try:
        parse_url(given.encode("utf-8", "surrogatepass"))
    except FetchError as error:
        raise UsageError(f"webhook: {error}") from error
    return given


def milliseconds(request: Request, name: str, between_s: tuple[float, float]) -> float | None:
    """Return a query parameter in seconds, drawn into its range; None when it is not there. Raises UsageError."""
    given = request.query_params.get(name)
    if given is None:
        return None
    try:
        value = int(given)
    except ValueError as error:
        raise UsageError(f"{name} must be a whole number of milliseconds") from error
    least_s, most_s = between_s
    return min(max(value, least_s * 1000), most_s * 1000) / 1000
