"""A run's last moments: what is told when all rows are there and something still fails, or somebody still stops it."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import visioncli
from tests import small_pictures
from tests.children import Nursery
from visioncli.cli.console import summary_lines
from visioncli.errors import InterruptedRunError, OutOfTimeError, OutputError


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return small_pictures.folder(tmp_path / "photos", range(6))


def embed(output: str | Path, *inputs: Path, **policy: object) -> visioncli.Job:
    names, how = tuple(map(str, inputs)), visioncli.Policy(**policy)  # type: ignore[arg-type]
    return visioncli.Job("embed", visioncli.EmbedOptions(), str(output), names, model="demo", policy=how)


def test_what_fails_behind_the_publishing_says_that_the_output_is_there(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stray = tmp_path / "out.parquet.files/ab" / f"x-ab{'0' * 22}.depth.png"
    stray.parent.mkdir(parents=True)
    stray.touch()
    unlink, stop = Path.unlink, visioncli.Stop()

    def refused(path: Path, missing_ok: bool = False) -> None:
        if path == stray:
            raise PermissionError(13, "Permission denied")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refused)
    with pytest.raises(OutputError, match=r"cannot be tidied: Permission denied; the output is there and whole; "):
        visioncli.run(embed(tmp_path / "out.parquet", photos), stop)
    assert stop.so_far is not None
    found = stop.so_far
    assert (found.finished, found.rows, found.rows_left, found.error_code) == (True, 6, 0, "output")
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 6


def is_feeding() -> bool:
    return any(thread.name == "visioncli-feed" for thread in threading.enumerate())


@pytest.mark.parametrize("limit", [None, 4])
def test_a_stream_whose_rows_are_all_written_is_finished_whoever_stops_it_then(photos: Path, limit: int | None) -> None:
    stop = visioncli.Stop()
    work = visioncli.steps(replace(embed("-", photos), limit=limit), stop)
    rows = limit or 6
    while next(work).done < rows:
        pass
    while is_feeding():
        time.sleep(0.001)
    stop.request(InterruptedRunError("interrupted", 2))
    with pytest.raises(StopIteration) as end:
        next(work)
    assert (end.value.value.finished, end.value.value.rows, stop.so_far) == (True, rows, None)


def test_a_summary_of_an_early_end_says_that_some_rows_were_asked_and_not_kept(photos: Path, tmp_path: Path) -> None:
    done = visioncli.run(embed(tmp_path / "out.parquet", photos))
    early = replace(done, finished=False, rows=4, ok=4, rows_left=2, seconds=1.0, rows_per_s=4.0)
    last = "1.0 s, 4.0 images/s, 6 through the model"
    assert list(summary_lines(early))[-1] == f"{last}, rows that were not kept among them"
    assert list(summary_lines(replace(early, inferred=4)))[-1] == "1.0 s, 4.0 images/s, 4 through the model"


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The end of a pipe at whose other end standard input is."""
    reads, writes = os.pipe()
    with open(reads) as stdin, open(writes, "wb"):
        monkeypatch.setattr(sys, "stdin", stdin)
        yield writes


@pytest.mark.parametrize("output", ["out.parquet", "-"])
@pytest.mark.parametrize("names", [b"", b"nowhere.jpg\n"])
def test_a_run_that_waits_for_names_ends_when_its_time_is_over(
    typed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, names: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    os.write(typed, names)
    with pytest.raises(OutOfTimeError, match="--max-runtime is over"):
        visioncli.run(embed(output, Path("-"), max_runtime_s=0.2))
    assert os.listdir(tmp_path) == []


def test_names_that_end_with_the_signal_that_stops_the_run_are_no_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = visioncli.Stop()
    stop.request(InterruptedRunError("interrupted", 2))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    with pytest.raises(InterruptedRunError):
        visioncli.run(embed(tmp_path / "out.parquet", Path("-")), stop)


def test_a_signal_ends_a_run_that_waits_for_names(nursery: Nursery, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "typed")
    command = ["embed", "-", "-o", tmp_path / "out.parquet", "--model", "demo"]
    child = nursery.command(command, typed=str(tmp_path / "typed"))
    with open(tmp_path / "typed", "wb"):
        while not (tmp_path / "out.parquet.run/run.json").exists():
            time.sleep(0.01)
        child.kill(signal.SIGINT)
        end = child.wait()
    assert (end.code, end.err.splitlines()[-1]) == (130, "visioncli: interrupted")
