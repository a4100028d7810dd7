"""What may be asked of a run, as values. Knows nothing of how it is done."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from typing import Any

from visioncli.errors import OutOfTimeError, UsageError, VisioncliError
from visioncli.io.listing import ListingOptions
from visioncli.jobs.summary import Summary
from visioncli.models.runtime import HailoRequest, refuse_half_a_hailo, refuse_unknown_device
from visioncli.settings import Settings
from visioncli.tasks import keep_several


@dataclass(frozen=True)
class Device:
    """What the model runs on; `auto` chooses, and says why."""

    device: str = "auto"
    dtype: str = "auto"
    batch_size: int | None = None
    hailo: HailoRequest | None = None  # what a Hailo accelerator runs

    def __post_init__(self) -> None:
        refuse_unknown_device(self.device)
        refuse_half_a_hailo(self.device, self.hailo)


@dataclass(frozen=True)
class Policy:
    """What to do about earlier runs, failures and time."""

    resume: bool = True
    overwrite: bool = False
    update: bool = False
    retry_failed: bool = False
    max_error_rate: float | None = None  # failed rows over those that this run asks, after at least 100 of them
    max_runtime_s: float | None = None  # from the start, with listing and loading
    unique_ids: bool = False
    part_rows: int = 4096  # a part closes on rows, time or bytes, so that a slow model loses little when it is killed
    part_seconds: float = 20.0
    part_bytes: int = 64 * 2**20  # of results that wait for their part: token features take 300 KB a row

    def __post_init__(self) -> None:
        chosen = [name for name in ("overwrite", "update", "retry_failed") if getattr(self, name)]
        if len(chosen) > 1:
            flags = " and ".join("--" + name.replace("_", "-") for name in chosen)
            raise UsageError(f"{flags} exclude each other")
        if self.max_error_rate is not None and not 0 <= self.max_error_rate <= 1:
            raise UsageError("--max-error-rate must be between 0 and 1")
        if self.max_runtime_s is not None and not self.max_runtime_s > 0:
            raise UsageError("--max-runtime leaves no time for a row; write 90s, 30m or 1h30m")

    @property
    def mode(self) -> str:
        if self.update:
            return "update"
        return "retry-failed" if self.retry_failed else "run"


@dataclass(frozen=True)
class Job:
    """One run: rows in, a table out. Everything is a value; nothing happens before `run`."""

    task: str  # key of TASKS
    options: Any  # the task's options
    output: str  # FILE.parquet, FILE.jsonl, DIR/, or - for JSONL on standard output
    inputs: tuple[str, ...] = ()  # files, folders, globs, URLs, manifests, `-`
    texts: tuple[str, ...] = ()  # literal texts in place of inputs (embed)
    model: str | None = None  # hub id, directory, alias or `demo`; None: the task's default
    revision: str | None = None
    offline: bool = False
    device: Device = field(default_factory=Device)
    listing: ListingOptions = field(default_factory=ListingOptions)
    settings: Settings = field(default_factory=Settings)
    policy: Policy = field(default_factory=Policy)
    limit: int | None = None
    overlay: str | None = None  # folder of pictures with what was found drawn on them (detect, segment)

    def __post_init__(self) -> None:
        keep_several(self, "inputs", "texts")
        for name, given in (("output", os.fspath(self.output)), ("inputs", tuple(map(os.fspath, self.inputs)))):
            object.__setattr__(self, name, given)  # a Path is one, too


class Stop(threading.Event):
    """A request to end early, with the reason that the run is to raise."""

    reason: VisioncliError | None = None
    so_far: Summary | None = None  # what a run had done that ended early, for this reason or another

    def request(self, reason: VisioncliError) -> None:
        """Ask the run to close its open part and raise `reason`; the first reason counts. Safe in a signal handler."""
        self.reason = self.reason or reason
        self.set()

    def check(self) -> None:
        if self.is_set() and self.reason is not None:
            raise self.reason


class deadline:
    """Asks `stop` to end the run after some seconds; None: never."""

    def __init__(self, seconds: float | None, stop: Stop) -> None:
        reason = OutOfTimeError("--max-runtime is over")
        self._timer = (
            None if seconds is None else threading.Timer(min(seconds, threading.TIMEOUT_MAX), stop.request, [reason])
        )

    def __enter__(self) -> None:
        if self._timer is not None:
            self._timer.daemon = True
            self._timer.start()

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()


@dataclass(frozen=True)
class Progress:
    """How far a run is, whenever it is asked."""

    done: int  # rows with an outcome, those of earlier runs included
    total: int | None  # None while rows are streamed
    failed: int
    begun_with: int  # rows that were there when this run began
