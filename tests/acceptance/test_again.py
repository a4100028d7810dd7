"""A finished output once more: --retry-failed, --overwrite, --fail-on; and the flags that bound or describe a run."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import misbehaving, small_pictures
from tests.prompt import visioncli as prompt

EMBED = ["embed", "--model", "demo"]
SHA = {number: small_pictures.sha256(small_pictures.jpeg(number)) for number in range(40)}


@pytest.fixture
def server() -> Iterator[misbehaving.Server]:
    with misbehaving.serve({f"{n}.jpg": small_pictures.jpeg(n) for n in range(20)}) as running:
        yield running


@pytest.fixture
def mixed(server: misbehaving.Server, tmp_path: Path) -> Path:
    """A manifest of eight rows: pictures, and three that fail for now (503, a missing file, a broken picture)."""
    photos = small_pictures.folder(tmp_path / "photos", range(10))
    (photos / "00007.jpg").write_bytes(small_pictures.jpeg(7)[:200])
    server.busy_with.add("11.jpg")
    urls = [server.url(f"/ok/{n}.jpg").decode() for n in (10, 11)]
    names = [
        "photos/00001.jpg",
        urls[0],
        urls[1],
        "photos/00002.jpg",
        "photos/later.jpg",
        "photos/00007.jpg",
        "",
        "photos/00003.jpg",
    ]
    lines = [json.dumps({"image": name, "price": number, "when": "2020-01-01"}) for number, name in enumerate(names)]
    (tmp_path / "m.jsonl").write_text("\n".join(lines))
    return tmp_path / "m.jsonl"


def read(output: str) -> pa.Table:
    if not output.endswith(".jsonl"):
        return pq.read_table(output)
    return pa.Table.from_pylist([json.loads(line) for line in Path(output).read_text().splitlines()])


def heal(server: misbehaving.Server, tmp_path: Path) -> None:
    server.busy_with.clear()
    (tmp_path / "photos/later.jpg").write_bytes(small_pictures.jpeg(20))


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", "/"])
def test_a_retry_copies_the_answered_rows_and_asks_the_others(
    server: misbehaving.Server, mixed: Path, tmp_path: Path, suffix: str
) -> None:
    command = [*EMBED, mixed, "-o", f"{tmp_path}/out{suffix}", "--retries", "0", "--summary", tmp_path / "s.json"]
    assert prompt(*command).code == 3
    before = read(f"{tmp_path}/out{suffix}").to_pylist()
    codes = [None, None, "http_503", None, "file_not_found", "decode_truncated", "input_missing", None]
    assert [row["error_code"] for row in before] == codes
    heal(server, tmp_path)
    shutil.rmtree(tmp_path / "photos/00001.jpg", ignore_errors=True)
    os.unlink(tmp_path / "photos/00001.jpg")  # an answered row is copied, not looked at
    assert prompt(*command, "--retry-failed").code == 3
    after = read(f"{tmp_path}/out{suffix}").to_pylist()
    assert [row["error_code"] for row in after] == [None] * 5 + ["decode_truncated", "input_missing", None]
    assert [after[n] for n in (0, 1, 3, 5, 6, 7)] == [before[n] for n in (0, 1, 3, 5, 6, 7)]
    assert (after[2]["sha256"], after[4]["sha256"]) == (SHA[11], SHA[20])
    assert [row["price"] for row in after] == list(range(8))
    summary = json.loads((tmp_path / "s.json").read_text())
    assert (summary["inferred"], summary["new_failures"], summary["ok"]) == (2, 0, 6)


def test_a_retry_of_a_list_column_keeps_each_picture_at_its_place(tmp_path: Path) -> None:
    photos = small_pictures.folder(tmp_path / "photos", range(4))
    rows = [{"id": "a", "images": ["photos/00000.jpg", "photos/x.jpg"]}, {"id": "b", "images": ["photos/00001.jpg"]}]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    command = [*EMBED, tmp_path / "m.jsonl", "--image-col", "images", "-o", tmp_path / "out.parquet"]
    assert prompt(*command).code == 3
    shutil.copy(photos / "00003.jpg", photos / "x.jpg")
    assert prompt(*command, "--retry-failed").code == 0
    found = pq.read_table(tmp_path / "out.parquet")
    shown = zip(*(found[name].to_pylist() for name in ("id", "image_index", "sha256")), strict=True)
    assert list(shown) == [("a", 0, SHA[0]), ("a", 1, SHA[3]), ("b", 0, SHA[1])]


def test_a_retry_finds_files_again_whose_names_are_not_utf8_or_are_in_a_tar(tmp_path: Path) -> None:
    names = [os.fsencode(tmp_path) + b"/caf\xe9.jpg", os.fsencode(tmp_path / "in.jpg")]
    for name in names:
        with open(name, "wb") as file:
            file.write(small_pictures.jpeg(1)[:200])
    with tarfile.open(tmp_path / "all.tar", "w") as tar:
        tar.add(tmp_path / "in.jpg", "in.jpg")
    command = [*EMBED, os.fsdecode(names[0]), tmp_path / "all.tar", "-o", tmp_path / "out.parquet"]
    assert prompt(*command).code == 3
    stamp = (tmp_path / "all.tar").stat()
    with open(names[0], "wb") as file:
        file.write(small_pictures.jpeg(2))
    (tmp_path / "in.jpg").write_bytes(small_pictures.jpeg(3))
    with tarfile.open(tmp_path / "all.tar", "w") as tar:
        tar.add(tmp_path / "in.jpg", "in.jpg")
    assert stamp.st_mtime_ns != (tmp_path / "all.tar").stat().st_mtime_ns
    assert prompt(*command, "--retry-failed").code == 0
    assert pq.read_table(tmp_path / "out.parquet")["sha256"].to_pylist() == [SHA[2], SHA[3]]


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (["--alpha", "drop"], "--alpha was"),
        (["--limit", "3"], "--limit was not given, is 3"),
        (["--store", "float16"], "--store was float32, is float16"),
    ],
)
def test_a_retry_of_another_question_is_refused(mixed: Path, tmp_path: Path, changed: list[str], named: str) -> None:
    command = [*EMBED, mixed, "-o", tmp_path / "out.parquet", "--retries", "0"]
    prompt(*command)
    told = prompt(*command, "--retry-failed", *changed)
    assert (told.code, named in told.err, "say --overwrite" in told.err) == (2, True, True)
    assert sorted(os.listdir(tmp_path)) == ["m.jsonl", "out.parquet", "photos"]


def test_a_retry_needs_something_to_retry(mixed: Path, tmp_path: Path) -> None:
    told = prompt(*EMBED, mixed, "-o", tmp_path / "out.parquet", "--retry-failed")
    assert (told.code, "--retry-failed needs a finished output" in told.err) == (2, True)


def test_an_update_after_a_retry_and_a_retry_after_an_update_go_together(
    server: misbehaving.Server, mixed: Path, tmp_path: Path
) -> None:
    command = [*EMBED, mixed, "-o", tmp_path / "out.parquet", "--retries", "0"]
    prompt(*command, "--update")
    server.busy_with.add("10.jpg")
    prompt(*command, "--update")
    stale = [False, True] + [False] * 6
    assert pq.read_table(tmp_path / "out.parquet")["stale"].to_pylist() == stale
    (tmp_path / "photos/later.jpg").write_bytes(small_pictures.jpeg(20))
    assert prompt(*command, "--retry-failed").code == 3
    retried = pq.read_table(tmp_path / "out.parquet")
    assert retried["stale"].to_pylist() == stale  # not looked at: as it was
    assert retried["sha256"].to_pylist()[4] == SHA[20]
    server.busy_with.clear()
    assert prompt(*command, "--update").code == 3
    assert pq.read_table(tmp_path / "out.parquet")["stale"].to_pylist() == [False] * 8


def test_overwriting_asks_every_row_again(mixed: Path, tmp_path: Path) -> None:
    command = [*EMBED, mixed, "-o", tmp_path / "out.parquet", "--retries", "0", "--summary", tmp_path / "s.json"]
    prompt(*command)
    assert prompt(*command).code == 2
    assert prompt(*command, "--overwrite", "--alpha", "black").code == 3
    summary = json.loads((tmp_path / "s.json").read_text())
    assert (summary["inferred"], summary["rows"], summary["new_failures"]) == (4, 8, 0)


@pytest.mark.parametrize(("fail_on", "first", "second"), [("any", 3, 3), ("new", 3, 0), ("none", 0, 0)])
def test_which_failures_make_exit_3_is_a_choice(
    mixed: Path, tmp_path: Path, fail_on: str, first: int, second: int
) -> None:
    command = [*EMBED, mixed, "-o", tmp_path / "out.parquet", "--retries", "0", "--fail-on", fail_on]
    assert prompt(*command).code == first
    assert prompt(*command, "--update").code == second


def test_a_row_that_did_not_fail_before_is_a_new_failure(mixed: Path, tmp_path: Path) -> None:
    command = [*EMBED, mixed, "-o", tmp_path / "out.parquet", "--retries", "0", "--fail-on", "new"]
    prompt(*command)
    (tmp_path / "photos/00001.jpg").write_bytes(b"<html>")
    assert prompt(*command, "--update").code == 3


def test_a_limit_takes_the_first_rows(mixed: Path, tmp_path: Path) -> None:
    assert prompt(*EMBED, mixed, "-o", tmp_path / "out.parquet", "--limit", "2").code == 0
    assert pq.read_table(tmp_path / "out.parquet")["price"].to_pylist() == [0, 1]


@pytest.mark.parametrize("output", ["out.parquet", "out.jsonl", "out/", "-"])
def test_a_dry_run_writes_nothing(mixed: Path, tmp_path: Path, output: str) -> None:
    where = output if output == "-" else f"{tmp_path}/{output}"
    before = sorted(tmp_path.rglob("*"))
    told = prompt(*EMBED, mixed, "-o", where, "--dry-run")
    assert (told.code, told.out) == (0, "")
    assert "8 rows to embed" in told.err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_summary_is_written_as_json(mixed: Path, tmp_path: Path) -> None:
    prompt(*EMBED, mixed, "-o", tmp_path / "out.parquet", "--retries", "0", "--summary", tmp_path / "s.json")
    summary: dict[str, Any] = json.loads((tmp_path / "s.json").read_text())
    expected = {"http_503": 1, "file_not_found": 1, "decode_truncated": 1, "input_missing": 1}
    assert summary["failed"] == expected
    counts = {"rows": 8, "ok": 4, "inferred": 4, "reused": 0, "done_before": 0, "new_failures": 4, "repeated_ids": 0}
    assert {name: summary[name] for name in counts} == counts
    assert set(summary["held_back"]) == {"fetch", "decode", "device", "write"}
    assert set(summary["choices"]) >= {"device", "dtype", "batch_size"}


def test_repeated_ids_are_counted_and_refused_on_request(tmp_path: Path) -> None:
    small_pictures.folder(tmp_path, range(2))
    (tmp_path / "m.csv").write_text("id,image\na,00000.jpg\na,00001.jpg\n")
    told = prompt(*EMBED, tmp_path / "m.csv", "-o", tmp_path / "out.parquet")
    assert (told.code, "1 id came before" in told.err) == (0, True)
    assert pq.read_table(tmp_path / "out.parquet")["id"].to_pylist() == ["a", "a"]
    told = prompt(*EMBED, tmp_path / "m.csv", "-o", tmp_path / "new.parquet", "--unique-ids")
    assert (told.code, "--unique-ids" in told.err) == (2, True)
    assert sorted(path.name for path in tmp_path.glob("new*")) == []


def test_a_folder_with_other_things_is_no_output(mixed: Path, tmp_path: Path) -> None:
    told = prompt(*EMBED, mixed, "-o", f"{tmp_path}/photos/")
    assert (told.code, "holds other things" in told.err) == (2, True)


def test_columns_of_any_type_pass_through_a_jsonl_output_and_its_retry(tmp_path: Path) -> None:
    small_pictures.folder(tmp_path, range(2))
    import datetime as dt
    from decimal import Decimal

    columns = {
        "image": ["00000.jpg", "later.jpg"],
        "when": pa.array([dt.datetime(2020, 1, 1, 12), None], pa.timestamp("us", "UTC")),
        "price": pa.array([Decimal("9.90"), None], pa.decimal128(10, 2)),
        "thumb": pa.array([b"\xff\xd8", None]),
        "ratio": pa.array([0.1, float("nan")], pa.float32()),
    }
    pq.write_table(pa.table(columns), tmp_path / "m.parquet")
    command = [*EMBED, tmp_path / "m.parquet", "-o", tmp_path / "out.jsonl"]
    assert prompt(*command).code == 3
    before = (tmp_path / "out.jsonl").read_text().splitlines()
    (tmp_path / "00001.jpg").rename(tmp_path / "later.jpg")
    assert prompt(*command, "--retry-failed").code == 0
    after = (tmp_path / "out.jsonl").read_text().splitlines()
    assert after[0] == before[0]
    row = json.loads(after[0])
    assert [row[name] for name in ("when", "price", "thumb", "ratio")] == [
        "2020-01-01T12:00:00.000000Z",
        "9.90",
        "/9g=",
        0.1,
    ]
    assert [json.loads(after[1])[name] for name in ("when", "price", "thumb", "ratio")] == [None] * 4
