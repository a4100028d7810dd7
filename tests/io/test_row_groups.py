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


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The row groups that are read, by their number in their file."""
    made, read = list[int](), pq.ParquetFile.read_row_group

    def counted(file: pq.ParquetFile, number: int, **more: object) -> pa.Table:
        made.append(number)
        return read(file, number, **more)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counted)
    return made


def test_a_table_that_is_taken_in_its_own_order_is_read_once(files: list[Path], reads: list[int]) -> None:
    table = RowGroups(files, files[0].with_name(".copy"))
    for first in range(0, 70, 3):
        rows = np.arange(first, min(first + 3, 70))
        assert table.take(rows, ["n"])["n"].to_pylist() == rows.tolist()
    assert reads == [0, 1, 2, 3, 0, 1, 2, 3, 4]
    assert not list(files[0].parent.glob(".copy*"))


def test_a_table_that_is_taken_in_any_order_is_read_three_times_at_most(files: list[Path], reads: list[int]) -> None:
    numbers, table = np.random.default_rng(0), RowGroups(files, files[0].with_name(".copy"))
    for _ in range(50):
        rows = numbers.permutation(70)[:20]
        assert table.take(rows, ["name", "n"])["n"].to_pylist() == rows.tolist()
        assert table.take(rows, ["name"])["name"].to_pylist() == [f"row {n}" for n in rows]
    assert len(reads) <= 2 * (3 * 9)
    again = RowGroups(files, files[0].with_name(".copy"))  # a run that was killed left its copies
    reads.clear()
    for _ in range(50):
        assert again.take(np.array([69, 0, 35]), ["name", "n"])["n"].to_pylist() == [69, 0, 35]
    assert len(reads) == 18


def test_a_table_is_read_again_where_there_is_no_room_for_a_copy(files: list[Path], reads: list[int]) -> None:
    table = RowGroups(files, files[0] / "no folder")
    for _ in range(10):
        assert table.take(np.array([69, 0, 35]), ["n"])["n"].to_pylist() == [69, 0, 35]
    assert len(reads) == 30


def test_vectors_and_nulls_are_taken_from_a_copy_as_they_are(tmp_path: Path) -> None:
    kinds = {
        "vector": pa.array([[float(n), 1.0] if n % 3 else None for n in range(40)], pa.list_(pa.float32(), 2)),
        "objects": pa.array([[{"label": str(n)}] * (n % 3) for n in range(40)]),
        "tokens": pa.ExtensionArray.from_storage(
            pa.fixed_shape_tensor(pa.float32(), [1, 2]),
            pa.array([[float(n), 2.0] for n in range(40)], pa.list_(pa.float32(), 2)),
        ),
        "none": pa.nulls(40, pa.string()),
    }
    whole = pa.table(kinds)
    pq.write_table(whole, tmp_path / "x.parquet", row_group_size=8)
    table = RowGroups([tmp_path / "x.parquet"], tmp_path / ".copy")
    for seed in range(10):
        rows = np.random.default_rng(seed).permutation(40)[:20]
        assert table.take(rows, list(kinds)).to_pylist() == whole.take(pa.array(rows)).to_pylist()
    assert len(list(tmp_path.glob(".copy.*.arrow"))) == 1


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
