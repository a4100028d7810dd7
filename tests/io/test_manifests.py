"""CSV, TSV, JSONL and Parquet manifests: cells, types, columns, ids, and what is refused."""

from __future__ import annotations

import csv
import datetime
import decimal
import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from visioncli.errors import UsageError
from visioncli.io import sheets
from visioncli.io.listing import Listing, ListingOptions, survey

NOTHING: dict[str, Any] = {"missing": None}


def surveyed(path: Path, **options: Any) -> Listing:
    return survey([str(path)], ListingOptions(**options))


def table(path: Path, **options: Any) -> pa.Table:
    listing = surveyed(path, **options)
    return pa.Table.from_batches(listing.batches(), listing.schema)


def jsonl(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(UsageError) as caught:
        list(surveyed(path, **options).batches())
    return str(caught.value).replace(f"{path.parent}/", "")


def test_csv_cells_stay_strings(tmp_path: Path) -> None:
    path = tmp_path / "catalog.csv"
    path.write_text('image,sku,price,note\na.jpg,00123,1.50,NA\n/b.jpg,,null,"x, ""y"""\n')
    assert table(path).to_pylist() == [
        {
            "id": "a.jpg",
            "uri": f"{tmp_path}/a.jpg".encode(),
            "source": f"{tmp_path}/a.jpg",
            "missing": None,
            "sku": "00123",
            "price": "1.50",
            "note": "NA",
        },
        {
            "id": "/b.jpg",
            "uri": b"/b.jpg",
            "source": "/b.jpg",
            "missing": None,
            "sku": "",
            "price": "null",
            "note": 'x, "y"',
        },
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.csv", b"image,t\na.jpg,\xc3\xa9\n"),
        ("bom.csv", b'\xef\xbb\xbf"image",t\na.jpg,\xc3\xa9\n'),
        ("crlf.CSV", b"image,t\r\n\r\na.jpg,\xc3\xa9\r\n"),
        ("old_mac.csv", b"image,t\ra.jpg,\xc3\xa9"),
        ("x.tsv", b"image\tt\na.jpg\t\xc3\xa9\n"),
        ("x.jsonl", b'{"image": "a.jpg", "t": "\xc3\xa9"}\n'),
        ("bom.ndjson", b'\xef\xbb\xbf{"image": "a.jpg", "t": "\\u00e9"}\r\n\r\n'),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_each_text_manifest_reads_the_same_packed_or_not(
    tmp_path: Path, name: str, content: bytes, packed: bool
) -> None:
    path = tmp_path / (name + ".gz" * packed)
    path.write_bytes(gzip.compress(content) if packed else content)
    assert table(path).select(["id", "source", "t"]).to_pylist() == [
        {"id": "a.jpg", "source": f"{tmp_path}/a.jpg", "t": "\u00e9"}
    ]


# what csv.writer can write and UTF-8 can spell; a NUL is refused by some readers, a lone CR is a line end to all
CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=9))
def test_any_csv_cells_come_back_as_they_were_written(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    path = tmp_path / "any.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "one", "two"])
        writer.writerows([("a.jpg", *cells) for cells in rows])
    listing = surveyed(path)
    found = [row for batch in listing.batches(rows=2) for row in batch.to_pylist()]
    assert [(row["one"], row["two"]) for row in found] == rows


def nested(deep: int) -> Any:
    value: Any = 1
    for _ in range(deep):
        value = [value]
    return value


def in_lists(deep: int) -> pa.DataType:
    kind = pa.int64()
    for _ in range(deep):
        kind = pa.list_(kind)
    return kind


@pytest.mark.parametrize(
    ("values", "kind", "kept"),
    [
        ([1, None, -3], pa.int64(), [1, None, -3]),
        ([1, 2.5], pa.float64(), [1.0, 2.5]),
        ([2**62, 1], pa.int64(), [2**62, 1]),
        ([2**62, 2.5], pa.string(), ["4611686018427387904", "2.5"]),
        ([2**64, 1], pa.string(), ["18446744073709551616", "1"]),
        ([True, False], pa.bool_(), [True, False]),
        ([True, 1], pa.string(), ["true", "1"]),
        (["a", "\u00e9"], pa.string(), ["a", "\u00e9"]),
        (["a", 1, None], pa.string(), ['"a"', "1", None]),
        ([[1, 2], [2.5], [], None], pa.list_(pa.float64()), [[1.0, 2.0], [2.5], [], None]),
        ([["a"], [None]], pa.list_(pa.string()), [["a"], [None]]),
        ([[1, "a"]], pa.string(), ['[1, "a"]']),
        (
            [{"x": 1}, {"y": ["z"]}],
            pa.struct([("x", pa.int64()), ("y", pa.list_(pa.string()))]),
            [{"x": 1, "y": None}, {"x": None, "y": ["z"]}],
        ),
        ([{"x": 1}, {"x": "1"}], pa.string(), ['{"x": 1}', '{"x": "1"}']),
        ([{}, None], pa.string(), ["{}", None]),
        ([None, None], pa.string(), [None, None]),
        (["\ud83d"], pa.string(), ["?"]),
        ([nested(31)], in_lists(31), [nested(31)]),
        ([nested(100), None], pa.string(), [json.dumps(nested(100)), None]),
        ([nested(400)], pa.string(), [json.dumps(nested(400))]),
    ],
)
def test_jsonl_types_are_settled_over_the_whole_file(
    tmp_path: Path, values: list[Any], kind: pa.DataType, kept: list[Any]
) -> None:
    found = table(jsonl(tmp_path / "x.jsonl", *({"image": "a.jpg", "v": value} for value in values)))
    assert found.schema.field("v").type == kind
    assert found["v"].to_pylist() == kept


def test_a_value_of_any_depth_becomes_a_column_or_a_refusal(tmp_path: Path) -> None:
    """Python reads and writes nearly a thousand levels; how many are left depends on who calls."""
    for deep in range(900, 1010):
        path = tmp_path / "x.jsonl"
        path.write_text('{"image": "a.jpg", "v": ' + "[" * deep + "]" * deep + "}\n")
        try:
            found = table(path)["v"].to_pylist()
        except UsageError as error:
            found = [str(error).partition(": ")[2]]
        too_deep = "lists or objects lie too deep in one another; write them as a string"
        assert found in (["[" * deep + "]" * deep], [too_deep])


def test_a_long_cell_is_a_cell(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("image,note\na.jpg," + "x" * 1_000_000 + "\n")
    assert table(tmp_path / "x.csv")["note"].to_pylist() == ["x" * 1_000_000]


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "x.parquet", "repeated.parquet"])
def test_batches_of_wide_rows_are_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(sheets, "BATCH_BYTES", 10_000)
    notes = ["x" * 3000 if "repeated" in name else str(n) * 3000 for n in range(9)]
    path, rows = tmp_path / name, pa.table({"image": [f"{n}.jpg" for n in range(9)], "note": notes})
    if name == "x.csv":
        pa_csv.write_csv(rows, path)
    elif name == "x.jsonl":
        jsonl(path, *rows.to_pylist())
    else:
        pq.write_table(rows, path)
    batches = list(surveyed(path).batches())
    assert max(len(batch) for batch in batches) <= 4
    assert pa.Table.from_batches(batches)["note"].to_pylist() == notes


def test_a_jsonl_key_that_a_line_lacks_is_null(tmp_path: Path) -> None:
    found = table(jsonl(tmp_path / "x.jsonl", {"image": "a.jpg", "a": 1}, {"b": "x", "image": "b.jpg"}))
    assert found.select(["a", "b"]).to_pylist() == [{"a": 1, "b": None}, {"a": None, "b": "x"}]


def test_values_that_do_not_agree_are_announced(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "x.jsonl", {"image": "a.jpg", "v": 1}, {"image": "b.jpg", "v": "x"})
    assert surveyed(path).notes == (
        f"{path}: the values of column 'v' have no common type and are kept as JSON strings",
        f"{path}: images are read from column 'image'",
    )


def test_parquet_types_stay_as_they_are(tmp_path: Path) -> None:
    columns = {
        "when": pa.array([datetime.datetime(2024, 1, 2, 3)], pa.timestamp("ms", "UTC")),
        "price": pa.array([decimal.Decimal("1.50")], pa.decimal128(9, 2)),
        "small": pa.array([7], pa.int8()),
        "raw": pa.array([b"\xff"]),
        "nested": pa.array([[{"a": 1, "b": ["x"]}]]),
    }
    stored = pa.table({"image": ["a.jpg"], **columns, "kind": pa.array(["k"]).dictionary_encode()})
    pq.write_table(stored, tmp_path / "x.parquet")
    found = table(tmp_path / "x.parquet").select([*columns, "kind"])
    assert found.select(list(columns)).equals(stored.select(list(columns)))
    assert found["kind"].type == pa.string() and found["kind"].to_pylist() == ["k"]


LISTS = [["a.jpg", "b.jpg"], [], None, ["c.jpg", None]]
SPREAD = [  # (id, image_index, missing, sku)
    ("a.jpg", 0, None, 1),
    ("b.jpg", 1, None, 1),
    ("{name}:2", None, "input_missing", 2),
    ("{name}:3", None, "input_missing", 3),
    ("c.jpg", 0, None, 4),
    ("{name}:4", 1, "input_missing", 4),
]


@pytest.mark.parametrize("kind", [None, pa.list_(pa.string()), pa.large_list(pa.large_string())])
def test_a_list_gives_one_row_per_image(tmp_path: Path, kind: pa.DataType | None) -> None:
    path = tmp_path / ("x.jsonl" if kind is None else "x.parquet")
    if kind is None:
        jsonl(path, *({"image": images, "sku": sku} for sku, images in enumerate(LISTS, 1)))
    else:
        pq.write_table(pa.table({"image": pa.array(LISTS, kind), "sku": [1, 2, 3, 4]}), path)
    found = [tuple(row.values()) for row in table(path).select(["id", "image_index", "missing", "sku"]).to_pylist()]
    assert found == [(id_.format(name=path), *rest) for id_, *rest in SPREAD]


def test_the_images_of_one_list_share_a_given_id_and_are_no_repeats(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "x.jsonl", {"image": ["a.jpg", "b.jpg"], "id": "p"}, {"image": ["c.jpg"], "id": "p"})
    listing = surveyed(path)
    assert [id_ for batch in listing.batches() for id_ in batch["id"].to_pylist()] == ["p", "p", "p"]
    assert listing.progress.explicit_repeats == 1


@pytest.mark.parametrize(
    ("cell", "uri"),
    [
        ("a b.jpg", b"{folder}/a b.jpg"),
        ("./sub/../b.jpg", b"{folder}/b.jpg"),
        ("link/../b.jpg", b"{folder}/link/../b.jpg"),
        ("./b.jpg", b"{folder}/b.jpg"),
        ("a//b.jpg", b"{folder}/a/b.jpg"),
        ("a:b.jpg", b"{folder}/a:b.jpg"),
        ("~/b.jpg", b"{folder}/~/b.jpg"),
        ("/abs/b.jpg", b"/abs/b.jpg"),
        ("file:///abs/b%20c.jpg", b"/abs/b c.jpg"),
        ("http://h/b.jpg", b"http://h/b.jpg"),
        ("HTTP://h//b/../c.jpg", b"HTTP://h//b/../c.jpg"),
        ("s3://bucket/b.jpg", b"s3://bucket/b.jpg"),
        ("data:image/png;base64,AA//", b"data:image/png;base64,AA//"),
        ("", None),
        ("  ", None),
    ],
)
def test_a_cell_is_resolved_from_the_manifests_folder(tmp_path: Path, cell: str, uri: bytes | None) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to("/usr/bin")  # `link/..` is not this folder
    path = jsonl(tmp_path / "x.jsonl", {"image": cell}, {"image": "plain.jpg"})
    expected = None if uri is None else uri.replace(b"{folder}", str(tmp_path).encode())
    found = table(path)
    assert found["uri"].to_pylist() == [expected, f"{tmp_path}/plain.jpg".encode()]
    assert found["missing"].to_pylist() == ["input_missing" if uri is None else None, None]
    assert found["id"].to_pylist() == [f"{path}:1" if uri is None else cell, "plain.jpg"]


def test_a_manifest_in_a_folder_that_is_not_utf8_keeps_its_bytes(tmp_path: Path) -> None:
    folder = bytes(tmp_path) + b"/\xff"
    Path(folder.decode("utf-8", "surrogateescape")).mkdir()
    with open(folder + b"/x.csv", "w") as file:
        file.write("image\na.jpg\n")
    listing = survey([folder + b"/x.csv"], ListingOptions())
    (batch,) = listing.batches()
    assert batch["uri"].to_pylist() == [folder + b"/a.jpg"]
    assert batch["source"].to_pylist() == [f"{tmp_path}/\\xff/a.jpg"]


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        ("path,URL,x", "URL"),
        ("Image,x", "Image"),
        ("src,file_name", "file_name"),
        ("img", "img"),
        ("filename,file", "file"),
    ],
)
def test_the_image_column_is_the_first_usual_name_and_announced(tmp_path: Path, header: str, chosen: str) -> None:
    path = tmp_path / "catalog.csv"
    path.write_text(f"{header}\n{','.join(name + '.jpg' for name in header.split(','))}\n")
    listing = surveyed(path)
    assert listing.notes == (f"{path}: images are read from column {chosen!r}",)
    assert table(path)["id"].to_pylist() == [f"{chosen}.jpg"]
    assert chosen not in listing.schema.names


def test_a_usual_name_that_holds_no_paths_gives_way_to_one_that_does(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"image": [{"bytes": b"", "path": "x"}], "url": ["http://h/a.jpg"]}), tmp_path / "x.parquet"
    )
    assert table(tmp_path / "x.parquet")["id"].to_pylist() == ["http://h/a.jpg"]


def test_a_chosen_image_column_is_not_announced(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "x.jsonl", {"photo": "a.jpg", "url": "b.jpg"})
    listing = surveyed(path, image_column="photo")
    assert (listing.notes, listing.schema.names) == ((), ["id", "uri", "source", "missing", "url"])


@pytest.mark.parametrize(
    ("values", "ids"),
    [
        (["x", "", None, "x"], ["x", "0.jpg", "0.jpg#2", "x"]),
        ([1, 2, None, 1], ["1", "2", "0.jpg", "1"]),
        (["x", 1, None, True], ["x", "1", "0.jpg", "true"]),
        ([0.5, 2.0, None, 1.0], ["0.5", "2", "0.jpg", "1"]),
    ],
)
@pytest.mark.parametrize("column", ["id", "sku"])
def test_given_ids_are_kept_and_empty_ones_derived(
    tmp_path: Path, values: list[Any], ids: list[str], column: str
) -> None:
    path = jsonl(tmp_path / "x.jsonl", *({"image": "0.jpg", column: value} for value in values))
    found = table(path, id_column=None if column == "id" else column)
    assert found["id"].to_pylist() == ids
    assert (column in found.schema.names[1:]) == (column == "sku")  # only --id-col's column passes through as well


def test_a_version_column_stands_for_the_files_version(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "x.jsonl", {"image": "a.jpg", "etag": 7, "version": "q"}, {"image": "b.jpg", "etag": None})
    found = table(path, version_column="etag")
    assert found.select(["version", "etag", "version_in"]).to_pylist() == [
        {"version": "7", "etag": 7, "version_in": "q"},
        {"version": None, "etag": None, "version_in": None},
    ]
    assert table(path, version_column="version").schema.names == ["id", "uri", "source", "missing", "version", "etag"]


def test_rows_without_an_image_column_are_texts_alone(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "x.jsonl", {"t": "red shoe"}, {"t": None})
    listing = surveyed(path, text_column="t")
    assert [row for batch in listing.batches() for row in batch.to_pylist()] == [
        {"id": f"{path}:1", "uri": None, "source": None, "missing": None, "t": "red shoe"},
        {"id": f"{path}:2", "uri": None, "source": None, "missing": None, "t": None},
    ]
    assert (listing.has_images, listing.notes) == (False, ())


def test_texts_alone_may_be_asked_for_where_there_are_images(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "x.jsonl", {"image": "a.jpg", "t": "x", "id": "i"})
    found = table(path, text_column="t", images=False)
    assert found.to_pylist() == [{"id": "i", "uri": None, "source": None, "missing": None, "image": "a.jpg", "t": "x"}]


def test_columns_without_a_name_are_numbered_and_announced(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(",image,\n0,a.jpg,z\n")
    listing = surveyed(path)
    assert listing.schema.names[4:] == ["column_1", "column_3"]
    assert listing.notes[0] == f"{path}: columns without a name are called 'column_1', 'column_3'"


def test_manifests_are_stamped_for_the_run_key(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "x.jsonl", {"image": "a.jpg"})
    assert surveyed(path).manifests == ((str(path), 19, path.stat().st_mtime_ns),)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("x.csv", b"", "x.csv is empty: a header line with the columns' names is needed"),
        ("x.csv", b"image,a\n", "x.csv matches nothing: it has no rows"),
        ("x.csv", b"image,a,a\n1,2,3\n", "x.csv: the header names 'a' more than once; each column needs its own name"),
        ("x.csv", b"image,a\n1,2\n3\n", "x.csv, line 3: 1 cell, but the header has 2 columns"),
        ("x.csv", b'image,a\n1,"\n"\n3,4,5\n', "x.csv, line 4: 3 cells, but the header has 2 columns"),
        (
            "x.csv",
            b'image,a\n1,"2\n' + b"x\n" * 2**23,
            "x.csv, line 2: field larger than field limit (16777216); is a quote not closed?",
        ),
        ("x.csv", b'image,a\n1,"2\n', "x.csv, line 2: unexpected end of data; is a quote not closed?"),
        ("x.csv", b"image,a\n1,\xff\n", "x.csv, line 2: the text is not UTF-8; save the file as UTF-8"),
        (
            "x.csv",
            b"name,a\n1,2\n",
            "x.csv: no column has a usual name for images; choose one with --image-col: name, a",
        ),
        ("x.csv.gz", b"no gzip", "x.csv.gz: the gzip data are damaged (Not a gzipped file (b'no'))"),
        ("x.jsonl", b"\n", "x.jsonl matches nothing: it has no rows"),
        (
            "x.jsonl",
            b'{"image": "a"}\n{"image"\n',
            "x.jsonl, line 2 is not JSON: Expecting ':' delimiter at column 9",
        ),
        ("x.jsonl", b'["a"]\n', 'x.jsonl, line 1 is no JSON object: each line needs the form {"image": "a.jpg", ...}'),
        ("x.jsonl", b'{"a": "\xff"}\n', "x.jsonl, line 1: the text is not UTF-8"),
        (
            "x.jsonl",
            b'{"image": "a", "n": %s}\n' % (b"9" * 5000),
            "x.jsonl, line 1: a number has too many digits; write it as a string",
        ),
        (
            "x.jsonl",
            b'{"image": "a", "n": %s}\n' % (b"[" * 9000 + b"]" * 9000),
            "x.jsonl, line 1: lists or objects lie too deep in one another; write them as a string",
        ),
        (
            "x.jsonl",
            b'{"image": 1}',
            "x.jsonl: column 'image' holds int64, not paths or URLs; choose another with --image-col",
        ),
        (
            "x.jsonl",
            b'{"image": 1}\n{"image": "a"}',
            "x.jsonl: column 'image' holds values of several types, not paths or URLs; choose another with --image-col",
        ),
        ("x.parquet.gz", b"", "x.parquet.gz: a gzipped Parquet file cannot be read; unpack it first"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_refused(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert refusal(tmp_path / name) == sentence


@pytest.mark.parametrize("wrong", [b"a", b'"a\nb",2,3', b"a,\xff", b'a,"b"c', b'a,"never closed\n1,2\n3,4'])
@pytest.mark.parametrize(
    "before", [b"", b"a,1\n", b'"a\n\nb",1\n', b"\n\n\na,1\n", b'\r\na,"\r\n"\r\n', b"a,1\n" * 9999]
)
def test_the_line_of_a_csv_that_is_complained_of_is_the_files(tmp_path: Path, before: bytes, wrong: bytes) -> None:
    content = b"image,n\n" + before + wrong + b"\n"
    (tmp_path / "x.csv").write_bytes(content)
    line = content[: content.rindex(wrong)].count(b"\n") + 1
    assert refusal(tmp_path / "x.csv").startswith(f"x.csv, line {line}: ")


@pytest.mark.parametrize("wrong", [b'{"image"', b"[]", b'"\xff"', b'{"n": %s}' % (b"9" * 5000)], ids=range(4))
@pytest.mark.parametrize(
    "before", [b"", b'{"image": "a"}\n', b"\n \n\r\n", b'{"image": "a"}\r\n\r\n' * 9999], ids=range(4)
)
def test_the_line_of_a_jsonl_that_is_complained_of_is_the_files(tmp_path: Path, before: bytes, wrong: bytes) -> None:
    (tmp_path / "x.jsonl").write_bytes(before + wrong + b"\n\n")
    said = refusal(tmp_path / "x.jsonl")
    assert re.findall(r"line (\d+)", said) == [str(before.count(b"\n") + 1)]


def test_pictures_inside_a_parquet_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"image": [{"bytes": b"", "path": "a"}]}), path)
    assert refusal(path) == (
        "x.parquet: column 'image' holds struct<bytes: binary, path: string>, not paths or URLs; "
        "choose another with --image-col"
    )


@pytest.mark.parametrize("damage", [lambda whole: b"no parquet", lambda whole: b"", lambda whole: whole[:-20]])
def test_a_damaged_parquet_file_is_refused(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"image": ["a.jpg"]}), path)
    path.write_bytes(damage(path.read_bytes()))
    assert refusal(path).startswith("x.parquet cannot be read as Parquet: ")


def test_damage_further_down_a_parquet_file_is_refused_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    names = [f"{number}.jpg" for number in range(4000)]
    pq.write_table(pa.table({"image": names}), path, compression="gzip", use_dictionary=False, row_group_size=2000)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) * 3 // 4] = bytes(len(content) * 3 // 4 - len(content) // 2)
    path.write_bytes(content)
    assert refusal(path).startswith("x.parquet cannot be read: GZipCodec failed")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"image_column": "u"}, "x.jsonl has no column 'u' (--image-col); it has image, tags, n"),
        ({"id_column": "u"}, "x.jsonl has no column 'u' (--id-col); it has image, tags, n"),
        ({"text_column": "u"}, "x.jsonl has no column 'u' (--text-col); it has image, tags, n"),
        ({"version_column": "u"}, "x.jsonl has no column 'u' (--version-col); it has image, tags, n"),
        ({"id_column": "tags"}, "x.jsonl: column 'tags' (--id-col) holds list<item: int64>, not single values"),
        ({"image_column": "n"}, "x.jsonl: column 'n' holds int64, not paths or URLs; choose another with --image-col"),
    ],
)
def test_a_column_that_cannot_be_used_is_refused(tmp_path: Path, options: dict[str, Any], sentence: str) -> None:
    assert refusal(jsonl(tmp_path / "x.jsonl", {"image": "a.jpg", "tags": [1], "n": 1}), **options) == sentence
