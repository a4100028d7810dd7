"""A page's tables on a terminal, or as plain text elsewhere. What they hold is shown as text, whoever wrote it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from visioncli.cli.sentences import in_one_line, terminal
from visioncli.report.cards import SHORT
from visioncli.report.page import Table


def show(tables: Iterable[Table]) -> None:
    """Print tables on standard output, each with its title and note."""
    from rich import box
    from rich.table import Table as Drawn
    from rich.text import Text

    console = terminal()
    for table in tables:
        drawn = Drawn(box=box.SIMPLE_HEAD, title=Text(table.title), title_justify="left", title_style="bold")
        for place, name in enumerate(table.head):
            is_number = any(isinstance(row[place], int) for row in table.rows)
            drawn.add_column(Text(name), justify="right" if is_number else "left", overflow="fold")
        for row in table.rows:
            drawn.add_row(*(Text(printable(value)) for value in row))
        console.print(drawn)
        if table.note:
            console.print(Text(table.note))


def printable(value: Any) -> str:
    """Return a value's text in one line, short; what a terminal would obey shows as an escape."""
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return in_one_line(text, SHORT)
