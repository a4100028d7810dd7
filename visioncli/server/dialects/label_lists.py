"""Lists of labels as clients send them, over a task that is asked for each label once.

A list may repeat a label: each of its places has a score then. Knows nothing of HTTP or models.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from visioncli.server.limits import MOST_TEXTS, refuse_many
from visioncli.tasks.classify import Labelled

Scores = NDArray[np.float64]  # (places of the list,)


def split(given: str) -> list[str]:
    """Return the labels of a text with commas between them, without blanks around; empty ones are none.

    Raises UsageError for too many, before they are made.
    """
    refuse_many(given.count(",") + 1, MOST_TEXTS, "labels")
    return [label.strip() for label in given.split(",") if label.strip()]


def distinct(labels: Sequence[str]) -> tuple[str, ...]:
    """Return each label once, in the order of the list."""
    return tuple(dict.fromkeys(labels))


def in_places(labels: Sequence[str], found: Labelled) -> Scores:
    """Return the scores in the order of the list, (len(labels),)."""
    known = dict(zip(found.labels, found.scores.tolist(), strict=True))
    return np.array([known[label] for label in labels], np.float64)


def softmax(logits: Scores) -> Scores:
    powers: Scores = np.exp(logits - logits.max())
    shares: Scores = powers / powers.sum()
    return shares


def best_first(scores: Scores) -> list[int]:
    """Return the places, best score first; equal ones in the order of the list."""
    places: list[int] = np.argsort(-scores, kind="stable").tolist()
    return places
