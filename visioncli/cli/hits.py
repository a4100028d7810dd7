"""A small table to where it was asked for: a terminal, JSON lines on standard output, or a file."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visioncli.cli.sentences import in_one_line
from visioncli.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

_SHOWN = 60  # letters of a cell on a terminal
_UNSHOWN = frozenset("source status error_code error sha256 bytes version height width".split())  # noqa: SIM905
_MOST_COLUMNS = 8
_MOST_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Answers:
    """Where the table goes; settled before anything is searched."""

    path: Path | None  # None: standard output
    is_table: bool  # on a terminal

    @classmethod
    def to(cls, output: str | None, overwrite: bool) -> Answers:
        """Raises UsageError for a form that is not known and for a file that is there."""
        if output is None or output == "-":
            return cls(None, output is None and sys.stdout.isatty())
        from visioncli.io.sinks import SUFFIXES

        path = Path(output)
        if path.suffix not in SUFFIXES or output.endswith("/"):
            raise UsageError(f"the output {output!r} must end in .parquet or .jsonl, or be - (JSONL)")
        if path.exists() and not overwrite:
            raise UsageError(f"{path} is there already; say --overwrite")
        return cls(path, False)

    def give(self, table: pa.Table, parameters: dict[str, Any]) -> None:
        """Write or show it. Raises OutputError."""
        if self.path is not None:
            self._write(self.path, table, parameters)
        elif self.is_table:
            _show(table)
        else:
            _print(table)

    def _write(self, path: Path, table: pa.Table, parameters: dict[str, Any]) -> None:
        from visioncli.io.sinks import SINKS, SUFFIXES
        from visioncli.tables import look_up

        said = {"tool": f"visioncli {version('visioncli')}", "task": "similar", "parameters": parameters}
        schema = table.schema.with_metadata({"visioncli": json.dumps(said)})
        look_up(SINKS, SUFFIXES[path.suffix], "output format")(path, schema, [table.cast(schema)])


def _print(table: pa.Table) -> None:
    try:
        for line in _lines(table):
            print(line)
        sys.stdout.flush()
    except BrokenPipeError:  # nobody reads on; the interpreter would complain at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _lines(table: pa.Table) -> Iterator[str]:
    """As `json_lines`, which imports pandas through pyarrow: 0.14 s. Plain columns need it not."""
    import pyarrow.types as kinds

    plain = (kinds.is_string, kinds.is_integer, kinds.is_float32, kinds.is_boolean)
    if not all(any(fits(field.type) for fits in plain) for field in table.schema):
        from visioncli.io.json_lines import json_lines

        yield from json_lines(table)
        return
    for row in table.to_pylist():
        yield json.dumps({name: _number(value) for name, value in row.items()}, ensure_ascii=False)


def _number(value: Any) -> Any:
    """A float32 in as few digits as tell it from others; not-a-number is null, as in all our JSON."""
    import numpy as np

    if not isinstance(value, float):
        return value
    return float(str(np.float32(value))) if np.isfinite(value) else None


def _show(table: pa.Table) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    names = [name for name in table.column_names if name not in _UNSHOWN][:_MOST_COLUMNS]
    drawn = Table(box=box.SIMPLE_HEAD)
    for name in names:
        drawn.add_column(Text(name), justify="right" if name in ("rank", "score", "size", "group") else "left")
    for row in table.select(names).slice(0, _MOST_ROWS).to_pylist():
        drawn.add_row(*(Text(_printable(value)) for value in row.values()))
    Console(highlight=False).print(drawn)
    if len(table) > _MOST_ROWS:
        print(f"visioncli: the first {_MOST_ROWS:,} of {len(table):,} rows; -o FILE has all", file=sys.stderr)


def _printable(value: Any) -> str:
    """In one line, short; what a terminal would obey shows as an escape."""
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    text = "" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)
    return in_one_line(text, _SHOWN)
