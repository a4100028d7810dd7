"""A worker's parts: what is finished is written whatever happens; and what is counted against --max-error-rate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import visioncli
from visioncli.errors import ErrorRateError, FetchError
from visioncli.io.listing import ListingOptions, survey
from visioncli.jobs.listings import Listed
from visioncli.jobs.parts import Shard, Table, Tally, output_schema, write_parts
from visioncli.jobs.rows import answer_schema
from visioncli.jobs.rundir import RunDirectory
from visioncli.jobs.snapshot import Snapshot, write_snapshot
from visioncli.jobs.standing import Outcome
from visioncli.provenance import ModelInfo
from visioncli.samples import Answer, Facts, Failure
from visioncli.tasks.embed import TASK

OPTIONS = visioncli.EmbedOptions()
ANSWERS = answer_schema(TASK, OPTIONS, ModelInfo("m", "c", "siglip", "siglip/1", 2, "cpu", "float32", 8), stale=False)


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    (tmp_path / "m.txt").write_text("".join(f"{number}.jpg\n" for number in range(200)))
    listing = survey([str(tmp_path / "m.txt")], ListingOptions())
    write_snapshot(tmp_path / "s", listing.schema, listing.batches(), Listed(True).metadata)
    return Snapshot(tmp_path / "s")


def outcomes(snapshot: Snapshot, failed: set[int], until: int) -> Iterator[Outcome]:
    """Yield `until` rows' outcomes, then break as only a bug does."""
    for ref in snapshot.refs(0, until, ()):
        vector = visioncli.Embedded(np.array([ref.position, 1], np.float32))
        bad = ref.position in failed
        yield Failure(ref, None, FetchError("http_500", "no \udcff")) if bad else Answer(ref, Facts(), vector)
    raise RuntimeError("a bug")


def written(tmp_path: Path, snapshot: Snapshot, work: Iterator[Outcome], **policy: float) -> list[tuple[int, int]]:
    table = Table(TASK, OPTIONS, ANSWERS, output_schema(snapshot.schema, ANSWERS))
    with closing(RunDirectory(tmp_path / "run")) as directory:
        directory.write_key({"mode": "run"})
        given = visioncli.Policy(part_rows=4, **policy)  # type: ignore[arg-type]
        with pytest.raises((RuntimeError, ErrorRateError)):
            list(write_parts(Shard(0, 200), work, snapshot, directory, table, None, Tally(), given))
        return [(first, end) for first, end, _ in directory.parts()]


def test_what_is_finished_is_written_when_something_unforeseen_ends_the_run(tmp_path: Path, snapshot: Snapshot) -> None:
    assert written(tmp_path, snapshot, outcomes(snapshot, {1}, until=6)) == [(0, 4), (4, 6)]
    found = pq.read_table(tmp_path / "run/part-000000000000-000000000004.parquet")
    assert found["error"].to_pylist() == [None, r"no \xff", None, None]
    assert found["embedding"].to_pylist() == [[0.0, 1.0], None, [2.0, 1.0], [3.0, 1.0]]


@pytest.mark.parametrize(("failed", "rows"), [(range(21), 100), (range(20, 200), 100), (range(100, 130), 126)])
def test_an_error_rate_needs_a_hundred_rows(tmp_path: Path, snapshot: Snapshot, failed: range, rows: int) -> None:
    done = written(tmp_path, snapshot, outcomes(snapshot, {*failed}, until=200), max_error_rate=0.2)
    assert done[-1][1] == rows


def test_rows_that_earlier_runs_did_do_not_count_against_this_one(snapshot: Snapshot) -> None:
    tally = Tally(done=500, failed=400)
    for outcome in islice(outcomes(snapshot, {3}, until=200), 150):
        tally.add(outcome)
        tally.check(0.1)
    assert (tally.done, tally.failed, tally.asked, tally.missed) == (650, 401, 150, {"http_500": 1})
