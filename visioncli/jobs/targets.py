"""Where a run's rows go: one Parquet file, one JSONL file, a folder of parts, or standard output."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from visioncli.errors import UsageError
from visioncli.io.durable import sync_folder
from visioncli.io.own_names import RUN
from visioncli.io.sinks import SINKS, SUFFIXES, Sink, meta_of, write_parquet
from visioncli.jobs.rundir import RunDirectory, RunFiles, key_in, parts_in, strangers
from visioncli.tables import look_up


@dataclass(frozen=True)
class Target:
    """An output. `kind` is a key of SINKS, or `folder`, or `stdout`."""

    path: Path
    kind: str
    aside: Path | None = None  # where a folder lies until the exchange that should have put it at `path` is finished

    @classmethod
    def of(cls, output: str) -> Target:
        """Return what `-o` names. Raises UsageError when its form is unknown."""
        if output == "-":
            return cls(Path("-"), "stdout")
        if output.endswith("/") or (output and Path(output).is_dir()):
            path = Path(output)
            return cls(path if path.name not in ("", "..") else path.absolute().resolve(), "folder")
        kind = SUFFIXES.get(Path(output).suffix)
        if kind is None:
            raise UsageError(
                f"the output {output!r} must end in .parquet, .jsonl or / (a folder of parts), or be - (JSONL)"
            )
        return cls(Path(output), kind)

    @property
    def beside(self) -> Path:
        """The run directory beside the output."""
        return self.path.with_name(self.path.name + RUN)

    @property
    def is_finished(self) -> bool:
        if self.kind == "folder":
            return _is_finished(self.place)
        return self.path.exists()

    @property
    def place(self) -> Path:
        """Where the output is."""
        return self.aside or self.path

    @property
    def _old(self) -> Path:
        """The folder that an exchange of two folders puts aside."""
        return self.path.with_name(f".{self.path.name}.replaced")

    def recovered(self) -> Target:
        """Return the output as `recover` would leave it, to be looked at: nothing is moved."""
        if self.kind != "folder":
            return self
        if _is_finished(self.beside):
            return replace(self, aside=self.beside)
        is_put_aside = self._old.exists() and not self.path.exists() and not self.beside.exists()
        return replace(self, aside=self._old) if is_put_aside else self

    def recover(self) -> None:
        """Finish the exchange of two folders that a crash came before, or cut in two.

        Raises LockHeldError when it goes on just now.
        """
        if self.kind != "folder" or not (self._old.exists() or _is_finished(self.beside)):
            return
        if not self.path.exists() and not self.beside.exists():
            os.rename(self._old, self.path)
            return
        with closing(RunDirectory(self.beside if self.beside.exists() else self.path, "_")) as directory:
            if directory.path == self.beside and _is_finished(self.beside):
                self._exchange(directory)

    def stamp(self) -> list[int]:
        """Return what tells a finished output from every other: changes when it is replaced, not when it is renamed."""
        return _stamp(self.place / "_run.json" if self.kind == "folder" else self.path)

    def leftover(self) -> dict[str, Any] | None:
        """Return the key of the run that made the output and was killed before it could clean up after itself."""
        if self.kind == "folder":
            others = (place for place in (self.path, self._old) if place != self.place)  # that it takes the place of
            return key_in(self.place / "_run.json") if any(place.exists() for place in others) else None
        key = key_in(self.beside / "run.json")
        made = key is not None and "finished" in key and self.path.exists() and key["finished"]["stamp"] == self.stamp()
        return key if made else None

    def leftover_parts(self, key: Mapping[str, Any]) -> Path | None:
        """Return the folder where all parts of that run still are; None when cleaning up after it had begun."""
        folder = self.path if self.kind == "folder" else self.beside
        done = sum(end - first for first, end, _ in parts_in(folder))
        return folder if done == key["finished"]["summary"]["rows"] else None

    def clean_up(self, directory: RunDirectory) -> None:
        """Remove what that run left. The directory's lock stays."""
        directory.clear()
        if self.kind == "folder":
            self._bring_home()

    def run_directory(self) -> RunDirectory:
        """Return the locked directory that a run on this output works in."""
        return RunDirectory(*self._working())

    def run_files(self) -> RunFiles:
        """Return what is there of it, to be looked at."""
        return RunFiles(*self._working())

    def _working(self) -> tuple[Path, str]:
        """Where a run on this output works, and how its files' names begin."""
        if self.kind != "folder":
            return self.beside, ""
        if self.is_finished or self.beside.exists():
            return self.beside, "_"
        self._refuse_strangers()
        return self.path, "_"

    def publish(self, directory: RunDirectory, schema: pa.Schema, finished: dict[str, Any]) -> None:
        """Make the finished parts the output; afterwards nothing of the run is left beside it.

        `finished` is kept until then, and in a folder for good, for a run that is killed on the way.
        """
        (self._publish_folder if self.kind == "folder" else self._publish_file)(directory, schema, finished)

    def _publish_file(self, directory: RunDirectory, schema: pa.Schema, finished: dict[str, Any]) -> None:
        whole = directory.path / f"whole-{self.path.name}"
        sink: Sink = look_up(SINKS, self.kind, "output format")
        sink(whole, schema, part_tables(directory.path))
        directory.write_key({**(directory.key or {}), "finished": {**finished, "stamp": _stamp(whole)}})
        if meta_of(whole).exists():  # first: where the output itself is, the run is finished
            os.replace(meta_of(whole), meta_of(self.path))
        os.replace(whole, self.path)
        sync_folder(self.path.parent)
        directory.remove()

    def _publish_folder(self, directory: RunDirectory, schema: pa.Schema, finished: dict[str, Any]) -> None:
        if not directory.parts():  # a data set without rows has columns too
            write_parquet(directory.part(0, 0), schema, [])
        directory.write_key({**(directory.key or {}), "finished": finished})
        directory.snapshot.unlink(missing_ok=True)
        directory.clear_scratch()
        sync_folder(directory.path)
        if directory.path != self.path:
            self._exchange(directory)
            self._bring_home()

    def _exchange(self, directory: RunDirectory) -> None:
        if self.path.exists():  # nobody removed it meanwhile
            os.rename(self.path, self._old)
        directory.move(self.path)

    def _bring_home(self) -> None:
        """Put what others keep in the old folder, a report say, into the new one; then the old one goes."""
        if not self._old.exists():
            return
        for theirs in strangers(self._old):
            home = self.path / theirs.name
            if not os.path.lexists(home):  # else they put a newer one there
                os.rename(theirs, home)
        sync_folder(self.path)
        shutil.rmtree(self._old)

    def _refuse_strangers(self) -> None:
        if self.path.is_dir() and any(self.path.iterdir()) and not (self.path / "_run.json").exists():
            raise UsageError(f"the folder {self.path} holds other things; name a new or empty one")


def _is_finished(folder: Path) -> bool:
    return "finished" in (key_in(folder / "_run.json") or {})


def _stamp(path: Path) -> list[int]:
    facts = path.stat()
    return [facts.st_size, facts.st_mtime_ns]


def part_tables(folder: Path) -> Iterator[pa.Table]:
    """Yield all parts in order, a row group at a time."""
    for _, _, path in parts_in(folder):
        file = pq.ParquetFile(path)
        for number in range(file.num_row_groups):
            yield file.read_row_group(number, use_threads=False)
