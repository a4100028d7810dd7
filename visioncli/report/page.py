"""A page's parts to one HTML file that needs nothing else. Knows nothing of outputs or tasks.

Every text is escaped by the template. The page forbids itself the network, and any script but its own, by a
Content-Security-Policy with the script's and the style's own hashes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from visioncli.errors import UsageError
from visioncli.io.durable import whole_or_absent
from visioncli.report.cards import SHORT, Card
from visioncli.report.plots import HEIGHT, MAP, WIDTH, Bars, Histogram, Map


@dataclass(frozen=True, slots=True)
class Table:
    """`rows` hold texts, numbers, or lists of (text, row number) that lead to cards."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Near-duplicates: the first row is the group's representative."""

    rows: tuple[int, ...]  # those that have a card
    size: int


@dataclass(frozen=True)
class Page:
    title: str
    task: str
    tiles: tuple[tuple[str, str], ...]  # the numbers to see first: value and name
    notices: tuple[str, ...]
    tables: tuple[Table, ...]
    cards: tuple[Card, ...]
    bars: tuple[Bars, ...] = ()
    histograms: tuple[Histogram, ...] = ()
    map: Map | None = None
    groups: tuple[Group, ...] = ()
    groups_note: str = ""
    about: tuple[tuple[str, str], ...] = ()  # what produced the answers
    score: str = "score"  # what the cards' `score` is called
    unsure: str = "least certain"
    unsure_means: str = ""
    shown: str = ""  # which rows have a card
    kinds: str = "status"  # what the cards' `status` is called
    label: str = "label"  # and one of their `labels`
    listed: str = "as in the table"  # in which order the cards are


def write(page: Page, path: Path) -> None:
    """Write the page, whole or absent. Raises OutputError."""
    with whole_or_absent(path) as file:
        for piece in rendered(page):
            file.write(piece.encode("utf-8", "backslashreplace"))


def rendered(page: Page) -> Iterator[str]:
    """Yield the page's HTML in pieces."""
    classes = _colour_classes(page)
    style = _part("page.css") + "".join(f".{name}{{--c:{colour}}}" for colour, name in classes.items())
    script = _part("page.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    statuses = Counter(card.status for card in page.cards).most_common()
    labels = sorted(Counter(label for card in page.cards for label in card.labels).items())
    yield from _template().generate(
        page=page,
        style=style,
        script=script,
        policy=policy,
        data=_as_json(page, [name for name, _ in statuses], [name for name, _ in labels]),
        css_class=classes,
        labels=labels,
        statuses=statuses,
        shown_rows={card.row: card for card in page.cards},
        sizes={"width": WIDTH, "height": HEIGHT, "map": MAP},
        short=SHORT,
    )


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raise UsageError where the page cannot or may not be written, before work is done for it."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"-o: a report is HTML; {str(path)!r} must end in .html")
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists; say --overwrite to replace it")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"-o: the folder {path.parent} is not there")


def _as_json(page: Page, statuses: Sequence[str], labels: Sequence[str]) -> str:
    """What the script needs of each card: row, status, score, certainty and labels, named by their places in the lists.

    Safe inside a script element: numbers and brackets, and no text that someone wrote.
    """
    status, label = ({name: place for place, name in enumerate(names)} for names in (statuses, labels))
    cards = [
        [c.row, status[c.status], _number(c.score), _number(c.certainty), [label[name] for name in c.labels]]
        for c in page.cards
    ]
    return json.dumps(cards, separators=(",", ":"))


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")


def _colour_classes(page: Page) -> dict[str, str]:
    """Each colour that the page uses -> the name of its class: a style attribute would need a weaker policy."""
    tags = (tag.colour for card in page.cards for tag in card.tags if tag.coloured)
    bars = (bar.colour for chart in page.bars for bar in chart.bars if bar.colour is not None)
    return {colour: f"c{place}" for place, colour in enumerate(dict.fromkeys([*bars, *tags]))}


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _part(name: str) -> str:
    return (files("visioncli.report") / name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _template() -> Any:
    from jinja2 import DictLoader, Environment, StrictUndefined

    environment = Environment(
        loader=DictLoader({"page": _part("page.html.j2")}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page")


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[Any]], note: str = "") -> Table:
    """Return a table of the page."""
    return Table(title, tuple(head), tuple(tuple(row) for row in rows), note)
