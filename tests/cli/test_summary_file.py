"""--summary: looked at before a run, written whole after it, and what is said when nothing else is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests import small_pictures
from tests.prompt import visioncli as prompt

EMBED = ["embed", "--model", "demo"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return small_pictures.folder(tmp_path / "photos", range(3))


@pytest.fixture
def mixed(photos: Path, tmp_path: Path) -> Path:
    """A manifest of two pictures and a name that nothing has."""
    (tmp_path / "m.txt").write_text(f"{photos}/00000.jpg\nnowhere.jpg\n{photos}/00001.jpg\n")
    return tmp_path / "m.txt"


@pytest.mark.parametrize(
    ("summary", "told"),
    [
        ("none/s.json", "there is no folder {0}/none; make it first"),
        ("photos", "is a folder; name a file in it"),
        ("m.txt/s.json", "there is no folder {0}/m.txt; make it first"),
        ("out.jsonl", "would be written over {0}/out.jsonl; name another file"),
        ("photos/../out.jsonl.meta.json", "would be written over {0}/out.jsonl.meta.json; name another file"),
        ("m.txt", "would be written over {0}/m.txt; name another file"),
        ("link", "would be written over {0}/m.txt; name another file"),
    ],
)
def test_a_summary_that_has_no_place_is_refused_before_the_run(
    mixed: Path, tmp_path: Path, summary: str, told: str
) -> None:
    (tmp_path / "link").symlink_to("m.txt")
    before = mixed.read_text()
    ended = prompt(*EMBED, mixed, "-o", tmp_path / "out.jsonl", "--summary", f"{tmp_path}/{summary}")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert ended.err.startswith(f"visioncli: --summary {tmp_path}/{summary}")
    assert ended.err.endswith(told.format(tmp_path) + "\n")
    assert (sorted(os.listdir(tmp_path)), mixed.read_text()) == (["link", "m.txt", "photos"], before)


def test_a_summary_in_the_folder_of_parts_is_refused(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    ended = prompt(*EMBED, photos, "-o", f"{tmp_path}/out/", "--summary", tmp_path / "out/s.json")
    assert (ended.code, f"lies in the output {tmp_path}/out/; name a file beside it" in ended.err) == (2, True)


def test_a_summary_in_the_folder_that_a_run_works_in_is_refused(photos: Path, tmp_path: Path) -> None:
    run = tmp_path / "out.parquet.run"
    run.mkdir()
    ended = prompt(*EMBED, photos, "-o", tmp_path / "out.parquet", "--summary", run / "s.json")
    assert (ended.code, ended.err) == (
        2,
        f"visioncli: --summary {run}/s.json lies in the run's folder {run}; name a file beside it\n",
    )


def test_a_summary_goes_to_standard_output_where_no_rows_go(photos: Path, tmp_path: Path) -> None:
    ended = prompt(*EMBED, photos, "-o", tmp_path / "out.parquet", "--summary", "-", "-q")
    assert (ended.code, ended.err, json.loads(ended.out)["rows"]) == (0, "", 3)


@pytest.mark.parametrize("place", ["-", "/dev/stdout", "/dev/fd/1"])
def test_a_summary_is_not_mixed_with_rows_or_a_comparison(photos: Path, place: str) -> None:
    ended = prompt(*EMBED, photos, "-o", "-", "--summary", place)
    sentence = "--summary needs a file here: the rows go to standard output"
    assert (ended.code, ended.out, ended.err) == (2, "", f"visioncli: {sentence}\n")
    ended = prompt("parity", photos, "--device", "cpu:float32", "--device", "cpu:bfloat16", "--summary", place)
    sentence = "--summary needs a file here: the comparison is printed on standard output"
    assert (ended.code, ended.out, ended.err) == (2, "", f"visioncli: {sentence}\n")


def test_a_dry_run_looks_at_the_summarys_place_and_writes_none(photos: Path, tmp_path: Path) -> None:
    dry = [*EMBED, photos, "-o", tmp_path / "out.parquet", "--dry-run", "--summary"]
    ended = prompt(*dry, tmp_path / "none/s.json")
    sentence = f"--summary {tmp_path}/none/s.json: there is no folder {tmp_path}/none; make it first"
    assert (ended.code, ended.err) == (2, f"visioncli: {sentence}\n")
    assert prompt(*dry, tmp_path / "s.json").code == 0
    assert os.listdir(tmp_path) == ["photos"]


def test_a_comparisons_summary_is_looked_at_before_it_too(photos: Path, tmp_path: Path) -> None:
    devices = ["--device", "cpu:float32", "--device", "cpu:bfloat16"]
    for summary in ("-", f"{tmp_path}/none/s.json"):
        ended = prompt("parity", photos, "--model", "demo", *devices, "--summary", summary)
        assert (ended.code, ended.out, "--summary" in ended.err) == (2, "", True)


def test_a_link_and_a_device_stay_what_they_are(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("s.json")
    assert prompt(*EMBED, photos, "-o", tmp_path / "a.parquet", "--summary", tmp_path / "link").code == 0
    assert ((tmp_path / "link").is_symlink(), json.loads((tmp_path / "s.json").read_text())["ok"]) == (True, 3)
    assert prompt(*EMBED, photos, "-o", tmp_path / "b.parquet", "--summary", "/dev/null").code == 0
    assert Path("/dev/null").is_char_device()
    assert sorted(os.listdir(tmp_path)) == ["a.parquet", "b.parquet", "link", "photos", "s.json"]


def test_a_run_that_ends_before_its_rows_says_so_in_its_summary(photos: Path, tmp_path: Path) -> None:
    output, summary = tmp_path / "out.parquet", tmp_path / "s.json"
    summary.write_text('{"finished": true}')
    ended = prompt("embed", photos, "--model", "demo", "--device", "mps", "-o", output, "--summary", summary)
    said = ended.err.removeprefix("visioncli: ").rstrip("\n")
    assert ended.code == 1
    begun = {"output": str(output), "finished": False, "error_code": "device", "error": said}
    assert json.loads(summary.read_text()) == begun


def test_a_refused_command_leaves_the_summary_of_the_run_before_it(photos: Path, tmp_path: Path) -> None:
    command = [*EMBED, photos, "-o", tmp_path / "out.parquet", "--summary", tmp_path / "s.json"]
    assert prompt(*command).code == 0
    before = (tmp_path / "s.json").read_text()
    assert prompt(*command).code == 2
    assert (tmp_path / "s.json").read_text() == before
    assert json.loads(before)["finished"] is True


@pytest.mark.parametrize(("fail_on", "code", "lines"), [("any", 3, 1), ("new", 3, 1), ("none", 0, 0)])
def test_failed_rows_that_make_the_exit_code_are_told_by_code_however_quiet(
    mixed: Path, tmp_path: Path, fail_on: str, code: int, lines: int
) -> None:
    output = tmp_path / "out.parquet"
    ended = prompt(*EMBED, mixed, "-o", output, "-q", "--fail-on", fail_on)
    said = [f"visioncli: {output}: 3 rows, 2 ok, 1 failed (file_not_found 1)"]
    assert (ended.code, ended.err.splitlines()) == (code, said[:lines])
