"""Several Parquet files as one table."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from visioncli.io.row_groups import RowGroups


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Rows 0 to 69 in files of 30, none and 40, in groups of 8."""
    paths = [tmp_path / f"part-{number}.parquet" for number in range(3)]
    for path, rows in zip(paths, (range(30), range(0), range(30, 70)), strict=True):
        table = pa.table({"n": pa.array(rows, pa.int64()), "name": pa.array([f"row {n}" for n in rows], pa.string())})
        pq.write_table(table, path, row_group_size=8)
    return paths


def test_rows_come_in_any_order_and_more_than_once(files: list[Path]) -> None:
    table = RowGroups(files)
    rows = np.array([69, 0, 31, 31, 29, 7, 8])
    assert table.rows == 70
    assert table.take(rows, ["name"]).to_pydict() == {"name": [f"row {n}" for n in rows]}
    assert table.take(np.array([], np.int64), ["n", "name"]).to_pydict() == {"n": [], "name": []}


def test_columns_come_as_they_are_asked_for_and_tell_their_first_row(files: list[Path]) -> None:
    found = list(RowGroups(files).tables(["name", "n"]))
    assert [first for first, _ in found] == [0, 8, 16, 24, 30, 38, 46, 54, 62]
    assert all(table.column_names == ["name", "n"] and table["n"][0].as_py() == first for first, table in found)


def test_there_may_be_more_files_than_a_process_may_have_open(tmp_path: Path) -> None:
    paths = [tmp_path / f"part-{number:03}.parquet" for number in range(100)]
    for number, path in enumerate(paths):
        pq.write_table(pa.table({"n": [number]}), path)
    table = RowGroups(paths)
    assert [one["n"][0].as_py() for _, one in table.tables(["n"])] == list(range(100))
    assert 0 < sum("part-" in line for line in Path("/proc/self/maps").read_text().splitlines()) <= 16


def test_threads_may_read_at_once(files: list[Path]) -> None:
    table = RowGroups(files)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda n: table.take(np.array([n % 70]), ["n"])["n"][0].as_py(), range(300)))
    assert found == [n % 70 for n in range(300)]


def test_a_damaged_file_is_an_error_of_its_library(files: list[Path]) -> None:
    table = RowGroups(files)
    files[2].write_bytes(b"no Parquet")
    with pytest.raises((pa.ArrowException, OSError)):
        table.take(np.array([40]), ["n"])
