"""A small table to where it was asked for: a terminal, JSON lines on standard output, or a file."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visioncli.cli.drawn import show, terminal
from visioncli.cli.sentences import in_one_line
from visioncli.errors import UsageError
from visioncli.io.standard import put
from visioncli.wording import counted

log = logging.getLogger("visioncli")

if TYPE_CHECKING:
    import pyarrow as pa

# On a terminal: ids are whole, in several lines where one is too short; others than our own show where there is room
_IDS = frozenset("id id_a id_b representative members".split())  # noqa: SIM905
_OWN = _IDS | frozenset("query rank score group size".split())  # noqa: SIM905
_UNSHOWN = frozenset("source status error_code error sha256 bytes version height width".split())  # noqa: SIM905
_NUMBERS = frozenset("rank score size group".split())  # noqa: SIM905
_QUERY, _OTHER, _ID = 24, 40, 2000  # letters of a cell
_MEMBERS = 20
_MOST_ROWS = 1000

_PRODUCED = ("model", "commit", "embedding_space")  # what hits tell of the index


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
        if path.is_dir() or not path.absolute().parent.is_dir():
            raise UsageError(
                f"-o: {path} is a folder" if path.is_dir() else f"-o: the folder {path.parent} is not there"
            )
        if path.exists() and not overwrite:
            raise UsageError(f"{path} is there already; say --overwrite")
        return cls(path, False)

    def give(self, table: pa.Table, parameters: dict[str, Any], facts: Mapping[str, Any]) -> None:
        """Write or show it; `facts` are what the index says of itself. Raises OutputError."""
        if self.path is not None:
            self._write(self.path, table, parameters, facts)
            log.info("%s: %s", self.path, counted(len(table), "row"))
        elif len(table) == 0:
            log.info("nothing found")
        elif self.is_table:
            _show(table)
        else:
            put(_lines(table))

    def _write(self, path: Path, table: pa.Table, parameters: dict[str, Any], facts: Mapping[str, Any]) -> None:
        from visioncli.io.sinks import SINKS, SUFFIXES
        from visioncli.tables import look_up

        said = {"tool": f"visioncli {version('visioncli')}", "task": "similar", "parameters": parameters}
        said |= {name: str(facts[name]) for name in _PRODUCED if facts.get(name)}
        schema = table.schema.with_metadata({"visioncli": json.dumps(said)})
        look_up(SINKS, SUFFIXES[path.suffix], "output format")(path, schema, [table.cast(schema)])


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
    from rich.table import Table
    from rich.text import Text

    rows = table.slice(0, _MOST_ROWS).to_pydict()
    cells = {name: [_printable(name, value) for value in rows[name]] for name in rows if name not in _UNSHOWN}
    drawn = Table(box=box.SIMPLE_HEAD)
    names = _fitting(cells, terminal().width)
    for name in names:
        drawn.add_column(
            Text(name),
            justify="right" if name in _NUMBERS else "left",
            overflow="fold",
            no_wrap=name not in _IDS,
        )
    for row in zip(*(cells[name] for name in names), strict=True):
        drawn.add_row(*map(Text, row))
    show(drawn)
    if len(table) > _MOST_ROWS:
        print(f"visioncli: the first {_MOST_ROWS:,} of {len(table):,} rows; -o FILE has all", file=sys.stderr)


def _fitting(cells: Mapping[str, Sequence[str]], width: int) -> list[str]:
    """Our own columns, and of the others the first for which a line of `width` letters has room beside them."""
    from rich.cells import cell_len

    wide = {
        name: 3 + max(map(cell_len, (name, *column))) for name, column in cells.items()
    }  # with two blanks and a gap; the table has two edges
    left = width - 1 - sum(wide[name] for name in cells if name in _OWN)
    shown = []
    for name in cells:
        left -= 0 if name in _OWN else wide[name]
        if name in _OWN or left >= 0:
            shown.append(name)
    return shown


def _printable(name: str, value: Any) -> str:
    """In one line; what a terminal would obey shows as an escape. Ids stay whole."""
    if isinstance(value, list):
        more = f", … {len(value) - _MEMBERS:,} more" if len(value) > _MEMBERS else ""
        value = ", ".join(map(str, value[:_MEMBERS])) + more
    text = "" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)
    return in_one_line(text, _QUERY if name == "query" else _ID if name in _IDS else _OTHER)
