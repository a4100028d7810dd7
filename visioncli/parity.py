"""Does another device give the same answers? The same pictures through both, and how far their vectors are apart.

The distance of two vectors is 1 - cosine. What a person notices is the first place that changes: of the labels where
there are any, else of the nearest neighbour among the pictures. Knows nothing of flags or of how results are shown.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visioncli.meter import Meter
from visioncli.models import Predictor
from visioncli.pipeline import Settings, answer
from visioncli.samples import Answer, Failure, ImageRef
from visioncli.tasks.classify import ClassifyOptions
from visioncli.tasks.embed import EmbedOptions

CHUNK = 1024  # rows whose similarities to all others are held at once
TIE = 1e-6  # neighbours no farther apart than this are equally near: float32 holds no more


@dataclass(frozen=True)
class Seen:
    """What one device made of the pictures."""

    device: str  # as it was asked for
    vectors: NDArray[np.float32]  # (N, D) unit vectors, zeros where a row failed
    failed: dict[int, str]  # row -> code
    images_per_s: float  # of those that went through the model, without loading it
    choices: dict[str, str]  # device, dtype and batch size as they were settled
    labels: tuple[str, ...] = ()  # the best of each row, "" where it failed; empty without labels


@dataclass(frozen=True)
class Parity:
    """How far the second device is from the first."""

    rows: int
    compared: int  # answered by both
    failed: dict[str, dict[str, int]]  # device -> code -> rows
    images_per_s: dict[str, float]
    choices: dict[str, dict[str, str]]
    cosine_min: float | None  # None where nothing was compared
    cosine_median: float | None
    cosine_max: float | None
    worst: str | None  # id of the row whose vectors are farthest apart
    top_1: str  # of what: "labels" or "nearest neighbours"
    flips: int
    flipped: list[str] = field(default_factory=list)  # the first few ids

    @property
    def deviation(self) -> float:
        """The largest distance, 1 - cosine; infinite where nothing could be compared."""
        return float("inf") if self.cosine_min is None else max(0.0, 1 - self.cosine_min)

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"deviation": None if self.cosine_min is None else self.deviation}


def look(
    device: str,
    load: Callable[[], Predictor[Any, Any]],
    refs: Sequence[ImageRef],
    labels: ClassifyOptions | None,
    settings: Settings,
) -> Seen:
    """Embed the pictures on one device; `load` gives a classifier where there are labels, else an embedder."""
    loaded = load()
    embedder: Predictor[Any, Any] = loaded if labels is None else loaded.with_same_weights("embed")  # type: ignore[attr-defined]
    if labels is not None:
        loaded.check(labels)
        loaded.prepare(labels)
    vectors = np.zeros((len(refs), embedder.info.dimension), np.float32)
    failed: dict[int, str] = {}
    meter, started = Meter(), time.monotonic()
    for row, outcome in enumerate(answer(refs, embedder, EmbedOptions(), settings, meter=meter)):
        if isinstance(outcome, Failure):
            failed[row] = outcome.error.code
        elif isinstance(outcome, Answer):
            vectors[row] = outcome.result.embedding
    rate = meter.inferred / max(time.monotonic() - started, 1e-9)
    choices = {name: f"{choice.value} ({choice.reason})" for name, choice in embedder.info.choices.items()}
    best = () if labels is None else _best_labels(loaded, vectors, failed, labels)
    return Seen(device, vectors, failed, round(rate, 2), choices, best)


def _best_labels(
    classifier: Predictor[Any, Any], vectors: NDArray[np.float32], failed: dict[int, str], labels: ClassifyOptions
) -> tuple[str, ...]:
    found = classifier.postprocess(list(vectors), (), labels)
    return tuple("" if row in failed else str(each.labels[0]) for row, each in enumerate(found))


def compare(ids: Sequence[str], first: Seen, second: Seen, shown: int = 5) -> Parity:
    """Return how far `second` is from `first`; up to `shown` of the rows that flipped are named."""
    both = np.array([row for row in range(len(ids)) if row not in first.failed and row not in second.failed], int)
    cosines = _cosines(*(seen.vectors[both].astype(np.float64) for seen in (first, second)))
    flipped = _changed_labels(both, first, second) if first.labels else _changed_neighbours(both, first, second)
    some = len(both) > 0
    return Parity(
        rows=len(ids),
        compared=len(both),
        failed={seen.device: dict(Counter(seen.failed.values())) for seen in (first, second)},
        images_per_s={seen.device: seen.images_per_s for seen in (first, second)},
        choices={seen.device: seen.choices for seen in (first, second)},
        cosine_min=float(cosines.min()) if some else None,
        cosine_median=float(np.median(cosines)) if some else None,
        cosine_max=float(cosines.max()) if some else None,
        worst=ids[both[cosines.argmin()]] if some else None,
        top_1="labels" if first.labels else "nearest neighbours",
        flips=len(flipped),
        flipped=[ids[row] for row in flipped[:shown]],
    )


def _cosines(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, D) twice -> (N,). Unit vectors in float32 are not so in float64; of equal ones it is exactly 1."""
    squares = (first * first).sum(axis=1) * (second * second).sum(axis=1)
    found: NDArray[np.float64] = np.clip((first * second).sum(axis=1) / np.sqrt(squares), -1.0, 1.0)
    return found


def _changed_labels(both: NDArray[Any], first: Seen, second: Seen) -> list[int]:
    return [int(row) for row in both if first.labels[row] != second.labels[row]]


def _changed_neighbours(both: NDArray[Any], first: Seen, second: Seen) -> list[int]:
    """Rows whose nearest other row is another one, and was not as near before: equal pictures are equally near."""
    if len(both) < 2:
        return []
    before, after = first.vectors[both], second.vectors[both]
    flipped: list[int] = []
    for start in range(0, len(both), CHUNK):
        here = np.arange(start, min(start + CHUNK, len(both)))
        near, now = before[here] @ before.T, after[here] @ after.T
        for similar in (near, now):
            similar[np.arange(len(here)), here] = -np.inf
        chosen = near[np.arange(len(here)), now.argmax(axis=1)]
        flipped += [int(both[row]) for row in here[chosen < near.max(axis=1) - TIE]]
    return flipped
