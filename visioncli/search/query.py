"""What is looked for: texts, pictures and rows of the index, each by itself or mixed in one weighted sum.

Knows nothing of models: how a text or a picture becomes a vector is told by `embedding`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visioncli.errors import UsageError
from visioncli.search.exact import Query

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"  # what float() reads, but no word
_WEIGHTED = re.compile(rf"(?s)(.*\S)\s*\*\s*({_NUMBER})\s*")


@dataclass(frozen=True, slots=True)
class Term:
    kind: str  # text, image or row
    value: str  # the text, a path or URL, an id


@dataclass(frozen=True, slots=True)
class Sum:
    """Terms and their weights: the query is the sum of their vectors of length 1, made of length 1 again."""

    terms: tuple[tuple[Term, float], ...]
    name: str

    def vector(self, vectors: Mapping[Term, NDArray[np.float64]]) -> Query:
        """Return the query. Raises UsageError where the terms cancel out."""
        units = [weight * vectors[term] / np.linalg.norm(vectors[term]) for term, weight in self.terms]
        total: Query = np.sum(units, axis=0)
        length = np.linalg.norm(total)
        if not length > 1e-6:
            raise UsageError(f"the terms of the query {self.name!r} cancel out: nothing is left to look for")
        return total / length


def sums(texts: Sequence[str], images: Sequence[str], rows: Sequence[str], minus: Sequence[str]) -> tuple[Sum, ...]:
    """Return what is asked: each term by itself; or, where one has a weight (`*0.5`) or `minus` is given, their sum.

    A weight is the last `*number`; a picture whose file has such a name, and a row, have none there.
    Raises UsageError.
    """
    given = [_text(text) for text in texts] + [_image(image) for image in images]
    given += [(Term("row", id), None) for id in rows]
    mixed = bool(minus) or any(weight is not None for _, weight in given)
    if not mixed:
        return tuple(Sum(((term, 1.0),), term.value) for term, _ in given)
    if not given:
        raise UsageError("--minus takes from something: give --text, --image or --row too")
    terms = [(term, 1.0 if weight is None else weight) for term, weight in given]
    for text in minus:
        term, weight = _text(text)
        terms.append((term, -(1.0 if weight is None else weight)))
    return (Sum(tuple(terms), _told(terms)),)


def _text(given: str) -> tuple[Term, float | None]:
    if not given.strip():
        raise UsageError("an empty text cannot be looked for")
    value, weight = _split(given)
    return Term("text", value), weight


def _image(given: str) -> tuple[Term, float | None]:
    value, weight = (given, None) if os.path.exists(given) else _split(given)
    return Term("image", value), weight


def _split(given: str) -> tuple[str, float | None]:
    found = _WEIGHTED.fullmatch(given)
    if found is None:
        return given, None
    weight = float(found[2])
    if weight in (float("inf"), -float("inf")):
        raise UsageError(f"the weight of {given!r} is larger than numbers go")
    return found[1], weight


def _told(terms: Iterable[tuple[Term, float]]) -> str:
    parts = []
    for term, weight in terms:
        sign = "-" if weight < 0 else "+"
        times = "" if abs(weight) == 1 else f"*{abs(weight):g}"
        parts.append(f"{sign} {term.value}{times}")
    return " ".join(parts).removeprefix("+ ")
