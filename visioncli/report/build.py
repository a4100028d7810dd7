"""One output to a page: surveyed in one pass, then the chosen rows' pictures. Knows nothing of HTML.

Whatever the output's size, what is held is ten bytes a row, one row group, and the page itself.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from visioncli.errors import UsageError
from visioncli.report import about
from visioncli.report.album import Album
from visioncli.report.cards import HEAVY, Card, Room, card
from visioncli.report.choose import LEAST, choose
from visioncli.report.neighbours import duplicates, lay_out
from visioncli.report.overlays import Row, overlay_of
from visioncli.report.page import Page
from visioncli.report.plots import Histogram, bars, histogram, histogram_of
from visioncli.report.results import Results, Rows
from visioncli.report.survey import BINS, Measure, Survey, measure_of, survey
from visioncli.report.thumbnails import Frame, Thumbnail, thumbnail
from visioncli.wording import counted

log = logging.getLogger("visioncli")

Seen: TypeAlias = tuple[int, int]  # thumbnails made, and of how many
ROWS = 64  # read and made into thumbnails at a time: their masks are in memory meanwhile


@dataclass(frozen=True, slots=True)
class ReportOptions:
    sample: int = 2000  # rows that are shown, at most
    seed: int = 0
    summary: str | None = None  # what the run's --summary wrote
    root: str | None = None  # where the pictures are now
    fetch: bool = False  # whether pictures that are URLs are fetched
    min_score: float = 0.95  # cosine from which two vectors are near-duplicates

    def __post_init__(self) -> None:
        if self.sample < LEAST:
            raise UsageError(f"--sample: at least {LEAST} rows, so that extremes and failures are among them")
        if not -1 <= self.min_score <= 1:
            raise UsageError(f"--min-score is a cosine, between -1 and 1, not {self.min_score:g}")


def report(path: str, options: ReportOptions) -> Generator[Seen, None, Page]:
    """Yield progress while pictures are read, and return the page. Raises UsageError."""
    with Results(path) as results, album_of(options) as album:
        measure = measure_of(results.task)
        if not results.rows:
            raise UsageError(f"{path} has no rows: there is nothing to show")
        timings = about.timings(options.summary, results)
        found = survey(results)
        together = duplicates(results, np.flatnonzero(found.ok & ~np.isnan(found.score)), options.min_score)
        chosen = choose(found, options.sample, options.seed, None if together is None else together.rows)
        layout = lay_out(results, chosen[found.ok[chosen]], together)
        cards = yield from _cards(results, found, chosen, album)
        _warn_of_moved(cards, options)
        undrawn = without_drawing(cards)
        return Page(
            title=results.name,
            task=results.task,
            tiles=about.tiles(results, found),
            notices=(*about.notices(results, timings), *undrawn),
            tables=about.tables(found, cards, timings),
            cards=tuple(cards),
            bars=(bars(_title(measure.labels), found.labels),) if found.labels else (),
            histograms=_histograms(measure, found),
            map=layout.map if layout else None,
            groups=layout.groups if layout else (),
            groups_note=layout.note if layout else "",
            about=about.provenance(results.provenance),
            score=measure.score,
            label=measure.label,
            unsure=measure.unsure,
            unsure_means=measure.unsure_means,
            shown=_which(found, chosen, options),
        )


def album_of(options: ReportOptions) -> Album:
    """Return where this page's pictures come from; to be opened by who reads them. Raises UsageError."""
    return Album(None if options.root is None else Path(options.root), options.fetch)


def _cards(results: Results, found: Survey, chosen: Rows, album: Album) -> Generator[Seen, None, list[Card]]:
    """A piece's rows are read at once; its pictures are then made by threads."""
    draw, frame, room = overlay_of(results.task), Frame.of(len(chosen)), Room.of(len(chosen))
    cards: list[Card] = []

    def made(row: Row) -> Thumbnail:
        return thumbnail(row, draw, results.folder, album, frame)

    with ThreadPoolExecutor(threads()) as workers:
        for piece in (chosen[first : first + ROWS] for first in range(0, len(chosen), ROWS)):
            rows = light_rows(results, piece)
            for number, row, seen in zip(piece.tolist(), rows, workers.map(made, rows), strict=True):
                score, certainty = _or_none(found.score[number]), _or_none(found.certainty[number])
                cards.append(card(number, row, results.task, score, certainty, seen, room))
                yield len(cards), len(chosen)
    return cards


def threads() -> int:
    """Return how many make thumbnails; more would hold more decoded pictures, not make more."""
    return min(8, os.cpu_count() or 1)


def light_rows(results: Results, rows: Rows) -> list[dict[str, Any]]:
    """Return rows without the columns that no card shows."""
    names = [name for name in results.schema.names if name not in HEAVY]
    found: list[dict[str, Any]] = results.take(rows, names).to_pylist()
    return found


def _or_none(value: np.float32) -> float | None:
    return None if np.isnan(value) else float(value)


def _title(name: str) -> str:
    return name[0].upper() + name[1:]


def _histograms(measure: Measure, found: Survey) -> tuple[Histogram, ...]:
    """Of all scores; where they lie too close together for its bins, or are none, of the rows' own."""
    if np.count_nonzero(found.scores) > 1:
        plot = histogram("Scores", found.scores, np.linspace(-1, 1, BINS + 1))
    else:
        plot = histogram_of("Best scores" if found.scores.any() else _title(measure.score), found.score)
    return () if plot is None else (plot,)


def _which(found: Survey, chosen: Rows, options: ReportOptions) -> str:
    if len(chosen) == found.rows:
        return "Every row."
    failed = int((~found.ok[chosen]).sum())
    said = f"{len(chosen):,} of {found.rows:,} rows: the extremes, {failed:,} of {found.failures:,} failures, "
    return f"{said}and a random rest (--sample {options.sample} --seed {options.seed})."


def without_drawing(cards: Iterable[Card]) -> tuple[str, ...]:
    """Return a sentence on pictures without what was found on them, and say it; nothing where there are none."""
    why = [one.thumbnail.undrawn for one in cards if one.thumbnail.undrawn is not None]
    if not why:
        return ()
    said = f"{counted(len(why), 'picture is', 'pictures are')} shown without what was found: {why[0]}"
    log.warning("%s", said)
    return (f"{said}.",)


def _warn_of_moved(cards: list[Card], options: ReportOptions) -> None:
    """Say what to do when no picture is where the output says."""
    wanted = [one for one in cards if not one.failed and one.text is None]
    lost = [one for one in wanted if one.thumbnail.data is None]
    if wanted and len(lost) == len(wanted):
        advice = "say --root DIR where they are now" if options.root is None else "--root leads to none of them"
        log.warning("no picture could be read (%s); %s", lost[0].thumbnail.reason, advice)
