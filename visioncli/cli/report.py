"""report: one output as a page to look at, or what changed between two."""

from __future__ import annotations

import logging
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias, TypeVar

import typer

from visioncli.cli.given import announce, without
from visioncli.cli.idle import REPORT
from visioncli.cli.options import TASK_PANEL, Show, flag
from visioncli.errors import UsageError

if TYPE_CHECKING:
    from visioncli.report import Limit, ReportOptions
    from visioncli.report.page import Page

log = logging.getLogger("visioncli")

Done = TypeVar("Done")
Given: TypeAlias = tuple[tuple[str, str | None], ...]  # limits of --diff: the flag and what was written after it

_DIFF = "With --diff"
_OUT = "Output"


@without(*REPORT)
def report(
    ctx: typer.Context,
    results: Annotated[
        list[str],
        typer.Argument(metavar="RESULTS", help="An output: FILE.parquet, FILE.jsonl or DIR/; with --diff OLD and NEW."),
    ],
    output: Annotated[
        str | None, flag("--output", "-o", panel=_OUT, metavar="FILE.html", help="The page to write.")
    ] = None,
    overwrite: Annotated[bool, flag("--overwrite", panel=_OUT, help="Replace the page if it is there.")] = False,
    sample: Annotated[
        int,
        flag("--sample", panel=TASK_PANEL, min=10, help="Rows to show at most, extremes and failures among them."),
    ] = 2000,
    seed: Annotated[int, flag("--seed", panel=TASK_PANEL, min=0, help="Which rows are drawn at random.")] = 0,
    summary: Annotated[
        str | None, flag("--summary", panel=TASK_PANEL, metavar="FILE.json", help="The run's summary, for its timings.")
    ] = None,
    root: Annotated[
        str | None,
        flag("--root", panel=TASK_PANEL, metavar="DIR", help="Where the pictures are now, if they were moved."),
    ] = None,
    fetch: Annotated[
        bool, flag("--fetch", panel=TASK_PANEL, help="Also fetch pictures that are URLs; else only files are read.")
    ] = False,
    min_score: Annotated[
        float,
        flag("--min-score", panel=TASK_PANEL, min=-1, max=1, help="Cosine from which embeddings are near-duplicates."),
    ] = 0.95,
    diff: Annotated[bool, flag("--diff", panel=_DIFF, help="What changed between two outputs of one task.")] = False,
    max_flips: Annotated[
        str | None,
        flag(
            "--max-flips", panel=_DIFF, metavar="N|N%", help="Exit 3 if more rows have another label or other objects."
        ),
    ] = None,
    max_drift: Annotated[
        str | None,
        flag("--max-drift", panel=_DIFF, metavar="X|X%", help="Exit 3 if a row drifts further; README has the units."),
    ] = None,
    max_new_failures: Annotated[
        str | None,
        flag("--max-new-failures", panel=_DIFF, metavar="N|N%", help="Exit 3 if more rows fail that did not before."),
    ] = None,
    quiet: Annotated[bool, flag("--quiet", "-q", panel="What is said", help="Only warnings and errors.")] = False,
    progress: Annotated[
        Show, flag("--progress", panel="What is said", help="How progress is shown on standard error.")
    ] = Show.auto,
) -> None:
    """One HTML page that shows a result; or, with --diff, what changed between two."""
    from visioncli.cli import console
    from visioncli.report import ReportOptions, refuse_existing

    console.set_up(quiet=quiet, verbose=False)
    announce(ctx)
    shown = ReportOptions(sample, seed, summary, root, fetch, min_score)
    path = None if output is None else Path(output)
    if path is not None:
        refuse_existing(path, overwrite)
    if diff:
        given = (("--max-flips", max_flips), ("--max-drift", max_drift), ("--max-new-failures", max_new_failures))
        _diff(results, path, shown, given, Say(progress, quiet))
    else:
        _report(results, path, shown, Say(progress, quiet))


@dataclass(frozen=True)
class Say:
    """How a page's making is shown on standard error."""

    progress: Show
    quiet: bool

    def drained(self, work: Generator[tuple[int, int], None, Done]) -> Done:
        """Show how far the work is, and return what it returns."""
        from visioncli.cli import console
        from visioncli.jobs import Progress

        with console.meter(self.progress, self.quiet) as report:
            return console.drained(work, lambda seen: report(Progress(*seen, 0, 0)))

    def written(self, page: Page, path: Path) -> None:
        """Write the page, and say how large it is."""
        from visioncli.report import write

        write(page, path)
        log.info("%s: %.1f MB", path, path.stat().st_size / 1e6)


def _report(results: list[str], path: Path | None, shown: ReportOptions, say: Say) -> None:
    from visioncli.report import report as make

    if len(results) != 1:
        raise UsageError("one result makes a page; to compare two, say --diff OLD NEW")
    if path is None:
        raise UsageError("-o is needed: -o report.html")
    say.written(say.drained(make(results[0], shown)), path)


def _diff(results: list[str], path: Path | None, shown: ReportOptions, given: Given, say: Say) -> None:
    from visioncli.cli.tables import show
    from visioncli.report import DiffOptions, Results, changed, compare, summary

    if len(results) != 2:
        raise UsageError("--diff takes two results: --diff OLD NEW")
    limits = DiffOptions(*(None if text is None else _limit(text, name) for name, text in given))
    with Results(results[0]) as old, Results(results[1]) as new:
        pair = compare(old, new)
        passed = pair.passed(limits)
        show(summary(pair))
        if path is not None:
            say.written(say.drained(changed(pair, passed, shown)), path)
    for sentence in filter(None, (pair.left_out, *passed)):
        log.warning("%s", sentence)
    raise typer.Exit(3 if passed else 0)


def _limit(text: str, name: str) -> Limit:
    from visioncli.report import Limit

    number, percent, rest = text.strip().partition("%")
    try:
        value = float(number)
    except ValueError:
        value = float("nan")
    if rest or not 0 <= value < float("inf"):
        raise UsageError(f"{name}: {text!r} is neither a number from 0 on nor a share such as 1%")
    return Limit(value / 100, True) if percent else Limit(value)
