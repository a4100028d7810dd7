"""A page's tables on a terminal, or as plain text elsewhere. What they hold is shown as text, whoever wrote it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from visioncli.cli import drawn
from visioncli.cli.sentences import in_one_line
from visioncli.report.cards import SHORT
from visioncli.report.page import Table


def show(tables: Iterable[Table]) -> None:
    """Print tables on standard output, each with its title and note."""
    drawn.show(*(part for table in tables for part in _drawn(table)))


def _drawn(table: Table) -> Iterator[Any]:
    from rich import box
    from rich.table import Table as Drawn
    from rich.text import Text

    found = Drawn(box=box.SIMPLE_HEAD, title=Text(table.title), title_justify="left", title_style="bold")
    found.show_header = any(table.head)
    for place, name in enumerate(table.head):
        is_number = any(isinstance(row[place], int) for row in table.rows)
        found.add_column(Text(name), justify="right" if is_number else "left", overflow="fold")
    for row in table.rows:
        found.add_row(*(Text(printable(value)) for value in row))
    yield found
    if table.note:
        yield Text(table.note)


def printable(value: Any) -> str:
    """Return a value's text in one line, short; what a terminal would obey shows as an escape."""
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return in_one_line(text, SHORT)
