"""One pass over a whole output: what was answered, what failed and how, labels, scores, and a few numbers a row.

Holds about ten bytes a row, whatever the columns are. Knows nothing of pictures or pages.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from visioncli.errors import UsageError
from visioncli.report.results import Results
from visioncli.report.vectors import column_of, likeness_to_mean

Numbers = NDArray[np.float32]  # one a row; NaN where there is none
Parameters = Mapping[str, Any]  # of the run, as its provenance has them

BINS = 400  # of scores, from -1 to 1: a bar of a histogram is several of them
EXAMPLES = 5  # rows that are named for each error code


@dataclass(frozen=True, slots=True)
class Measured:
    """What one table of answers says. `scores` and `labels` are of every object, not of every row."""

    score: Numbers
    certainty: Numbers  # the smaller, the less certain
    scores: Numbers
    labels: pa.Array


@dataclass(frozen=True, slots=True)
class Measure:
    """How a task's rows are measured, and what that is called; without `unsure_means` there is no such order."""

    columns: tuple[str, ...]
    of: Callable[[pa.Table, Parameters], Measured]
    score: str = "score"
    unsure: str = "least certain"
    unsure_means: str = ""
    label: str = "label"  # what `labels` are called, one and several
    labels: str = "labels"


@dataclass
class Survey:
    rows: int
    ok: NDArray[np.bool_]
    score: Numbers
    certainty: Numbers
    failed: Counter[str] = field(default_factory=Counter)
    examples: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))  # code -> rows
    labels: Counter[str] = field(default_factory=Counter)
    scores: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))  # counts from -1 to 1

    @property
    def failures(self) -> int:
        return self.failed.total()


def survey(results: Results) -> Survey:
    """Read the columns that statistics need, once, a row group at a time. Raises UsageError."""
    measure = measure_of(results.task)
    names = results.having(["error_code", *measure.columns])
    blank = np.full(results.rows, np.nan, np.float32)
    found = Survey(results.rows, np.zeros(results.rows, bool), blank, blank.copy())
    for first, table in results.tables(names):
        rows = slice(first, first + len(table))
        found.ok[rows] = pc.is_null(table["error_code"]).to_numpy()
        _count_failures(found, table["error_code"], first)
        measured = measure.of(table, results.provenance.get("parameters") or {})
        found.score[rows], found.certainty[rows] = measured.score, measured.certainty
        found.scores += np.histogram(np.clip(measured.scores, -1, 1), BINS, (-1, 1))[0]
        counts = pc.value_counts(measured.labels).to_pylist()
        found.labels.update({one["values"]: one["counts"] for one in counts if one["values"] is not None})
    _add_likeness(found, results)
    return found


def measure_of(task: str) -> Measure:
    """Return how this task's rows are measured. Raises UsageError for a task that is not known."""
    if task not in MEASURES:
        raise UsageError(f"the result is of the task {task!r}; what can be shown is {', '.join(MEASURES)}")
    return MEASURES[task]


def _count_failures(found: Survey, codes: pa.ChunkedArray, first: int) -> None:
    for row in np.flatnonzero(pc.is_valid(codes).to_numpy()).tolist():
        code = str(codes[row].as_py())
        found.failed[code] += 1
        if len(found.examples[code]) < EXAMPLES:
            found.examples[code].append(first + row)


def _add_likeness(found: Survey, results: Results) -> None:
    name = column_of(results) if results.task == "embed" else None
    if name is not None:
        found.score = likeness_to_mean(results, name)
        found.certainty = found.score


def numbers(column: pa.ChunkedArray | pa.Array) -> Numbers:
    """Return a column of floats, null as NaN."""
    found: Numbers = pc.cast(column, pa.float32()).to_numpy(zero_copy_only=False).astype(np.float32)
    return found


def _classify(table: pa.Table, parameters: Parameters) -> Measured:
    score = numbers(table["score"])
    second = _second(table["scores"].combine_chunks())
    if parameters.get("scoring") == "sigmoid":  # each label by itself: yes or no
        certainty = np.abs(score - np.float32(0.5))
    else:
        certainty = np.where(np.isnan(second), score, score - second)
    return Measured(score, certainty, score[~np.isnan(score)], table["label"].combine_chunks())


def _second(lists: pa.ListArray) -> Numbers:
    """Each list's second number; NaN where it has none."""
    counts = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
    found = np.full(len(lists), np.nan, np.float32)
    found[counts > 1] = numbers(lists.flatten())[(np.cumsum(counts) - counts + 1)[counts > 1]]
    return found


def _objects(table: pa.Table, parameters: Parameters) -> Measured:
    column = table["objects"].combine_chunks()
    flat = column.flatten()
    scores, labels = numbers(flat.field("score")), flat.field("label")
    threshold = np.float32(parameters.get("box_threshold", parameters.get("threshold", 0)))
    counts = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
    has, starts = counts > 0, np.cumsum(counts) - counts
    best, least = (np.full(len(table), np.nan, np.float32) for _ in range(2))
    if has.any():
        best[has] = np.maximum.reduceat(scores, starts[has])
        least[has] = np.minimum.reduceat(np.abs(scores - threshold), starts[has])
    return Measured(best, least, scores, labels)


def _embed(table: pa.Table, parameters: Parameters) -> Measured:
    return _nothing(np.full(len(table), np.nan, np.float32))


def _depth(table: pa.Table, parameters: Parameters) -> Measured:
    return _nothing(numbers(table["depth_max"]) - numbers(table["depth_min"]))


def _nothing(score: Numbers) -> Measured:
    return Measured(score, np.full_like(score, np.nan), np.zeros(0, np.float32), pa.array([], pa.string()))


def _hits(table: pa.Table, parameters: Parameters) -> Measured:
    score = numbers(table["score"])
    return Measured(score, np.full_like(score, np.nan), score, table["query"].combine_chunks())


_NEAR = "the score of an object that is nearest to the run's threshold"
MEASURES = {
    "classify": Measure(
        ("label", "score", "scores"),
        _classify,
        unsure_means="best score − second; with sigmoid scores, distance of the best from 0.5",
    ),
    "embed": Measure(
        (),
        _embed,
        score="likeness to the mean",
        unsure="most unusual",
        unsure_means="cosine of the vector with the mean of all vectors",
    ),
    "detect": Measure(("objects",), _objects, unsure_means=_NEAR),
    "segment": Measure(("objects",), _objects, unsure_means=_NEAR),
    "depth": Measure(("depth_min", "depth_max"), _depth, score="depth range"),
    "similar": Measure(("query", "score"), _hits, label="query", labels="queries"),
}
