"""One row as a page shows it: a thumbnail, what was said of it, and everything else that the row holds, as text.

Knows nothing of HTML: texts are as they were written, whoever wrote them.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from visioncli.io.drawings import colour_of
from visioncli.report.overlays import Row
from visioncli.report.thumbnails import Thumbnail

Fact = tuple[str, str]  # a name and a value

OURS = {"id", "source", "status", "error_code", "error", "sha256", "bytes", "version", "height", "width"}
HEAVY = ("embedding", "text_embedding", "tokens", "logits")  # columns that no card shows
_SAID = {  # columns of a task that are shown as tags
    "classify": {"label", "score", "labels", "scores"},
    "detect": {"objects"},
    "segment": {"objects"},
    "similar": {"query", "rank", "score"},
}
SHORT = 160  # characters of a long text that are shown before someone asks for the rest
_MOST_TAGS = 12  # of a card; the rest is counted
_MOST_FACTS = 24
_MOST_CHARACTERS = 20_000  # of one value; a page is no place for more
_ALL_BYTES = 3_000_000  # of all cards' texts in a page, with what is around them: see thumbnails.ALL_BYTES
_LEAST_BYTES = 1_500  # of one card's
_AROUND, _AROUND_LONG = 30, 80  # bytes of HTML around a text, and around one that is cut at SHORT


@dataclass(frozen=True, slots=True)
class Room:
    """How much text a card may hold, so that many fit into a page."""

    bytes: int

    @classmethod
    def of(cls, cards: int) -> Room:
        return cls(max(_LEAST_BYTES, _ALL_BYTES // max(1, cards)))

    def cut(self, texts: Sequence[str]) -> list[str]:
        """Return texts that fit together; the longest are cut, and say so."""
        most = _MOST_CHARACTERS
        while most > 20 and sum(_size(cut(text, most)) for text in texts) > self.bytes:
            most = most * 3 // 4
        return [cut(text, most) for text in texts]

    def name(self, text: str) -> str:
        """Return an id, which stands on the page twice or more."""
        return cut(text, max(100, self.bytes // 8))

    def label(self, text: str) -> str:
        """Return a tag's label, of which a card has a dozen."""
        return cut(text, max(40, self.bytes // 40))


def _size(text: str) -> int:
    size = len(html.escape(text).encode("utf-8", "backslashreplace"))
    return size + (_AROUND if len(text) <= SHORT else _AROUND_LONG + SHORT)


@dataclass(frozen=True, slots=True)
class Tag:
    label: str
    value: str
    title: str = ""  # what more is known
    coloured: bool = True  # whether it has its label's colour
    short: str = ""  # in place of a label that is too long

    @property
    def colour(self) -> str:
        return "#{:02x}{:02x}{:02x}".format(*colour_of(self.label))


@dataclass(frozen=True, slots=True)
class Card:
    row: int  # from 0; of a comparison, the card's own number
    place: str  # the row or rows that it is, to people
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


def card(
    number: int, row: Row, task: str, score: float | None, certainty: float | None, seen: Thumbnail, room: Room
) -> Card:
    """Return a row's card. `score` and `certainty` are what the page sorts by."""
    failed = row["error_code"] is not None
    tags = () if failed else TAGS[task](row)
    error, *told = room.cut([row["error"] or "", *(value for _, value in facts(row, task))])
    return Card(
        row=number,
        place=f"row {number:,}",
        id=room.name(row["id"]),
        status=row["error_code"] if failed else "ok",
        labels=tuple(dict.fromkeys(tag.label for tag in tags[: 1 if task == "classify" else None] if tag.coloured)),
        score=score,
        certainty=certainty,
        tags=shortened(tags, room),
        facts=tuple((name, value) for (name, _), value in zip(facts(row, task), told, strict=True)),
        thumbnail=seen,
        text=asked(row),
        error=error or None,
        failed=failed,
    )


def shortened(tags: tuple[Tag, ...], room: Room) -> tuple[Tag, ...]:
    """Return the first tags, and in place of the others how many they are."""
    shown = tags if len(tags) <= _MOST_TAGS else tags[: _MOST_TAGS - 1]
    fitting = tuple(replace(tag, short=room.label(tag.label), title=room.label(tag.title)) for tag in shown)
    return fitting if shown is tags else (*fitting, Tag(f"{len(tags) - len(shown)} more", "", coloured=False))


def facts(row: Row, task: str) -> tuple[Fact, ...]:
    """Return what else a row holds, its own columns first; values as text."""
    found: list[Fact] = [("source", row["source"] or "none")]
    if row.get("height"):
        found.append(("pixels", f"{row['width']} × {row['height']}"))
    if row.get("bytes"):
        found.append(("bytes", f"{row['bytes']:,}"))
    told = OURS | _SAID.get(task, set())
    others = [(name, value) for name, value in row.items() if name not in told and value is not None]
    return (*found, *((name, said(value)) for name, value in others[:_MOST_FACTS]))


def said(value: Any) -> str:
    """Return a value as people read it."""
    return number(value) if isinstance(value, float) else str(value)


def number(value: float | None) -> str:
    """Return a number in few digits, none of which hides that it is not 0."""
    if value is None or value != value:
        return "–"
    if 0 < abs(value) < 0.01:
        return f"{value:.2g}"
    return f"{value:.3f}" if abs(value) < 1 else f"{value:.4g}"


def cut(text: str, most: int = _MOST_CHARACTERS) -> str:
    """Return the text, cut where it is longer than a page should hold."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


def asked(row: Row) -> str | None:
    """Return the text of a row that has no picture: of `--text`, its id."""
    return None if row["source"] is not None else str(row.get("text") or row["id"])[:SHORT]


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


def _hit(row: Row) -> tuple[Tag, ...]:
    return Tag(row["query"], number(row["score"])), Tag("rank", str(row["rank"]), coloured=False)


TAGS: dict[str, Callable[[Row], tuple[Tag, ...]]] = {
    "classify": _classify,
    "embed": lambda row: (),
    "detect": _objects,
    "segment": _objects,
    "depth": _depth,
    "similar": _hit,
}
