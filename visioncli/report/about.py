"""What a page says of an output as a whole: counts, failures, timings, and what produced it. Knows nothing of HTML."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from visioncli.errors import UsageError
from visioncli.report.cards import Card, number
from visioncli.report.page import Table, table
from visioncli.report.results import Results, as_text
from visioncli.report.survey import Survey, measure_of
from visioncli.wording import counted

_PRODUCED = ("tool", "model", "commit", "family", "recipe", "embedding_space", "device", "dtype", "batch_size")
_MOST_EXAMPLES = 3  # of each error code

Timings = Mapping[str, Any]  # a run's summary as JSON


def timings(path: str | None, results: Results) -> Timings | None:
    """Return the run's summary: from a file, or from the output itself where it keeps one. Raises UsageError."""
    if path is None:
        return results.summary()
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        rows = found["rows"]
    except OSError as error:
        raise UsageError(f"--summary: {path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"--summary: {path} is no summary of a run") from None
    if rows != results.rows:
        raise UsageError(
            f"--summary: {path} is of a run with {counted(rows, 'row')}, and {results.path} has {results.rows}"
        )
    return dict(found)


def tiles(results: Results, found: Survey) -> tuple[tuple[str, str], ...]:
    """Return the numbers to see first, each with its name."""
    share = f" ({found.failures / found.rows:.1%})" if found.failures else ""
    shown = [
        (f"{found.rows:,}", "rows"),
        (f"{found.rows - found.failures:,}", "ok"),
        (f"{found.failures:,}{share}", "failed"),
    ]
    if found.labels:
        shown += [(f"{len(found.labels):,}", measure_of(results.task).labels)]
    if results.task in ("detect", "segment"):
        shown += [(f"{found.labels.total():,}", "objects")]
    model = results.provenance.get("model")
    return tuple(shown if model is None else [*shown, (str(model), "model")])


def notices(results: Results, timed: Timings | None) -> tuple[str, ...]:
    """Return what a reader should know before reading on."""
    said = []
    if results.is_unfinished:
        said.append("The run that writes this folder has not come to its end: rows are missing.")
    if timed is None and results.task != "similar":  # no run of pictures, which has a summary
        said.append("No timings: the table does not hold them; give the run's summary with --summary FILE.json.")
    return tuple(said)


def tables(found: Survey, cards: Sequence[Card], timed: Timings | None) -> tuple[Table, ...]:
    """Return failures by code and, where they are known, timings."""
    made = [_failures(found, {one.row: one for one in cards})] if found.failures else []
    return (*made, _timings(timed)) if timed else tuple(made)


def _failures(found: Survey, cards: Mapping[int, Card]) -> Table:
    rows = []
    for code, count in found.failed.most_common():
        examples = found.examples[code][:_MOST_EXAMPLES]
        first = next((cards[row].error for row in examples if row in cards), None)
        links = [(cards[row].id if row in cards else f"row {row}", row) for row in examples]
        rows.append((code, count, first or "", links))
    return table("Failures", ("code", "rows", "what the first one says", "first rows"), rows)


def _timings(timed: Timings) -> Table:
    shares = ", ".join(f"{stage} {share:.0%}" for stage, share in timed.get("held_back", {}).items() if share >= 0.005)
    rows = [
        ("time", f"{number(timed.get('seconds'))} s"),
        ("images a second", number(timed.get("rows_per_s"))),
        ("through the model", f"{timed.get('inferred', 0):,}"),
    ]
    if timed.get("verdict"):
        rows += [("held back by", f"{timed['verdict']} ({shares})"), ("advice", str(timed.get("advice") or ""))]
    return table("Timings", ("", ""), rows)


def provenance(said: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return what produced the answers, as names and texts."""
    first = [(name, str(said[name])) for name in _PRODUCED if said.get(name) is not None]
    parameters = (said.get("parameters") or {}).items()
    rest = [(name, as_text(value)) for name, value in parameters]
    chosen = [
        (f"{name}, chosen", f"{one['value']}: {one['reason']}") for name, one in (said.get("choices") or {}).items()
    ]
    return (*first, *rest, *chosen)
