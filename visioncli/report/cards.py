"""One row as a page shows it: a thumbnail, what was said of it, and everything else that the row holds, as text.

Knows nothing of HTML: texts are as they were written, whoever wrote them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from visioncli.io.drawings import colour_of
from visioncli.report.overlays import Row
from visioncli.report.thumbnails import Thumbnail

Fact = tuple[str, str]  # a name and a value

OURS = {"id", "source", "status", "error_code", "error", "sha256", "bytes", "version", "height", "width"}
HEAVY = ("embedding", "text_embedding", "tokens", "logits")  # columns that no card shows
_SAID = {"label", "score", "labels", "scores", "objects"}  # shown as tags
_MOST_TAGS = 12  # of a card; the rest is counted
_MOST_FACTS = 24
_MOST_CHARACTERS = 20_000  # of one value; a page is no place for more


@dataclass(frozen=True, slots=True)
class Tag:
    label: str
    value: str
    title: str = ""  # what more is known
    coloured: bool = True  # whether it has its label's colour

    @property
    def colour(self) -> str:
        return "#{:02x}{:02x}{:02x}".format(*colour_of(self.label))


@dataclass(frozen=True, slots=True)
class Card:
    row: int  # from 0
    id: str
    status: str  # `ok`, an error code, or what became of the row between two runs
    labels: tuple[str, ...]  # by which it is found
    score: float | None
    certainty: float | None
    tags: tuple[Tag, ...]
    facts: tuple[Fact, ...]
    thumbnail: Thumbnail
    text: str | None = None  # what was asked about, where there is no picture
    error: str | None = None
    failed: bool = False


def card(number: int, row: Row, task: str, score: float | None, certainty: float | None, seen: Thumbnail) -> Card:
    """Return a row's card. `score` and `certainty` are what the page sorts by."""
    failed = row["error_code"] is not None
    tags = () if failed else TAGS[task](row)
    return Card(
        row=number,
        id=row["id"],
        status=row["error_code"] if failed else "ok",
        labels=tuple(dict.fromkeys(tag.label for tag in tags[: 1 if task == "classify" else None] if tag.coloured)),
        score=score,
        certainty=certainty,
        tags=shortened(tags),
        facts=facts(row),
        thumbnail=seen,
        text=_asked(row),
        error=row["error"] and cut(row["error"]),
        failed=failed,
    )


def shortened(tags: tuple[Tag, ...]) -> tuple[Tag, ...]:
    """Return the first tags, and in place of the others how many they are."""
    if len(tags) <= _MOST_TAGS:
        return tags
    return (*tags[: _MOST_TAGS - 1], Tag(f"{len(tags) - _MOST_TAGS + 1} more", "", coloured=False))


def facts(row: Row) -> tuple[Fact, ...]:
    """Return what else a row holds, its own columns first; values as text."""
    found: list[Fact] = [("source", row["source"] or "none")]
    if row.get("height"):
        found.append(("pixels", f"{row['width']} × {row['height']}"))
    if row.get("bytes"):
        found.append(("bytes", f"{row['bytes']:,}"))
    others = [(name, value) for name, value in row.items() if name not in OURS | _SAID and value is not None]
    found += [(name, said(value)) for name, value in others[:_MOST_FACTS]]
    return tuple((name, cut(value)) for name, value in found)


def said(value: Any) -> str:
    """Return a value as people read it."""
    return number(value) if isinstance(value, float) else str(value)


def number(value: float | None) -> str:
    """Return four significant digits; small scores as 0.000."""
    if value is None or value != value:
        return "–"
    return f"{value:.3f}" if abs(value) < 1 else f"{value:.4g}"


def cut(text: str) -> str:
    """Return the text, cut where it is longer than a page should hold."""
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}… ({len(text):,} characters)"


def _asked(row: Row) -> str | None:
    """The text of a row that has no picture: of `--text`, its id."""
    return None if row["source"] is not None else cut(str(row.get("text") or row["id"]))


def _classify(row: Row) -> tuple[Tag, ...]:
    pairs = zip(row["labels"] or (), row["scores"] or (), strict=False)
    return tuple(Tag(label, number(score), coloured=place == 0) for place, (label, score) in enumerate(pairs))[:3]


def _objects(row: Row) -> tuple[Tag, ...]:
    return tuple(Tag(one["label"] or "", number(one["score"]), _box(one)) for one in row["objects"] or ())


def _box(one: Row) -> str:
    corners = ", ".join(f"{one[name]:.0f}" for name in ("x0", "y0", "x1", "y1"))
    return f"{one['phrase']}: {corners}" if one.get("phrase") else corners


def _depth(row: Row) -> tuple[Tag, ...]:
    unit = " m" if row["metric"] else ""
    ends = (("nearest", row["depth_min"]), ("farthest", row["depth_max"]))
    return tuple(Tag(name, number(value) + unit, coloured=False) for name, value in ends)


TAGS: dict[str, Callable[[Row], tuple[Tag, ...]]] = {
    "classify": _classify,
    "embed": lambda row: (),
    "detect": _objects,
    "segment": _objects,
    "depth": _depth,
}
