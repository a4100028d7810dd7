"""Sinks: whole or absent, laid out for reading, with what they say of themselves."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from visioncli.errors import OutputError, UsageError
from visioncli.io.durable import whole_or_absent
from visioncli.io.sinks import read_jsonl, write_jsonl, write_parquet

MIB = 2**20
PROVENANCE = {"visioncli": json.dumps({"tool": "visioncli 1", "task": "embed"})}


def embeddings(rows: int, width: int = 8) -> pa.Table:
    numbers = np.random.default_rng(rows).standard_normal((rows, width)).astype(np.float32)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(numbers.reshape(-1)), width)
    table = pa.table({"id": [f"{n % 7}.jpg" for n in range(rows)], "score": numbers[:, 0], "embedding": vectors})
    return table.replace_schema_metadata(PROVENANCE)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """A larger file cannot be written: the nearest thing to a full disk that needs no rights."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_parquet_file_holds_the_rows_and_the_provenance(tmp_path: Path) -> None:
    table = embeddings(1000)
    write_parquet(tmp_path / "x.parquet", table.schema, [table.slice(0, 300), table.slice(300)])
    found = pq.read_table(tmp_path / "x.parquet")
    assert found.equals(table)
    assert json.loads(found.schema.metadata[b"visioncli"]) == {"tool": "visioncli 1", "task": "embed"}


def test_a_row_group_has_at_most_16384_rows_however_the_rows_come(tmp_path: Path) -> None:
    table = embeddings(40_000)
    write_parquet(tmp_path / "x.parquet", table.schema, (table.slice(n, 999) for n in range(0, 40_000, 999)))
    write_parquet(tmp_path / "y.parquet", table.schema, [table])
    for name in ("x.parquet", "y.parquet"):
        groups = pq.read_metadata(tmp_path / name)
        sizes = [groups.row_group(number).num_rows for number in range(groups.num_row_groups)]
        assert max(sizes) <= 16_384
        assert len(sizes) == 3
    assert pq.read_table(tmp_path / "x.parquet").equals(table)


@pytest.mark.parametrize(("rows", "width"), [(1500, 16_384), (100, 300_000)])
def test_a_row_group_has_at_most_64_mib(tmp_path: Path, rows: int, width: int) -> None:
    zeros = pa.array(np.zeros(width * 50, np.float32))
    part = pa.table({"embedding": pa.FixedSizeListArray.from_arrays(zeros, width)})
    write_parquet(tmp_path / "x.parquet", part.schema, [pa.concat_tables([part] * (rows // 50)).combine_chunks()])
    groups = pq.read_metadata(tmp_path / "x.parquet")
    sizes = [groups.row_group(number).num_rows * width * 4 for number in range(groups.num_row_groups)]
    assert sum(sizes) == rows * width * 4
    assert max(sizes) <= 64 * MIB
    assert len(sizes) <= 2 * sum(sizes) / (64 * MIB) + 1


def test_vectors_have_no_dictionary_and_texts_do_and_all_is_zstd(tmp_path: Path) -> None:
    table = embeddings(2000)
    write_parquet(tmp_path / "x.parquet", table.schema, [table])
    group = pq.read_metadata(tmp_path / "x.parquet").row_group(0)
    columns = {group.column(n).path_in_schema.split(".")[0]: group.column(n) for n in range(group.num_columns)}
    assert {name: column.compression for name, column in columns.items()} == dict.fromkeys(columns, "ZSTD")
    assert "RLE_DICTIONARY" in columns["id"].encodings
    assert "RLE_DICTIONARY" not in columns["embedding"].encodings
    assert not columns["embedding"].has_dictionary_page


def test_a_table_of_vectors_alone_has_no_dictionary(tmp_path: Path) -> None:
    table = embeddings(200).select(["embedding"])
    write_parquet(tmp_path / "x.parquet", table.schema, [table])
    assert not pq.read_metadata(tmp_path / "x.parquet").row_group(0).column(0).has_dictionary_page


def test_no_rows_are_a_table_with_columns(tmp_path: Path) -> None:
    schema = embeddings(1).schema
    write_parquet(tmp_path / "x.parquet", schema, [])
    write_jsonl(tmp_path / "x.jsonl", schema, [])
    assert pq.read_table(tmp_path / "x.parquet").equals(schema.empty_table())
    assert (tmp_path / "x.jsonl").read_text() == ""
    assert pa.concat_tables(read_jsonl(tmp_path / "x.jsonl")[1]).equals(schema.empty_table())


def test_a_jsonl_file_is_one_object_a_line_with_its_meta_beside(tmp_path: Path) -> None:
    table = embeddings(3, width=2)
    write_jsonl(tmp_path / "x.jsonl", table.schema, [table])
    lines = (tmp_path / "x.jsonl").read_text().splitlines()
    rows = [dict(json.loads(line)) for line in lines]
    assert [list(row) for row in rows] == [["id", "score", "embedding"]] * 3
    assert (
        np.array([row["embedding"] for row in rows], np.float32).tobytes()
        == np.stack(table["embedding"].to_numpy()).tobytes()
    )
    meta = json.loads((tmp_path / "x.jsonl.meta.json").read_text())
    assert meta["visioncli"] == {"tool": "visioncli 1", "task": "embed"}


def test_a_jsonl_file_is_read_back_with_types_and_provenance(tmp_path: Path) -> None:
    table = embeddings(100)
    write_jsonl(tmp_path / "x.jsonl", table.schema, [table])
    schema, tables = read_jsonl(tmp_path / "x.jsonl")
    assert schema.equals(table.schema, check_metadata=True)
    assert pa.concat_tables(tables).equals(table)


@pytest.mark.parametrize("damage", ["no meta", "torn meta", "torn line"])
def test_a_damaged_jsonl_file_is_a_usage_error(tmp_path: Path, damage: str) -> None:
    table = embeddings(3)
    write_jsonl(tmp_path / "x.jsonl", table.schema, [table])
    broken = tmp_path / ("x.jsonl" if damage == "torn line" else "x.jsonl.meta.json")
    broken.write_text("" if damage == "no meta" else broken.read_text()[:-20])
    with pytest.raises(UsageError, match="damaged"):
        pa.concat_tables(read_jsonl(tmp_path / "x.jsonl")[1])


@pytest.mark.parametrize(("write", "name"), [(write_parquet, "x.parquet"), (write_jsonl, "x.jsonl")])
def test_a_full_disk_leaves_the_old_file_and_no_half_one(tmp_path: Path, write: object, name: str) -> None:
    assert callable(write)
    table = embeddings(20_000, width=64)
    write(tmp_path / name, table.schema, [table.slice(0, 5)])
    before = {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()}
    with files_of_at_most(100_000), pytest.raises(OutputError, match=f"{name} cannot be written: File too large"):
        write(tmp_path / name, table.schema, [table])
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == before
    write(tmp_path / name, table.schema, [table])


def test_rows_that_break_off_leave_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[pa.Table]:
        yield embeddings(10)
        raise RuntimeError("broken")

    for write, name in ((write_parquet, "x.parquet"), (write_jsonl, "x.jsonl")):
        with pytest.raises(RuntimeError, match="broken"):
            write(tmp_path / name, embeddings(1).schema, broken())
        assert not (tmp_path / name).exists()
        assert not (tmp_path / f".{name}.tmp").exists()


def test_whole_or_absent_says_where_it_cannot_write(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=os.strerror(errno.ENOENT)), whole_or_absent(tmp_path / "none/x"):
        pass
