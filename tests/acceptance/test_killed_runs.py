"""Killed at random moments, any number of times: the same table as without. Real processes, kill -9."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import visioncli
from tests import small_pictures
from tests.children import Child, Nursery

ROWS = 600
LABELS = visioncli.ClassifyOptions(("cat", "dog", "bus"), top_k=2)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_pictures.folder(tmp_path_factory.mktemp("photos"), range(ROWS))


def a_job(output: Path | str, *inputs: Path, task: str = "embed", **policy: object) -> visioncli.Job:
    options = visioncli.EmbedOptions() if task == "embed" else LABELS
    names = tuple(str(name) for name in inputs)
    part = visioncli.Policy(part_rows=16, part_seconds=0.2, **policy)  # type: ignore[arg-type]
    return visioncli.Job(task, options, str(output), names, model="demo", policy=part)


def killed_until_done(begin: Callable[[], Child], times: int, seed: int, longest_s: float) -> int:
    """Kill `times` runs, each after a random time, then let one finish; return how many were really killed."""
    chance, killed = random.Random(seed), 0
    for _ in range(times):
        child = begin()
        time.sleep(chance.uniform(0.02, longest_s))
        child.kill(9)
        killed += child.wait().code == -9
    end = begin().wait()
    assert end.code == 0 or "is there already" in end.err
    return killed


def rows(path: Path) -> pa.Table:
    return pq.read_table(path)


@pytest.mark.parametrize("task", ["embed", "classify"])
def test_killed_ten_times_gives_the_same_table(nursery: Nursery, photos: Path, tmp_path: Path, task: str) -> None:
    whole = a_job(tmp_path / "whole.parquet", photos, task=task)
    visioncli.run(whole)
    job = replace(whole, output=str(tmp_path / "killed.parquet"))
    assert killed_until_done(lambda: nursery.job(job), 10, seed=1, longest_s=2.5) >= 5
    assert rows(tmp_path / "killed.parquet").equals(rows(tmp_path / "whole.parquet"))  # floats to the last bit
    assert sorted(os.listdir(tmp_path)) == ["killed.parquet", "whole.parquet"]
