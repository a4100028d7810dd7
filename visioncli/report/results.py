"""A finished output as it lies on disk: what it says of itself, its columns a piece at a time, and single rows.

A Parquet file, a JSON-lines file (copied to Parquet while it is open) or a folder of parts. Knows nothing of what the
columns mean, nor of pages.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from visioncli.errors import UsageError
from visioncli.io.row_groups import RowGroups
from visioncli.io.sinks import JSON_LINES, read_jsonl, write_parquet

Rows = NDArray[np.int64]  # row numbers, from 0

NEEDED = {"id", "source", "status", "error_code", "error"}  # columns of every output


class Results:
    """A context manager. `folder` is where the paths of side files start."""

    def __init__(self, path: str) -> None:
        """Raises UsageError when there is nothing, or nothing of ours."""
        self.path = Path(path)
        self.name = self.path.name or str(self.path)
        self.folder = self.path.resolve().parent
        self._scratch = tempfile.TemporaryDirectory(prefix="visioncli-report-")
        try:
            self._open()
        except BaseException:
            self._scratch.cleanup()
            raise

    def _open(self) -> None:
        try:
            files = self._files()
            self._table = RowGroups(files)
        except (pa.ArrowException, OSError) as error:
            raise UsageError(f"{self.path} cannot be read: {str(error).splitlines()[0]}") from error
        self.schema, self.rows = self._table.schema, self._table.rows
        self.provenance = _provenance(self.schema, self.path)
        self.task = str(self.provenance["task"])

    def _files(self) -> list[Path]:
        if not self.path.exists():
            raise UsageError(f"{self.path} is not there")
        if self.path.is_dir():
            parts = sorted(self.path.glob("part-*.parquet"))
            if not parts:
                raise UsageError(f"{self.path} holds no part-*.parquet: it is no output of visioncli")
            return parts
        return [self._copied()] if self.path.suffix in JSON_LINES else [self.path]

    def _copied(self) -> Path:
        """JSON lines as Parquet: their rows could not be found again without reading all before them."""
        copy = Path(self._scratch.name) / "copy.parquet"
        write_parquet(copy, *read_jsonl(self.path))
        return copy

    @property
    def is_unfinished(self) -> bool:
        """Whether it is a folder whose run has not come to its end."""
        return self.path.is_dir() and "finished" not in self._run()

    def summary(self) -> dict[str, Any] | None:
        """The run's summary, where the output keeps it: a folder of parts does."""
        found: dict[str, Any] | None = self._run().get("finished", {}).get("summary") if self.path.is_dir() else None
        return found

    def _run(self) -> dict[str, Any]:
        try:
            found = json.loads((self.path / "_run.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def having(self, names: Sequence[str]) -> list[str]:
        """Return those of `names` that are columns."""
        return [name for name in names if name in self.schema.names]

    def tables(self, names: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
        """Yield the number of a first row and these columns from there on, a row group at a time. Raises UsageError."""
        with self._damage():
            yield from self._table.tables(names)

    def take(self, rows: Rows, names: Sequence[str]) -> pa.Table:
        """Return these rows' columns, in the order of `rows`; only their row groups are read. Raises UsageError."""
        with self._damage():
            return self._table.take(rows, names)

    @contextmanager
    def _damage(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError) as error:
            raise UsageError(f"{self.path} is damaged: {str(error).splitlines()[0]}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._table.close()
        self._scratch.cleanup()


def _provenance(schema: pa.Schema, path: Path) -> dict[str, Any]:
    try:
        found = json.loads((schema.metadata or {})[b"visioncli"])
        found["task"]
    except (KeyError, ValueError, TypeError):
        raise UsageError(f"{path} was not written by visioncli: it carries no provenance") from None
    if missing := NEEDED - set(schema.names):
        raise UsageError(_of_ids(schema, path, found) or f"{path} has no column {min(missing)!r}, which is needed here")
    return dict(found)


def _of_ids(schema: pa.Schema, path: Path, said: dict[str, Any]) -> str | None:
    """What to do with near-duplicates, which are ids without pictures; None for another table."""
    if not {"id_a", "representative"} & set(schema.names):
        return None
    asked = said.get("parameters") or {}
    index, score = asked.get("index", "INDEX"), asked.get("min_score", "S")
    return (
        f"{path} holds ids of near-duplicates, not their pictures: "
        f"`visioncli report {index} --min-score {score} -o report.html` shows the index with its near-duplicates"
    )


def as_text(value: Any) -> str:
    """Return a value of the provenance as people read it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
