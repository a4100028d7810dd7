"""Where a run's rows go: one Parquet file, one JSONL file, a folder of parts, or standard output."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from visioncli.errors import UsageError
from visioncli.io.sinks import SINKS, Sink, sync_folder
from visioncli.jobs.rundir import RunDirectory
from visioncli.tables import look_up

_SUFFIXES = {".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl"}


@dataclass(frozen=True)
class Target:
    """An output. `kind` is a key of SINKS, or `folder`, or `stdout`."""

    path: Path
    kind: str

    @classmethod
    def of(cls, output: str) -> Target:
        """Return what `-o` names. Raises UsageError when its form is unknown."""
        if output == "-":
            return cls(Path("-"), "stdout")
        if output.endswith("/") or Path(output).is_dir():
            return cls(Path(output), "folder")
        kind = _SUFFIXES.get(Path(output).suffix)
        if kind is None:
            raise UsageError(f"the output {output!r} must end in .parquet, .jsonl or / (a folder of parts), or be - (JSONL)")
        return cls(Path(output), kind)

    @property
    def beside(self) -> Path:
        """The run directory beside the output."""
        return self.path.with_name(self.path.name + ".run")

    @property
    def is_finished(self) -> bool:
        if self.kind == "folder":
            return "finished" in (self._folder_key() or {})
        return self.path.exists()

    def recover(self) -> None:
        """Finish or undo the exchange of two folders that a crash cut in two."""
        old = self.path.with_name(self.path.name + ".old")
        if self.kind != "folder" or not old.exists():
            return
        if not self.path.exists():
            os.rename(self.beside if self.beside.exists() else old, self.path)
        shutil.rmtree(old, ignore_errors=True)

    def run_directory(self) -> RunDirectory:
        """Return the locked directory that a run on this output works in."""
        if self.kind != "folder":
            return RunDirectory(self.beside)
        if self.is_finished or self.beside.exists():
            return RunDirectory(self.beside, "_")
        self._refuse_strangers()
        return RunDirectory(self.path, "_")

    def publish(self, directory: RunDirectory, schema: pa.Schema, summary: dict[str, Any]) -> None:
        """Make the finished parts the output; afterwards nothing of the run is left beside it."""
        if self.kind == "folder":
            return self._publish_folder(directory, summary)
        sink: Sink = look_up(SINKS, self.kind, "output format")
        sink(self.path, schema, part_tables(directory))
        directory.remove()

    def _publish_folder(self, directory: RunDirectory, summary: dict[str, Any]) -> None:
        directory.snapshot.unlink(missing_ok=True)
        (directory.path / ".previous.parquet").unlink(missing_ok=True)
        directory.write_key({**(directory.key or {}), "finished": summary})
        sync_folder(directory.path)
        if directory.path != self.path:
            old = self.path.with_name(self.path.name + ".old")
            os.rename(self.path, old)
            os.rename(directory.path, self.path)
            sync_folder(self.path.parent)
            shutil.rmtree(old)
        directory.release()

    def _folder_key(self) -> dict[str, Any] | None:
        try:
            key: dict[str, Any] = json.loads((self.path / "_run.json").read_text())
        except (OSError, ValueError):
            return None
        return key

    def _refuse_strangers(self) -> None:
        if self.path.is_dir() and any(self.path.iterdir()) and not (self.path / "_run.json").exists():
            raise UsageError(f"the folder {self.path} holds other things; name a new or empty one")


def part_tables(directory: RunDirectory) -> Iterator[pa.Table]:
    """Yield all parts in order, a row group at a time."""
    for _, _, path in directory.parts():
        file = pq.ParquetFile(path)
        for number in range(file.num_row_groups):
            yield file.read_row_group(number, use_threads=False)
