"""Which rows of an output are shown: all, or extremes, failures and a random rest. Knows nothing of pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from visioncli.report.results import Rows
from visioncli.report.survey import Numbers, Survey

LEAST = 10  # below it there is no room for all that must be among them


def choose(found: Survey, most: int, seed: int, also: Rows | None = None) -> Rows:
    """Return at most `most` row numbers, ascending; the same for the same seed.

    Among them: the examples of every error code and further failures up to half of `most`, then a twentieth each of
    the highest scores, the lowest and the least certain, then of `also`, in its order, up to a quarter of `most`; the
    rest is drawn from all others, each as likely.
    """
    if found.rows <= most:
        return np.arange(found.rows)
    draw = np.random.default_rng(seed)
    taken = np.zeros(found.rows, bool)
    taken[_failures(found, most // 2, draw)] = True
    for numbers in (-found.score, found.score, found.certainty):
        taken[_smallest(numbers, max(1, most // 20))] = True
    if also is not None:
        taken[also[: min(most // 4, most - int(taken.sum()))]] = True
    others = np.flatnonzero(found.ok & ~taken)
    left = most - int(taken.sum())
    taken[draw.choice(others, min(left, len(others)), replace=False)] = True
    return np.flatnonzero(taken)


def _failures(found: Survey, most: int, draw: np.random.Generator) -> Rows:
    """The examples first, code by code in turn, so that each code is seen while there is room."""
    lists = list(found.examples.values())
    first = [rows[turn] for turn in range(max(map(len, lists), default=0)) for rows in lists if turn < len(rows)]
    others = np.setdiff1d(np.flatnonzero(~found.ok), first)
    drawn = draw.permutation(others)[: max(0, most - len(first))]
    return np.concatenate([np.array(first, np.int64), drawn])[:most]


def _smallest(numbers: Numbers, count: int) -> NDArray[np.int64]:
    """The rows of the `count` smallest numbers, of equals the first; NaN is none."""
    known = np.flatnonzero(~np.isnan(numbers))
    return known[np.argsort(numbers[known], kind="stable")[:count]]
