"""What changed in the answers of two runs, row by row, for each task. Knows nothing of failures, files or pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from visioncli.errors import UsageError
from visioncli.report.survey import Numbers, numbers
from visioncli.report.vectors import lengths, vectors

Object = Mapping[str, Any]  # of a row's objects
Flips = Counter[tuple[str, str]]  # (what it was, what it is) -> how often

SAME_OBJECT = 0.5  # intersection over union from which two boxes of one label are the same object; COCO's usual
LEAST_RANGE = 0.01  # of the largest depth: a map of less is as good as flat, and its range no measure
_ROUNDING = 1e-12  # of a cosine in float64: a vector has not drifted from itself
NOTHING = "nothing"  # what an object was that is new, and is that is gone


@dataclass(frozen=True, slots=True)
class Changed:
    """Of n rows that both runs answered. `flipped` is None where the task has no labels."""

    drift: Numbers  # (n,), in the task's unit
    flipped: NDArray[np.bool_] | None
    flips: Flips


@dataclass(frozen=True, slots=True)
class Change:
    columns: tuple[str, ...]
    of: Callable[[pa.Table, pa.Table], Changed]  # (old, new), the same rows in the same order
    drift: str  # what it is, with its unit


def classified(old: pa.Table, new: pa.Table) -> Changed:
    """Compare the best labels, and their scores."""
    flipped = pc.fill_null(pc.not_equal(old["label"], new["label"]), False).to_numpy()
    pairs = zip(
        old["label"].filter(pa.array(flipped)).to_pylist(),
        new["label"].filter(pa.array(flipped)).to_pylist(),
        strict=True,
    )
    return Changed(np.abs(numbers(new["score"]) - numbers(old["score"])), flipped, Counter(pairs))


def embedded(old: pa.Table, new: pa.Table) -> Changed:
    """Compare vectors; a vector without a direction (of zeros) is like no other, but like another such.

    Raises UsageError where they have not the same length.
    """
    name = next(name for name in ("embedding", "tokens") if name in old.schema.names)
    one, other = vectors(old[name]), vectors(new[name])
    if one.shape != other.shape:
        raise UsageError(f"the vectors have {one.shape[1]} and {other.shape[1]} dimensions: they cannot be compared")
    one_length, other_length = lengths(one), lengths(other)
    both = one_length * other_length
    cosine = np.einsum("nd,nd->n", one, other, dtype=np.float64) / np.where(both > 0, both, 1)
    cosine = np.where(both > 0, cosine, (one_length > 0) == (other_length > 0))
    drift = np.where(1 - cosine > _ROUNDING, 1 - cosine, 0)
    return Changed(drift.astype(np.float32), None, Counter())


def measured(old: pa.Table, new: pa.Table) -> Changed:
    """Compare the ends of depth maps: max(|near' - near|, |far' - far|) / max(far - near, LEAST_RANGE * largest).

    `largest` is the largest |depth| of both maps. Two maps of zeros have not drifted.
    """
    (near, far), (nearer, farther) = (
        [numbers(table[name]) for name in ("depth_min", "depth_max")] for table in (old, new)
    )
    change = np.maximum(np.abs(nearer - near), np.abs(farther - far))
    largest = np.abs([near, far, nearer, farther]).max(axis=0)
    extent = np.maximum(far - near, np.float32(LEAST_RANGE) * largest)
    return Changed(change / np.where(extent > 0, extent, 1), None, Counter())


def found(old: pa.Table, new: pa.Table) -> Changed:
    """Compare objects: which are gone, which are new, and the scores of those that stayed."""
    drift, flipped, flips = np.zeros(len(old), np.float32), np.zeros(len(old), bool), Flips()
    for row, (before, after) in enumerate(zip(old["objects"].to_pylist(), new["objects"].to_pylist(), strict=True)):
        stayed, gone, come = matched(before or [], after or [])
        drift[row] = max((abs(b["score"] - a["score"]) for a, b in stayed), default=0)
        flipped[row] = bool(gone or come)
        flips.update([(one["label"], NOTHING) for one in gone] + [(NOTHING, one["label"]) for one in come])
    return Changed(drift, flipped, flips)


def matched(old: list[Object], new: list[Object]) -> tuple[list[tuple[Object, Object]], list[Object], list[Object]]:
    """Return the pairs of the same object, what is gone and what is new.

    Of one label, pairs with the largest intersection over union are matched first, down to SAME_OBJECT.
    """
    ious = [(iou(a, b), i, j) for i, a in enumerate(old) for j, b in enumerate(new) if a["label"] == b["label"]]
    stayed: dict[int, int] = {}
    for share, i, j in sorted(ious, key=lambda one: (-one[0], one[1:])):
        if share >= SAME_OBJECT and i not in stayed and j not in stayed.values():
            stayed[i] = j
    gone = [one for i, one in enumerate(old) if i not in stayed]
    come = [one for j, one in enumerate(new) if j not in stayed.values()]
    return [(old[i], new[j]) for i, j in sorted(stayed.items())], gone, come


def iou(a: Object, b: Object) -> float:
    """Return the intersection over union of two boxes; of two equal ones without area, 1."""
    width = min(a["x1"], b["x1"]) - max(a["x0"], b["x0"])
    height = min(a["y1"], b["y1"]) - max(a["y0"], b["y0"])
    both = max(0.0, width) * max(0.0, height)
    areas = sum((one["x1"] - one["x0"]) * (one["y1"] - one["y0"]) for one in (a, b))
    if areas <= 0:
        return float(all(a[name] == b[name] for name in ("x0", "y0", "x1", "y1")))
    return float(both / (areas - both))


_OBJECTS = Change(("objects",), found, "largest change of a score among the objects that stayed")
CHANGES = {
    "classify": Change(("label", "score"), classified, "change of the best score"),
    "embed": Change(("embedding", "tokens"), embedded, "1 − cosine of the two vectors"),
    "detect": _OBJECTS,
    "segment": _OBJECTS,
    "depth": Change(
        ("depth_min", "depth_max"),
        measured,
        "change of the nearest or farthest depth, over the old range (or 1% of the largest depth, where that is more)",
    ),
}
