"""What a person sees of a run: notes, progress and the summary, all on standard error; and what stops it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict
from itertools import islice
from types import FrameType
from typing import Any, TypeVar

from visioncli.cli.options import Show
from visioncli.cli.sentences import set_up as set_up
from visioncli.errors import InterruptedRunError
from visioncli.jobs import Job, Progress, Stop, Summary, look_at, steps
from visioncli.wording import counted

Step = TypeVar("Step")
Done = TypeVar("Done")

_LINE_EVERY_S = {Show.plain: 5.0, Show.json: 1.0}


def run(job: Job, stop: Stop, show: Show, quiet: bool) -> Summary:
    """Do the job. Raises what `steps` raises, and leaves in `stop` what it does."""
    with _signals(stop), meter(show, quiet, f"listing inputs and loading {job.model or 'the model'} ...") as report:
        return drained(steps(job, stop), report)


def drained(work: Generator[Step, None, Done], report: Callable[[Step], None]) -> Done:
    """Report each of the work's steps, and return what it returns."""
    while True:
        try:
            report(next(work))
        except StopIteration as end:
            done: Done = end.value
            return done


@contextlib.contextmanager
def _signals(stop: Stop) -> Iterator[None]:
    """First Ctrl-C or SIGTERM: close the open part; the second leaves at once."""

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + number)
        print("\nvisioncli: stopping; once more to leave at once", file=sys.stderr, flush=True)
        stop.request(InterruptedRunError("interrupted", number))

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def meter(show: Show, quiet: bool, first: str = "") -> Iterator[Callable[[Progress], None]]:
    """Yield a function that shows progress as asked; a bar says what is done `first`, until there is any."""
    if show is Show.auto:
        show = Show.none if quiet else Show.bar if sys.stderr.isatty() else Show.plain
    if show is Show.none:
        yield lambda progress: None
    elif show is Show.bar:
        with _bar(first) as report:
            yield report
    else:
        yield _lines(show)


@contextlib.contextmanager
def _bar(first: str) -> Iterator[Callable[[Progress], None]]:
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    shape: dict[str, Any] = {"dynamic_ncols": True, "smoothing": 0.1, "leave": False}
    bar: Any = tqdm(desc=first, bar_format="{desc}" if first else None, file=sys.stderr, unit=" rows", **shape)

    def report(progress: Progress) -> None:
        if bar.bar_format is not None:
            bar.bar_format = None
            bar.set_description_str(refresh=False)
            bar.reset()  # its clock: what was done first asked no rows
        if bar.total is None and progress.total is not None:
            bar.reset(total=progress.total)
            bar.initial = bar.n = progress.begun_with
        if progress.failed:
            bar.set_postfix_str(f"{progress.failed:,} failed", refresh=False)
        bar.update(progress.done - bar.n)

    with bar, logging_redirect_tqdm([logging.getLogger("visioncli")]):  # else sentences begin at the bar's end
        yield report


def _lines(show: Show) -> Callable[[Progress], None]:
    started = last = 0.0  # when the first report came: the model is loaded by then

    def report(progress: Progress) -> None:
        nonlocal started, last
        now = time.monotonic()
        if not started:
            started = last = now
        if now - last < _LINE_EVERY_S[show]:
            return
        last = now
        rate = (progress.done - progress.begun_with) / (now - started)
        if show is Show.json:
            print(json.dumps(asdict(progress) | {"rows_per_s": round(rate, 2)}), file=sys.stderr, flush=True)
        else:
            print(f"visioncli: {_sentence(progress, rate)}", file=sys.stderr, flush=True)

    return report


def _sentence(progress: Progress, rate: float) -> str:
    of_total = "" if progress.total is None else f" of {progress.total:,}"
    failed = f", {progress.failed:,} failed" if progress.failed else ""
    left = (progress.total - progress.done) / rate if progress.total is not None and rate > 0 else None
    return f"{progress.done:,}{of_total} rows{failed}, {rate:.1f} rows/s" + (f", {_time(left)} left" if left else "")


def _time(seconds: float) -> str:
    minutes, hours = round(seconds / 60), round(seconds / 3600, 1)
    if seconds < 10:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 90 else f"{minutes} min" if minutes < 90 else f"{hours} h"


def show(summary: Summary, quiet: bool, warns: bool) -> None:
    """Print the summary on standard error; when `quiet`, how many rows failed, if that `warns`."""
    lines = summary_lines(summary)
    for line in islice(lines, 1 if summary.failed and warns else 0) if quiet else lines:
        print(f"visioncli: {line}", file=sys.stderr)


def summary_lines(summary: Summary) -> Iterator[str]:
    """Yield the summary's sentences."""
    codes = ", ".join(f"{code} {count:,}" for code, count in summary.failed.items())
    failed = f", {sum(summary.failed.values()):,} failed ({codes})" if codes else ""
    before = f", {summary.done_before:,} of them done before" if summary.done_before else ""
    where = "standard output" if summary.output == "-" else summary.output
    of_all = f" of {summary.rows + summary.rows_left:,}" if summary.rows_left else ""
    rows = f"{summary.rows:,}{of_all} rows" if of_all else counted(summary.rows, "row")
    so_far = "" if summary.finished else " so far"
    yield f"{where}: {rows}{so_far}{before}, {summary.ok:,} ok{failed}"
    if summary.changes is not None:
        yield ", ".join(f"{count:,} {name}" for name, count in asdict(summary.changes).items())
    if summary.repeated_ids:
        yield f"{counted(summary.repeated_ids, 'id')} came before"
    model = f"{summary.inferred:,} through the model"
    reused = f", {counted(summary.reused, 'equal picture')} answered once" if summary.reused else ""
    lost = not summary.finished and summary.inferred + summary.reused > summary.rows - summary.done_before
    counting = ", rows that were not kept among them" if lost else ""
    yield f"{_time(summary.seconds)}, {summary.rows_per_s:,.1f} images/s, {model}{reused}{counting}"
    if summary.verdict is not None:
        shares = ", ".join(f"{stage} {share:.0%}" for stage, share in summary.held_back.items() if share >= 0.005)
        yield f"held back by {summary.verdict} ({shares}): {summary.advice}"


def dry_run(job: Job) -> None:
    """Say on standard error what the job would do."""
    for line in look_at(job):
        print(f"visioncli: {line}", file=sys.stderr)
