"""An earlier output as answers that may stand: found by where they are from, and by what was asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visioncli.errors import UsageError
from visioncli.io.sinks import write_jsonl, write_parquet
from visioncli.jobs.hashes import content, contents, hashes, identities, text_hash, text_hashes, with_ranks
from visioncli.jobs.previous import Previous, of_rows

SHA = [f"{number + 1:02x}" * 32 for number in range(9)]
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("id", "source", "text", "status", "error_code", "sha256", "version")),
        ("bytes", pa.int64()),
        ("embedding", pa.list_(pa.float32(), 2)),
    ],
    {"visioncli": json.dumps({"key": {"mode": "run"}})},
)


def row(number: int, code: str | None = None, **more: Any) -> dict[str, Any]:
    ok = {"status": "ok", "sha256": SHA[number], "bytes": number, "version": str(number), "embedding": [number, 0.5]}
    return {
        "id": str(number),
        "source": f"/p/{number}",
        **({"status": "error", "error_code": code} if code else ok),
        **more,
    }


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows as the form that the name asks for; a folder gets parts of two rows."""
    table = pa.Table.from_pylist(rows, SCHEMA)
    if path.suffix == ".jsonl":
        write_jsonl(path, SCHEMA, [table])
    elif path.suffix == ".parquet":
        write_parquet(path, SCHEMA, [table])
    else:
        path.mkdir()
        for first in range(0, len(rows) or 1, 2):
            write_parquet(path / f"part-{first:012d}-{first + 2:012d}.parquet", SCHEMA, [table.slice(first, 2)])
    return path


ROWS = [row(0), row(1, "http_503"), row(2), row(3, "http_404"), row(4)]


@pytest.fixture(params=["out.parquet", "out.jsonl", "out"])
def previous(request: pytest.FixtureRequest, tmp_path: Path) -> Previous:
    return Previous.open(write(tmp_path / request.param, ROWS), tmp_path)


def test_an_output_of_any_form_is_opened(previous: Previous) -> None:
    assert previous.rows == 5
    assert previous.provenance == {"key": {"mode": "run"}}
    assert previous.ok.tolist() == [True, False, True, False, True]
    assert previous.settled.tolist() == [True, False, True, True, True]
    assert previous.bytes.tolist() == [0, -1, 2, -1, 4]


@pytest.mark.parametrize("rows", [[], [4], [0, 1, 2, 3, 4], [4, 0, 4, 2, 2]])
def test_rows_are_taken_in_the_order_asked_for(previous: Previous, rows: list[int]) -> None:
    found = previous.take(np.array(rows, np.int64), ["id", "embedding"])
    assert found.schema.names == ["id", "embedding"]
    assert found["id"].to_pylist() == [str(number) for number in rows]
    vectors = [None if number in (1, 3) else [number, 0.5] for number in rows]
    assert found["embedding"].to_pylist() == vectors


def test_rows_are_matched_by_where_they_are_from(previous: Previous) -> None:
    wanted = identities(pa.Table.from_pylist([row(4), row(8), row(0)], SCHEMA))
    assert previous.match(with_ranks(wanted)).tolist() == [4, -1, 0]


def test_only_answered_rows_are_found_by_content(previous: Previous) -> None:
    assert [previous.find(SHA[number], 0) for number in (0, 1, 2, 8)] == [0, -1, 2, -1]


@pytest.mark.parametrize("name", ["out.parquet", "out.jsonl", "out"])
def test_an_output_without_rows_answers_nothing(tmp_path: Path, name: str) -> None:
    empty = Previous.open(write(tmp_path / name, []), tmp_path)
    assert empty.rows == 0
    assert empty.match(np.array([1, 2], np.uint64)).tolist() == [-1, -1]
    assert empty.find(SHA[0], 0) == -1
    assert empty.take(np.array([], np.int64), ["id"]).num_rows == 0
    assert of_rows(empty.bytes, np.array([-1]), 7).tolist() == [7]


def test_a_text_belongs_to_what_was_asked(tmp_path: Path) -> None:
    rows = [row(0, text="a"), row(0, source="/p/x", text="b")]
    found = Previous.open(write(tmp_path / "out.parquet", rows), tmp_path, "text")
    assert [found.find(SHA[0], text_hash(text)) for text in ("a", "b", "c", None)] == [0, 1, -1, -1]


def test_a_text_column_that_the_output_lacks_is_no_matter(tmp_path: Path) -> None:
    assert Previous.open(write(tmp_path / "out.parquet", ROWS), tmp_path, "caption").text_column is None


@pytest.mark.parametrize("name", ["out.parquet", "out.jsonl", "out"])
def test_what_we_did_not_write_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, ROWS)
    victim = next(path.iterdir()) if path.is_dir() else path
    if name == "out.jsonl":
        (tmp_path / "out.jsonl.meta.json").unlink()
    else:
        pq.write_table(pa.table({"a": [1]}), victim)
    with pytest.raises(UsageError, match="out"):
        Previous.open(path, tmp_path)


def test_json_lines_without_their_types_are_refused_with_what_to_do(tmp_path: Path) -> None:
    path = write(tmp_path / "out.jsonl", ROWS)
    (tmp_path / "out.jsonl.meta.json").unlink()
    with pytest.raises(UsageError, match=r"out\.jsonl cannot be read without it; say --overwrite to ask all again$"):
        Previous.open(path, tmp_path)


def test_of_rows_puts_the_absent_where_there_is_no_row() -> None:
    assert of_rows(np.array([10, 20]), np.array([1, -1, 0]), -5).tolist() == [20, -5, 10]


@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=12))
@settings(max_examples=60, deadline=None)
def test_ranks_tell_the_rows_of_one_source_apart_and_keep_their_order(names: list[str]) -> None:
    ranked = with_ranks(hashes(pa.array(names, pa.string())))
    seen: dict[str, int] = {}
    keys = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        keys.append((name, seen[name]))
    assert len(set(ranked.tolist())) == len(names)
    longer = with_ranks(hashes(pa.array([*names, "a"], pa.string())))
    assert longer[: len(names)].tolist() == ranked.tolist()  # a later row changes no earlier one's


def test_the_hash_of_a_text_is_that_of_its_column() -> None:
    for values in (["a", None, ""], [1, None, 2], [1.5, None, 2.0], [True, None, False]):
        table = pa.table({"text": values, "sha256": pa.array([SHA[0], SHA[1], None])})
        assert text_hashes(table, "text").tolist() == [text_hash(value) for value in values]
        alone = [int(content(sha, text_hash(value))) for sha, value in zip([SHA[0], SHA[1], None], values, strict=True)]
        assert contents(table, "text").tolist() == alone
