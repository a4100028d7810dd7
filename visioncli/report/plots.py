"""Numbers to the geometry of small plots; the template draws them as SVG. Knows nothing of HTML or of rows' meaning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visioncli.io.drawings import colour_of

WIDTH, HEIGHT = 480, 150  # units of a histogram's viewBox
MAP = 460  # units of a map's side
_MOST_BARS = 25  # labels of a bar chart; the rest is one bar
_MOST_STEPS = 40  # bars of a histogram
_EDGE = 8  # units that a map's points stay inside


@dataclass(frozen=True, slots=True)
class Bar:
    label: str
    count: int
    share: float  # of the longest, 0 to 1
    colour: str | None


@dataclass(frozen=True, slots=True)
class Bars:
    title: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Step:
    x: float
    y: float
    width: float
    height: float
    said: str  # range and count


@dataclass(frozen=True, slots=True)
class Histogram:
    title: str
    steps: tuple[Step, ...]
    ticks: tuple[tuple[float, str], ...]  # x and text
    most: int  # the count of the highest


@dataclass(frozen=True, slots=True)
class Point:
    x: float
    y: float
    row: int
    id: str
    grouped: bool


@dataclass(frozen=True, slots=True)
class Map:
    title: str
    points: tuple[Point, ...]


def bars(title: str, counts: Mapping[str, int]) -> Bars:
    """Return a bar for each label, the most frequent first; beyond _MOST_BARS one for all others together.

    Labels are to be compared with each other: where the others are more than any, their bar is cut, and says so.
    """
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    shown, others = ordered[:_MOST_BARS], ordered[_MOST_BARS:]
    rest = sum(count for _, count in others)
    longest = max((count for _, count in shown), default=1)
    found = [
        Bar(label, count, count / longest, "#{:02x}{:02x}{:02x}".format(*colour_of(label))) for label, count in shown
    ]
    if others:
        name = f"{len(others):,} others" + (" (bar cut)" if rest > longest else "")
        found.append(Bar(name, rest, min(1.0, rest / longest), None))
    return Bars(title, tuple(found))


def histogram(title: str, counts: NDArray[np.int64], edges: NDArray[np.float64]) -> Histogram | None:
    """Return a histogram of fine bins, trimmed to where they are not empty; None where all are.

    `counts` (n,) lie between `edges` (n + 1,).
    """
    filled = np.flatnonzero(counts)
    if not filled.size:
        return None
    first, last = int(filled[0]), int(filled[-1]) + 1
    each = -(-(last - first) // _MOST_STEPS)  # fine bins that one bar is
    bars = -(-(last - first) // each)
    first = max(0, min(first, len(counts) - bars * each))  # so that the last bar is as wide as the others
    starts = np.arange(first, last, each)
    ends = np.minimum(starts + each, len(counts))
    sums = np.add.reduceat(counts[first:last], starts - first)
    low, high = float(edges[first]), float(edges[ends[-1]])
    x0, x1 = ((edges[at] - low) / (high - low) * WIDTH for at in (starts, ends))
    tall = sums / sums.max() * HEIGHT
    steps = [
        Step(
            round(a, 2), round(HEIGHT - h, 2), round(b - a, 2), round(h, 2), f"{edges[s]:.4g} to {edges[e]:.4g}: {n:,}"
        )
        for a, b, h, s, e, n in zip(x0, x1, tall, starts, ends, sums.tolist(), strict=True)
    ]
    ticks = [(share * WIDTH, _tick(low + share * (high - low), high - low)) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    return Histogram(title, tuple(steps), tuple(ticks), int(sums.max()))


def _tick(value: float, span: float) -> str:
    return "0" if abs(value) < span / 1000 else f"{value:.3g}"


def histogram_of(title: str, values: NDArray[np.float32]) -> Histogram | None:
    """Return the histogram of numbers; NaN is none."""
    known = values[np.isfinite(values)].astype(np.float64)
    if not known.size:
        return None
    low, high = float(known.min()), float(known.max())
    if not high > low:
        return _of_one_value(title, low, known.size)
    return histogram(title, *np.histogram(known, _MOST_STEPS, (low, high)))


def _of_one_value(title: str, value: float, count: int) -> Histogram:
    """A bar in the middle, where the axis says nothing but the value."""
    width, text = WIDTH / _MOST_STEPS, f"{value:.4g}"
    bar = Step((WIDTH - width) / 2, 0, width, HEIGHT, f"{text}: {count:,}")
    return Histogram(title, (bar,), ((WIDTH / 2, text),), count)


def scatter(title: str, places: NDArray[np.float64], rows: Sequence[int], ids: Sequence[str], grouped: set[int]) -> Map:
    """Return points for `places` (n, 2), both axes in one scale, the second upwards."""
    middle = (places.min(axis=0) + places.max(axis=0)) / 2
    scale = (MAP - 2 * _EDGE) / (float(np.ptp(places, axis=0).max()) or 1.0)
    at = (places - middle) * scale * (1, -1) + MAP / 2
    points = [
        Point(round(x, 1), round(y, 1), row, id, row in grouped)
        for (x, y), row, id in zip(at.tolist(), rows, ids, strict=True)
    ]
    return Map(title, tuple(points))
