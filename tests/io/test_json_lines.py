"""JSON lines: valid JSON for every type, and the same table again."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visioncli.io import json_lines as module
from visioncli.io.json_lines import json_lines, tables_of

MOMENT = dt.datetime(2021, 12, 31, 23, 59, 59, 678901)
CASES: list[tuple[str, pa.DataType, Any, str]] = [  # name, type, value, its JSON
    ("bool", pa.bool_(), True, "true"),
    ("uint64", pa.uint64(), 2**64 - 1, "18446744073709551615"),
    ("float32", pa.float32(), 0.1, "0.1"),
    ("float64", pa.float64(), 0.1 + 0.2, "0.30000000000000004"),
    ("string", pa.string(), 'a"\n\\ü猫\u2028', '"a\\"\\n\\\\ü猫\u2028"'),
    ("large string", pa.large_string(), "a", '"a"'),
    ("binary", pa.binary(), b"\xff\x00", '"/wA="'),
    ("fixed binary", pa.binary(2), b"\xff\x00", '"/wA="'),
    ("large binary", pa.large_binary(), b"", '""'),
    ("date", pa.date32(), dt.date(1969, 7, 20), '"1969-07-20"'),
    ("date64", pa.date64(), dt.date(1969, 7, 20), '"1969-07-20"'),
    ("time32", pa.time32("s"), dt.time(1, 2, 3), '"01:02:03"'),
    ("time64", pa.time64("us"), dt.time(1, 2, 3, 4), '"01:02:03.000004"'),
    ("timestamp", pa.timestamp("us"), MOMENT, '"2021-12-31T23:59:59.678901"'),
    ("timestamp ns", pa.timestamp("ns"), MOMENT, '"2021-12-31T23:59:59.678901000"'),
    ("timestamp tz", pa.timestamp("us", "UTC"), MOMENT.replace(tzinfo=dt.UTC), '"2021-12-31T23:59:59.678901Z"'),
    ("duration", pa.duration("ms"), dt.timedelta(days=-1), "-86400000"),
    ("decimal", pa.decimal128(10, 2), Decimal("-1.50"), '"-1.50"'),
    ("decimal256", pa.decimal256(50, 3), Decimal("0.001"), '"0.001"'),
    ("list", pa.list_(pa.float32()), [1.5, None, 0.1], "[1.5, null, 0.1]"),
    ("large list", pa.large_list(pa.int8()), [], "[]"),
    ("vector", pa.list_(pa.float32(), 2), [0.1, -2.5], "[0.1, -2.5]"),
    ("tensor", pa.fixed_shape_tensor(pa.float32(), [2, 3]), [0.1, 2, 3, 4, 5, -6.5], "[[0.1, 2, 3], [4, 5, -6.5]]"),
    ("half tensor", pa.fixed_shape_tensor(pa.float16(), [1, 1, 2]), [0.5, 2], "[[[0.5, 2]]]"),
    ("list of lists", pa.list_(pa.list_(pa.string())), [["a"], None, []], '[["a"], null, []]'),
    ("struct", pa.struct([("a", pa.float32()), ("b", pa.binary())]), {"a": 0.1, "b": b"x"}, '{"a": 0.1, "b": "eA=="}'),
    ("structs", pa.list_(pa.struct([("t", pa.date32())])), [{"t": dt.date(2020, 1, 1)}], '[{"t": "2020-01-01"}]'),
    ("map", pa.map_(pa.string(), pa.int64()), [("a", 1), ("b", None)], '[["a", 1], ["b", null]]'),
    ("dictionary", pa.dictionary(pa.int8(), pa.string()), "x", '"x"'),
    ("null", pa.null(), None, "null"),
]


@pytest.mark.parametrize(("kind", "value", "text"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_every_type_has_its_json_and_comes_back(kind: pa.DataType, value: Any, text: str) -> None:
    table = pa.table({"before": [0, 1, 2], "x y": pa.array([value, None, value], kind)})
    for piece in (table, table.slice(1), table.slice(3)):
        lines = list(json_lines(piece))
        shown = [text if known is not None else "null" for known in piece["x y"].to_pylist()]
        assert lines == [
            f'{{"before": {n}, "x y": {s}}}' for n, s in zip(piece["before"].to_pylist(), shown, strict=True)
        ]
        assert pa.concat_tables(tables_of(lines, table.schema)).combine_chunks().equals(piece.combine_chunks())


def tensor(one: pa.Array, kind: pa.DataType) -> pa.ExtensionArray:
    storage = pa.FixedSizeListArray.from_arrays(one, 1)
    return pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(kind, [1, 1]), storage)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("kind", [pa.float32(), pa.float64(), pa.float16()])
def test_what_is_no_number_is_null_wherever_it_stands(number: float, kind: pa.DataType) -> None:
    values = np.array([number], kind.to_pandas_dtype())
    inner = pa.array(values, kind)
    columns = {
        "plain": inner,
        "list": pa.ListArray.from_arrays(pa.array([0, 1], pa.int32()), inner),
        "vector": pa.FixedSizeListArray.from_arrays(inner, 1),
        "tensor": tensor(inner, kind),
        "struct": pa.StructArray.from_arrays([inner], ["x"]),
    }
    lines = [json.loads(line) for line in json_lines(pa.table(columns))]
    assert lines == [{"plain": None, "list": [None], "vector": [None], "tensor": [[None]], "struct": {"x": None}}]


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=50))
@settings(max_examples=50, deadline=None)
def test_float32_numbers_come_back_to_the_last_bit_from_their_shortest_text(numbers: list[float]) -> None:
    table = pa.table({"x": pa.array(numbers, pa.float32())})
    lines = list(json_lines(table))
    back = pa.concat_tables(tables_of(lines, table.schema))
    assert back["x"].to_numpy().tobytes() == table["x"].to_numpy().tobytes()
    # numpy's repr is another author's shortest text of a float32
    shortest = [len(np.format_float_scientific(np.float32(n), unique=True, trim="-")) for n in numbers]
    assert all(len(line) - len('{"x": }') <= length + 8 for line, length in zip(lines, shortest, strict=True))


@given(st.lists(st.text(st.characters(codec="utf-8")), max_size=20))
@settings(max_examples=50, deadline=None)
def test_any_text_is_one_line_of_json(texts: list[str]) -> None:
    lines = list(json_lines(pa.table({"x": pa.array(texts, pa.string())})))
    assert [json.loads(line)["x"] for line in lines] == texts
    assert not any("\n" in line for line in lines)


def test_a_table_of_many_rows_comes_in_order() -> None:
    table = pa.table({"n": range(10_000)})
    lines = list(json_lines(table))
    assert lines[0] == '{"n": 0}'
    assert [json.loads(line)["n"] for line in lines] == list(range(10_000))
    assert [len(piece) for piece in tables_of(lines, table.schema, rows=4000)] == [4000, 4000, 2000]


def test_wide_rows_are_made_into_text_and_back_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS_BYTES", 240)
    monkeypatch.setattr(module, "TEXT_BYTES", 600)
    kind = pa.fixed_shape_tensor(pa.float32(), [4, 5])  # 80 bytes a row, and about 250 of text
    numbers = np.random.default_rng(3).normal(size=1000).astype(np.float32)
    storage = pa.FixedSizeListArray.from_arrays(numbers, type=kind.storage_type)
    table = pa.table({"x": pa.ExtensionArray.from_storage(kind, storage)})
    lines = list(json_lines(table))
    np.testing.assert_array_equal(
        [json.loads(line)["x"] for line in lines], numbers.astype(str).astype(float).reshape(50, 4, 5)
    )
    pieces = list(tables_of(lines, table.schema))
    assert max(len(piece) for piece in pieces) <= 4
    assert pa.concat_tables(pieces).combine_chunks().equals(table)


def test_columns_that_a_line_lacks_are_null_and_others_are_dropped() -> None:
    schema = pa.schema([("a", pa.int64()), ("b", pa.string())])
    assert pa.concat_tables(tables_of(['{"a": 1, "c": 2}'], schema)).to_pylist() == [{"a": 1, "b": None}]


@pytest.mark.parametrize("line", ["", "[]", "1", '{"a": ', '{"a": "x"}'])
def test_a_damaged_line_is_an_error(line: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        list(tables_of([line], pa.schema([("a", pa.int64())])))
