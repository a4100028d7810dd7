"""Killed at random moments, any number of times: the same table as without. Real processes, kill -9."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import visioncli
from tests import small_pictures
from tests.children import Child, Ended, Nursery
from visioncli.errors import UsageError
from visioncli.jobs.targets import Target

ROWS = 600
FEWER = 200
LABELS = visioncli.ClassifyOptions(("cat", "dog", "bus"), top_k=2)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 files; every 50th is broken."""
    path = small_pictures.folder(tmp_path_factory.mktemp("photos"), range(ROWS))
    for number in range(0, ROWS, 50):
        (path / f"{number:05d}.jpg").write_bytes(small_pictures.jpeg(number)[:300])
    return path


def a_job(output: Path | str, *inputs: Path | str, options: Any = None, **policy: Any) -> visioncli.Job:
    task = "classify" if isinstance(options, visioncli.ClassifyOptions) else "embed"
    part = visioncli.Policy(**{"part_rows": 16, "part_seconds": 0.2, **policy})
    names = tuple(str(name) for name in inputs)
    return visioncli.Job(task, options or visioncli.EmbedOptions(), str(output), names, model="demo", policy=part)


@pytest.fixture(scope="module")
def whole(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """The embeddings of all photos, from a run that nobody interrupts."""
    output = tmp_path_factory.mktemp("whole") / "whole.parquet"
    assert visioncli.run(a_job(output, photos)).inferred == ROWS - ROWS // 50
    return pq.read_table(output)


def killed_until_done(nursery: Nursery, job: visioncli.Job, times: int, seed: int) -> int:
    """Kill `times` runs, each when it has done a few parts and a little later, then let one finish.

    Returns how many were at work when they were killed.
    """
    chance, killed, target = random.Random(seed), 0, Target.of(job.output)
    folder = target.path if target.kind == "folder" else target.beside
    for _ in range(times):
        more, child = chance.choice([0, 1, 2, 3]), nursery.job(job)
        goal = len(list(folder.glob("part-*"))) + more
        while len(list(folder.glob("part-*"))) < goal and not target.is_finished:
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.02 if more else 0.3))
        child.kill(9)
        killed += child.wait().code == -9
    end = nursery.job(job).wait()
    assert end.code in (0, 3) or "is there already" in end.err, end
    return killed


def killed_when(child: Child, moment: Callable[[], object], within_s: float = 30.0) -> Ended:
    """Kill the child as soon as `moment()` is true."""
    until = time.monotonic() + within_s
    while not moment():
        assert time.monotonic() < until, child.err
        time.sleep(0.0005)
    child.kill(9)
    return child.wait()


def assert_finished(tmp_path: Path, *names: str) -> None:
    assert sorted(entry for entry in os.listdir(tmp_path) if not entry.endswith(".csv")) == sorted(names)


def test_killed_ten_times_gives_the_same_embeddings(
    nursery: Nursery, photos: Path, whole: pa.Table, tmp_path: Path
) -> None:
    job = a_job(tmp_path / "out.parquet", photos)
    assert killed_until_done(nursery, job, 10, seed=1) >= 8
    assert pq.read_table(tmp_path / "out.parquet").equals(whole)  # floats to the last bit
    assert_finished(tmp_path, "out.parquet")


def test_killed_ten_times_gives_the_same_labels(nursery: Nursery, photos: Path, tmp_path: Path) -> None:
    job = replace(a_job(tmp_path / "out.parquet", photos, options=LABELS, part_rows=4), limit=FEWER)
    visioncli.run(replace(job, output=str(tmp_path / "whole.parquet")))
    assert killed_until_done(nursery, job, 10, seed=2) >= 8
    assert pq.read_table(tmp_path / "out.parquet").equals(pq.read_table(tmp_path / "whole.parquet"))
    assert_finished(tmp_path, "out.parquet", "whole.parquet")


@pytest.mark.parametrize(("suffix", "names"), [(".jsonl", ["out.jsonl", "out.jsonl.meta.json"]), ("/", ["out"])])
def test_other_outputs_survive_being_killed_too(
    nursery: Nursery, photos: Path, whole: pa.Table, tmp_path: Path, suffix: str, names: list[str]
) -> None:
    job, expected = replace(a_job(f"{tmp_path}/out{suffix}", photos, part_rows=8), limit=FEWER), whole.slice(0, FEWER)
    assert killed_until_done(nursery, job, 4, seed=3) >= 3
    assert_finished(tmp_path, *names)
    if suffix == "/":
        assert pq.read_table(tmp_path / "out").equals(expected)
    else:
        rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
        assert pa.Table.from_pylist(rows, whole.schema).equals(expected)


def test_a_manifest_killed_while_it_is_listed_begins_anew(
    nursery: Nursery, photos: Path, whole: pa.Table, tmp_path: Path
) -> None:
    lines = [f"{photos}/{n:05d}.jpg,{n},{'x' * 500}" for n in range(40)] + [",-1,"] * 8000
    (tmp_path / "m.csv").write_text("\n".join(["image,price,note", *lines]))
    job = a_job(tmp_path / "out.parquet", tmp_path / "m.csv", part_rows=4096)
    half = tmp_path / "out.parquet.run/..inputs.tmp.tmp"
    assert killed_when(nursery.job(job), half.exists).code == -9
    assert not (tmp_path / "out.parquet.run/inputs.parquet").exists()
    assert nursery.job(job).wait().code == 0
    found = pq.read_table(tmp_path / "out.parquet")
    assert found["price"].to_pylist() == [str(number) for number in [*range(40), *[-1] * 8000]]
    assert found.slice(0, 40)["embedding"].equals(whole.slice(0, 40)["embedding"])
    assert_finished(tmp_path, "out.parquet")


def test_killed_while_the_parts_are_put_together(
    nursery: Nursery, photos: Path, whole: pa.Table, tmp_path: Path
) -> None:
    job, run = replace(a_job(tmp_path / "out.parquet", photos), limit=FEWER), tmp_path / "out.parquet.run"
    end = killed_when(nursery.job(job), lambda: list(run.glob(".whole*")) + list(run.glob("whole*")))
    assert end.code == -9
    assert nursery.job(job).wait().code == 0
    assert pq.read_table(tmp_path / "out.parquet").equals(whole.slice(0, FEWER))
    assert_finished(tmp_path, "out.parquet")


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_a_run_that_died_between_publishing_and_cleaning_up_is_finished(
    photos: Path, tmp_path: Path, suffix: str
) -> None:
    job = replace(a_job(tmp_path / f"out{suffix}", photos), limit=20)
    obstacle = tmp_path / f".out{suffix}.run.removed"
    obstacle.touch()  # a file where a folder is to go: the run breaks off in the very moment that is meant
    with pytest.raises(NotADirectoryError):
        visioncli.run(job)
    obstacle.unlink()
    before = (tmp_path / f"out{suffix}").stat()
    summary = visioncli.run(job)
    assert (summary.rows, summary.ok, summary.failed) == (20, 19, {"decode_truncated": 1})
    assert (tmp_path / f"out{suffix}").stat() == before
    assert f"out{suffix}.run" not in os.listdir(tmp_path)
    with pytest.raises(UsageError, match="is there already"):
        visioncli.run(job)


def test_another_command_after_such_a_death_cleans_up_and_does_its_own(photos: Path, tmp_path: Path) -> None:
    job = replace(a_job(tmp_path / "out.parquet", photos), limit=20)
    (tmp_path / ".out.parquet.run.removed").touch()
    with pytest.raises(NotADirectoryError):
        visioncli.run(job)
    (tmp_path / ".out.parquet.run.removed").unlink()
    summary = visioncli.run(replace(job, limit=21, policy=visioncli.Policy(update=True)))
    assert (summary.rows, summary.inferred) == (21, 1)
    assert_finished(tmp_path, "out.parquet")


def test_an_overwriting_run_that_died_there_does_not_ask_all_again(photos: Path, tmp_path: Path) -> None:
    job = replace(a_job(tmp_path / "out.parquet", photos, overwrite=True), limit=20)
    visioncli.run(job)
    (tmp_path / ".out.parquet.run.removed").touch()
    with pytest.raises(NotADirectoryError):
        visioncli.run(job)
    (tmp_path / ".out.parquet.run.removed").unlink()
    before = (tmp_path / "out.parquet").stat()
    assert visioncli.run(job).rows == 20
    assert (tmp_path / "out.parquet").stat() == before


def test_a_run_that_died_just_before_its_folder_took_the_old_ones_place_is_finished(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = replace(a_job(f"{tmp_path}/out/", photos, overwrite=True), limit=20)
    visioncli.run(job)
    (tmp_path / "out/report.html").write_text("mine")
    with monkeypatch.context() as patched:
        patched.setattr("os.rename", lambda *paths: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            visioncli.run(job)
    inode = (tmp_path / "out.run/_run.json").stat().st_ino
    summary = visioncli.run(job)
    assert (summary.rows, summary.ok) == (20, 19)
    assert_finished(tmp_path, "out")
    assert (tmp_path / "out/_run.json").stat().st_ino == inode  # nothing was done again
    assert (tmp_path / "out/report.html").read_text() == "mine"


@pytest.mark.parametrize("moved", [False, True], ids=["between the renames", "before the old one is removed"])
def test_an_exchange_of_folders_that_was_cut_in_two_is_finished(photos: Path, tmp_path: Path, moved: bool) -> None:
    job = replace(a_job(f"{tmp_path}/out/", photos, update=True), limit=20)
    visioncli.run(job)
    shutil.copytree(tmp_path / "out", tmp_path / ".out.replaced")
    shutil.rmtree(tmp_path / "out") if not moved else None
    if not moved:
        shutil.copytree(tmp_path / ".out.replaced", tmp_path / "out.run")
    inode = (tmp_path / ("out" if moved else "out.run") / "_run.json").stat().st_ino
    summary = visioncli.run(job)
    assert (summary.rows, summary.ok) == (20, 19)
    assert_finished(tmp_path, "out")
    assert (tmp_path / "out/_run.json").stat().st_ino == inode  # nothing was done again
