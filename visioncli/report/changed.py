"""A comparison to what people read: its tables, and a page with the rows that changed most. Knows nothing of HTML."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from visioncli.report.album import Album
from visioncli.report.build import ROWS, ReportOptions, Seen, album_of, light_rows, threads, without_drawing
from visioncli.report.cards import Card, Room, Tag, asked, facts, number, shortened
from visioncli.report.changes import CHANGES, matched
from visioncli.report.comparison import Comparison
from visioncli.report.overlays import Drawn, Pixels, Row, answered, beside, only_depth, with_objects
from visioncli.report.page import Page, Table, table
from visioncli.report.plots import histogram_of
from visioncli.report.results import Results
from visioncli.report.thumbnails import Frame, Thumbnail, thumbnail
from visioncli.wording import counted

_MOST_FLIPS = 40  # pairs of labels that are listed
_SIDES = "Where two pictures are side by side, the left is the old run's."
Side: TypeAlias = tuple[str, Row]  # `old` or `new`, and a row that was answered
KINDS = ("new failure", "mended", "flipped", "drifted", "added", "removed")


@dataclass(frozen=True, slots=True)
class Entry:
    """A row to show. `old` or `new` is -1 where the row is in one output alone; `drift` NaN where it has none."""

    kind: str  # one of KINDS
    old: int
    new: int
    drift: float


def summary(pair: Comparison) -> tuple[Table, ...]:
    """Return what changed as tables, provenance first."""
    differing = [table("Produced differently", ("what", "old", "new"), pair.differences)] if pair.differences else []
    return (*differing, _counts(pair), *_flips(pair))


def _counts(pair: Comparison) -> Table:
    rows: list[tuple[str, Any]] = [
        ("rows in both", pair.rows),
        ("added", len(pair.added)),
        ("removed", len(pair.removed)),
    ]
    rows += [("new failures", int(pair.new_failures.sum())), ("mended", int(pair.mended.sum()))]
    if pair.flipped is not None:
        rows.append(("flipped", int(pair.flipped.sum())))
    known = pair.drift[~np.isnan(pair.drift)]
    if known.size:
        rows += [
            (f"drift, {name}", float(f"{np.percentile(known, at):.4g}"))
            for name, at in (("median", 50), ("95 of 100 below", 95), ("largest", 100))
        ]
    note = f"Drift: {CHANGES[pair.new.task].drift}." if known.size else ""
    return table("What changed", ("", ""), rows, note)


def _flips(pair: Comparison) -> tuple[Table, ...]:
    if not pair.flips:
        return ()
    rows = [(was, is_, count) for (was, is_), count in pair.flips.most_common(_MOST_FLIPS)]
    note = f"The {_MOST_FLIPS} most frequent of {len(pair.flips):,}." if len(pair.flips) > _MOST_FLIPS else ""
    return (table("Flips", ("old", "new", "how often"), rows, note),)


def entries(pair: Comparison, most: int) -> list[Entry]:
    """Return the rows that changed, those that matter most first: failures, flips, then the largest drift."""
    found: list[Entry] = []
    drift = np.where(np.isnan(pair.drift), -1, pair.drift)
    flipped = np.zeros(pair.rows, bool) if pair.flipped is None else pair.flipped
    order = np.argsort(-drift, kind="stable")
    kinds = (pair.new_failures, pair.mended, flipped, (drift > 0) & ~flipped)
    for kind, rows in zip(KINDS, kinds, strict=False):
        places = order[rows[order]][: most - len(found)].tolist()
        found += [Entry(kind, int(pair.old_rows[p]), int(pair.new_rows[p]), float(pair.drift[p])) for p in places]
    nan = float("nan")
    found += [Entry("added", -1, row, nan) for row in pair.added[: most - len(found)].tolist()]
    found += [Entry("removed", row, -1, nan) for row in pair.removed[: most - len(found)].tolist()]
    return found


def changed(pair: Comparison, passed: list[str], options: ReportOptions) -> Generator[Seen, None, Page]:
    """Yield progress while pictures are read, and return the page. Raises UsageError."""
    chosen = entries(pair, options.sample)
    with album_of(options) as album:
        cards = yield from _cards(pair, chosen, album)
    tables = summary(pair)
    plot = histogram_of("Drift", pair.drift)
    return Page(
        title=f"{pair.old.name} → {pair.new.name}",
        task=f"{pair.new.task}, two runs",
        tiles=tuple(
            (str(f"{value:,}" if isinstance(value, int) else value), name) for name, value in _counts(pair).rows
        ),
        notices=(*(f"{sentence}." for sentence in (*passed, pair.left_out) if sentence), *without_drawing(cards)),
        tables=tables,
        cards=tuple(cards),
        histograms=() if plot is None else (plot,),
        score="drift",
        kinds="change",
        listed="failures and flips first",
        shown=f"{counted(len(cards), 'row')} that changed. {_SIDES}" if cards else "No row changed.",
    )


def _cards(pair: Comparison, chosen: list[Entry], album: Album) -> Generator[Seen, None, list[Card]]:
    """A piece's rows are read at once; its pictures are then made by threads."""
    frame, room = Frame.of(len(chosen)), Room.of(len(chosen))
    cards: list[Card] = []

    def made(sides: tuple[Row | None, Row | None]) -> Thumbnail:
        return _thumbnail(pair, *sides, album, frame)

    with ThreadPoolExecutor(threads()) as workers:
        for first in range(0, len(chosen), ROWS):
            piece = chosen[first : first + ROWS]
            old, new = _rows(pair.old, [one.old for one in piece]), _rows(pair.new, [one.new for one in piece])
            sides = list(zip(old, new, strict=True))
            for entry, (before, after), seen in zip(piece, sides, workers.map(made, sides), strict=True):
                cards.append(_card(len(cards), entry, pair.new.task, before, after, seen, room))
                yield len(cards), len(chosen)
    return cards


def _rows(results: Results, rows: list[int]) -> list[Row | None]:
    there = np.array([row for row in rows if row >= 0], np.int64)
    found = iter(light_rows(results, there))
    return [next(found) if row >= 0 else None for row in rows]


def _thumbnail(pair: Comparison, before: Row | None, after: Row | None, album: Album, frame: Frame) -> Thumbnail:
    """The picture; where something was found on it, as the old run and as the new one saw it."""
    draw = SIDES.get(pair.new.task)
    row = after or before
    assert row is not None

    def both(image: Pixels, row: Row, folder: object) -> Image.Image:
        runs = ((before, pair.old), (after, pair.new))
        sides = [answered(draw)(image, one, results.folder) for one, results in runs if draw and one]
        return beside(*sides) if len(sides) == 2 else sides[0] if sides else Image.fromarray(image)

    return thumbnail(row, both, pair.new.folder, album, frame)


def _card(
    number: int, entry: Entry, task: str, before: Row | None, after: Row | None, seen: Thumbnail, room: Room
) -> Card:
    row = after or before
    assert row is not None
    tags = _tags(entry, task, before, after)
    errors = [f"{side}: {one['error']}" for side, one in (("old", before), ("new", after)) if one and one["error"]]
    error, *told = room.cut(["; ".join(errors), *(value for _, value in facts(row, task))])
    return Card(
        row=number,
        place=", ".join(f"{side} row {at:,}" for side, at in (("old", entry.old), ("new", entry.new)) if at >= 0),
        id=room.name(row["id"]),
        status=entry.kind,
        labels=tuple(dict.fromkeys(tag.label for tag in tags if tag.coloured)),
        score=None if np.isnan(entry.drift) else entry.drift,
        certainty=None,
        tags=shortened(tags, room),
        facts=tuple((name, value) for (name, _), value in zip(facts(row, task), told, strict=True)),
        thumbnail=seen,
        text=asked(row),
        error=error or None,
        failed=entry.kind == "new failure",
    )


def _tags(entry: Entry, task: str, before: Row | None, after: Row | None) -> tuple[Tag, ...]:
    sides = [(name, row) for name, row in (("old", before), ("new", after)) if row and row["error_code"] is None]
    drift = () if not entry.drift > 0 else (Tag("drift", number(entry.drift), coloured=False),)
    return (*drift, *TAGS[task](sides))


def _label_tags(sides: list[Side]) -> tuple[Tag, ...]:
    return tuple(Tag(row["label"], f"{name} {number(row['score'])}") for name, row in sides)


def _range_tags(sides: list[Side]) -> tuple[Tag, ...]:
    return tuple(
        Tag(name, f"{number(row['depth_min'])} to {number(row['depth_max'])}", coloured=False) for name, row in sides
    )


def _found_tags(sides: list[Side]) -> tuple[Tag, ...]:
    if len(sides) < 2:
        return ()
    return _object_tags(*(row["objects"] or [] for _, row in sides))


def _object_tags(old: list[Row], new: list[Row]) -> tuple[Tag, ...]:
    stayed, gone, come = matched(old, new)
    tags = [Tag(one["label"], f"gone {number(one['score'])}") for one in gone]
    tags += [Tag(one["label"], f"new {number(one['score'])}") for one in come]
    moved = sorted(stayed, key=lambda pair: -abs(pair[1]["score"] - pair[0]["score"]))
    tags += [Tag(a["label"], f"{number(a['score'])} → {number(b['score'])}") for a, b in moved]
    return tuple(tags)


TAGS: dict[str, Callable[[list[Side]], tuple[Tag, ...]]] = {
    "classify": _label_tags,
    "embed": lambda sides: (),
    "detect": _found_tags,
    "segment": _found_tags,
    "depth": _range_tags,
}
SIDES: dict[str, Drawn] = {"detect": with_objects, "segment": with_objects, "depth": only_depth}
