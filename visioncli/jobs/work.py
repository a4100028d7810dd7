"""A run whose rows and model are settled: gaps to parts, parts to the output, and what there is to say of it.

Knows nothing of how it was settled, or of earlier runs beyond the answers that stand.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from visioncli import engines
from visioncli.jobs.ending import ending
from visioncli.jobs.job import Job, Progress, Stop
from visioncli.jobs.listings import Listed
from visioncli.jobs.parts import Shard, Table, Tally, output_schema, write_parts
from visioncli.jobs.previous import Previous
from visioncli.jobs.provenance import choices, provenance
from visioncli.jobs.rows import OVERLAY, STALE, answer_schema
from visioncli.jobs.rundir import RunDirectory
from visioncli.jobs.side_files import Folders, Left, Named, named_files, saving
from visioncli.jobs.snapshot import Snapshot
from visioncli.jobs.standing import Standing
from visioncli.jobs.summary import Count, Summary, summarise
from visioncli.jobs.targets import Target, part_tables
from visioncli.meter import Meter
from visioncli.pipeline import answer
from visioncli.tasks import Task

log = logging.getLogger("visioncli")

_REPORT_EVERY_S = 0.1
_KEPT = "finished parts are kept, the same command goes on from here"
_THERE = "the output is there and whole; files beside it that no row names any more were left"


@dataclass
class Work:
    job: Job
    task: Task[Any, Any]
    options: Any  # the task's, settled for these rows
    predictor: Any
    key: dict[str, Any]
    listed: Listed
    snapshot: Snapshot
    previous: Previous | None
    meter: Meter = field(default_factory=Meter)

    def steps(self, directory: RunDirectory, target: Target, stop: Stop) -> Generator[Progress, None, Summary]:
        """Fill the gaps and publish. Raises `stop.reason` when the run was stopped with rows left to do."""
        begun_with, started = sum(end - first for first, end, _ in directory.parts()), time.monotonic()
        tally = self._tally(directory)
        with ending(stop, lambda: self._so_far(tally, begun_with, time.monotonic() - started), lambda _: _KEPT):
            yield from self._answers(directory, stop, tally, begun_with)
            summary = self._summary(directory, begun_with, time.monotonic() - started)
            left = self._left(directory, target)
            finished = {"summary": summary.to_json(), "has_images": self.listed.has_images}
            target.publish(directory, self._table.output, finished)
        with ending(stop, lambda: summary, lambda _: _THERE):
            left.remove()
        return summary

    def _answers(
        self, directory: RunDirectory, stop: Stop, tally: Tally, begun_with: int
    ) -> Generator[Progress, None, None]:
        """Fill the gaps. Raises `stop.reason` when some are left."""
        reported = 0.0
        if self.job.overlay and self._continued and OVERLAY.name not in self._continued:
            log.warning("--overlay: rows whose answers stand are not drawn; say --overwrite to draw every picture")
        yield self._progress(tally, begun_with)
        make_worker = partial(self._worker, directory, stop, tally)
        with closing(engines.local(make_worker, self._shards(directory))) as reports:
            for _ in reports:  # closed before the lock is given back
                if time.monotonic() - reported > _REPORT_EVERY_S:
                    reported = time.monotonic()
                    yield self._progress(tally, begun_with)
        if directory.gaps(self.snapshot.rows):
            stop.check()
        yield self._progress(tally, begun_with)

    def _left(self, directory: RunDirectory, target: Target) -> Left:
        """Find out what is left over once the parts are the output: what only an earlier output's rows named."""
        files, drawn = self._folders.files, set[str]()
        if self.previous is not None and OVERLAY.name in self.previous.schema.names:
            drawn = set(named_files(self.previous.tables([OVERLAY.name])))
        named = Named(named_files(part_tables(directory.path)) if drawn or files.root.exists() else ())
        return Left(files, named, [target.path.parent / name for name in drawn if name not in named])

    def _shards(self, directory: RunDirectory) -> list[Shard]:
        return [Shard(first, end) for first, end in directory.gaps(self.snapshot.rows)]

    def _progress(self, tally: Tally, begun_with: int) -> Progress:
        return Progress(tally.done, self.snapshot.rows, tally.failed, begun_with)

    @cached_property
    def _table(self) -> Table:
        stale = self.job.policy.update or STALE.name in self._continued
        drawn = self.job.overlay is not None or OVERLAY.name in self._continued
        answers = answer_schema(self.task, self.options, self.predictor.info, stale, drawn)
        known_as = {"visioncli": json.dumps(provenance(self.key, self.predictor.info))}
        output = output_schema(self.snapshot.schema, answers).with_metadata(known_as)
        return Table(self.task, self.options, answers, output, self._folders.sync)

    @property
    def _continued(self) -> list[str]:
        """The columns of the earlier output whose answers may stand; none where all is asked."""
        return [] if self._standing is None or self.previous is None else self.previous.schema.names

    @cached_property
    def _folders(self) -> Folders:
        return Folders.of(self.job, self.key["answers"], self.predictor.info)

    @cached_property
    def _standing(self) -> Standing | None:
        if self.previous is None or self.job.policy.mode == "run":
            return None
        return Standing(self.previous, self.snapshot, self._text_column, renew=self.job.policy.update)

    @property
    def _text_column(self) -> str | None:
        return next(iter(self.task.reads(self.options)), None)

    def _worker(self, directory: RunDirectory, stop: Stop, tally: Tally) -> Callable[[Shard], Iterator[Tally]]:
        job, standing, snapshot = self.job, self._standing, self.snapshot
        known = standing.known if standing else None
        save = saving(job, self.options, self._folders)

        def work(shard: Shard) -> Iterator[Tally]:
            refs = snapshot.refs(shard.first, shard.end, self.task.reads(self.options))
            outcomes = answer(
                refs, self.predictor, self.options, job.settings, known=known, save=save, stop=stop, meter=self.meter
            )
            with closing(outcomes):  # an error holds on to it, and with it to its threads
                yield from write_parts(shard, outcomes, snapshot, directory, self._table, standing, tally, job.policy)

        return work

    def _tally(self, directory: RunDirectory) -> Tally:
        total = _counted(directory, None)
        return Tally(total.rows, total.failed.total(), written=total)

    def _so_far(self, tally: Tally, begun_with: int, seconds: float) -> Summary:
        done = summarise(
            self.job.output,
            tally.written,
            self.meter,
            begun_with,
            seconds,
            finished=False,
            rows_left=self.snapshot.rows - tally.written.rows,
            repeated_ids=self.listed.repeated_ids,
            choices=choices(self.predictor.info),
        )
        return done if self.previous is None else replace(done, new_failures=None)  # not compared until all are there

    def _summary(self, directory: RunDirectory, begun_with: int, seconds: float) -> Summary:
        total = _counted(directory, self.previous)
        updated = self.job.policy.update and self.previous is not None
        return summarise(
            self.job.output,
            total,
            self.meter,
            begun_with,
            seconds,
            repeated_ids=self.listed.repeated_ids,
            changes=total.changes() if updated else None,
            choices=choices(self.predictor.info),
        )


def _counted(directory: RunDirectory, previous: Previous | None) -> Count:
    total = Count(previous)
    for _, _, path in directory.parts():
        total.add(_columns(path, total.columns))
    return total


def _columns(path: Any, names: list[str]) -> pa.Table:
    there = pq.read_schema(path).names
    return pq.read_table(path, columns=[name for name in names if name in there], use_threads=False)
