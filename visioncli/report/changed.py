"""A comparison to what people read: its tables, and a page with the rows that changed most. Knows nothing of HTML."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from visioncli.report.album import Album
from visioncli.report.build import ROWS, ReportOptions, Seen, album_of, light_rows, threads
from visioncli.report.cards import Card, Fact, Tag, cut, facts, number, shortened
from visioncli.report.changes import CHANGES, matched
from visioncli.report.comparison import Comparison
from visioncli.report.overlays import Pixels, Row, beside, overlay_of
from visioncli.report.page import Page, Table, table
from visioncli.report.plots import histogram_of
from visioncli.report.results import Results
from visioncli.report.thumbnails import Frame, Thumbnail, thumbnail

_MOST_FLIPS = 40  # pairs of labels that are listed
_SIDES = "Where a picture is there twice, the left is the old run's."
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
        notices=tuple(f"{sentence}." for sentence in (*passed, pair.left_out) if sentence),
        tables=tables,
        cards=tuple(cards),
        histograms=() if plot is None else (plot,),
        score="drift",
        kinds="change",
        shown=f"{len(cards):,} rows that changed: failures and flips first, then the largest drift. {_SIDES}",
    )


def _cards(pair: Comparison, chosen: list[Entry], album: Album) -> Generator[Seen, None, list[Card]]:
    """A piece's rows are read at once; its pictures are then made by threads."""
    frame = Frame.of(len(chosen))
    cards: list[Card] = []

    def made(sides: tuple[Row | None, Row | None]) -> Thumbnail:
        return _thumbnail(pair, *sides, album, frame)

    with ThreadPoolExecutor(threads()) as workers:
        for first in range(0, len(chosen), ROWS):
            piece = chosen[first : first + ROWS]
            old, new = _rows(pair.old, [one.old for one in piece]), _rows(pair.new, [one.new for one in piece])
            sides = list(zip(old, new, strict=True))
            for entry, (before, after), seen in zip(piece, sides, workers.map(made, sides), strict=True):
                cards.append(_card(len(cards), entry, pair.new.task, before, after, seen))
                yield len(cards), len(chosen)
    return cards


def _rows(results: Results, rows: list[int]) -> list[Row | None]:
    there = np.array([row for row in rows if row >= 0], np.int64)
    found = iter(light_rows(results, there))
    return [next(found) if row >= 0 else None for row in rows]


def _thumbnail(pair: Comparison, before: Row | None, after: Row | None, album: Album, frame: Frame) -> Thumbnail:
    """The picture; where something is drawn on it, as the old run and as the new one saw it."""
    draw = overlay_of(pair.new.task)
    row = after or before
    assert row is not None

    def both(image: Pixels, row: Row, folder: object) -> Image.Image:
        sides = [draw(image, one, results.folder) for one, results in ((before, pair.old), (after, pair.new)) if one]
        return beside(*sides) if len(sides) == 2 and pair.new.task not in ("classify", "embed") else sides[-1]

    return thumbnail(row, both, pair.new.folder, album, frame)


def _card(place: int, entry: Entry, task: str, before: Row | None, after: Row | None, seen: Thumbnail) -> Card:
    row = after or before
    assert row is not None
    tags = _tags(task, before, after)
    errors = [f"{side}: {one['error']}" for side, one in (("old", before), ("new", after)) if one and one["error"]]
    return Card(
        row=place,
        id=row["id"],
        status=entry.kind,
        labels=tuple(dict.fromkeys(tag.label for tag in tags if tag.coloured)),
        score=None if np.isnan(entry.drift) else entry.drift,
        certainty=None,
        tags=shortened(tags),
        facts=_facts(entry, row),
        thumbnail=seen,
        text=None if row["source"] is not None else str(row.get("text") or row["id"]),
        error=cut("; ".join(errors)) or None,
        failed=entry.kind == "new failure",
    )


def _facts(entry: Entry, row: Row) -> tuple[Fact, ...]:
    rows = [(name, f"{at:,}") for name, at in (("row in old", entry.old), ("row in new", entry.new)) if at >= 0]
    return (*rows, *facts(row))


def _tags(task: str, before: Row | None, after: Row | None) -> tuple[Tag, ...]:
    sides = [(name, row) for name, row in (("old", before), ("new", after)) if row and row["error_code"] is None]
    if task == "classify":
        return tuple(Tag(row["label"], f"{name} {number(row['score'])}") for name, row in sides)
    if task == "depth":
        return tuple(
            Tag(name, f"{number(row['depth_min'])} to {number(row['depth_max'])}", coloured=False)
            for name, row in sides
        )
    if task == "embed" or len(sides) < 2:
        return ()
    return _object_tags(sides[0][1]["objects"] or [], sides[1][1]["objects"] or [])


def _object_tags(old: list[Row], new: list[Row]) -> tuple[Tag, ...]:
    stayed, gone, come = matched(old, new)
    tags = [Tag(one["label"], f"gone {number(one['score'])}") for one in gone]
    tags += [Tag(one["label"], f"new {number(one['score'])}") for one in come]
    moved = sorted(stayed, key=lambda pair: -abs(pair[1]["score"] - pair[0]["score"]))
    tags += [Tag(a["label"], f"{number(a['score'])} → {number(b['score'])}") for a, b in moved]
    return tuple(tags)
