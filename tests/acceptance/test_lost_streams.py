"""Runs go on whatever becomes of standard error, and end in one sentence where standard output cannot be written."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests import small_pictures
from tests.children import Nursery

EMBED = ["embed", "--model", "demo"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return small_pictures.folder(tmp_path / "photos", range(30))


def test_a_log_that_is_full_does_not_stop_a_run(nursery: Nursery, photos: Path, tmp_path: Path) -> None:
    child = nursery.command([*EMBED, photos, "-o", tmp_path / "out.parquet"], said="/dev/full")
    assert child.wait().code == 0
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 30


@pytest.mark.parametrize("output", ["out.parquet", "-"])
def test_a_reader_of_the_log_that_leaves_does_not_end_a_run(
    nursery: Nursery, photos: Path, tmp_path: Path, output: str
) -> None:
    os.mkfifo(tmp_path / "said")
    output = output if output == "-" else f"{tmp_path}/{output}"
    child = nursery.command([*EMBED, photos, photos, "-o", output, "-v"], said=str(tmp_path / "said"))
    with open(tmp_path / "said") as said:
        assert said.readline().startswith("visioncli: ")  # 2>&1 >/dev/null | head -1
    ended = child.wait()
    rows = len(ended.out.splitlines()) if output == "-" else pq.read_table(output).num_rows
    assert (ended.code, rows) == (0, 60)


def test_rows_that_cannot_be_written_are_one_sentence_and_exit_1(nursery: Nursery, photos: Path) -> None:
    ended = nursery.command([*EMBED, photos, "-o", "-", "-q"], shown="/dev/full").wait()
    said = (
        "visioncli: standard output cannot be written: No space left on device; 0 rows were written, and a stream is "
        "not gone on with: the same command begins anew\n"
    )
    assert (ended.code, ended.err) == (1, said)
