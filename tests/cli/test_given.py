"""No flag is accepted and ignored; what is exported is meant for many commands, and stops none that it does not fit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import small_pictures
from tests.prompt import visioncli

TEXT = "embed --text cat -m demo -o -"
PICTURES = "has no use with --text: no picture is read"
EXCLUDED = "embed photos -m demo -o out.parquet"
NAMES = "--null is for names on standard input: give - as INPUT"
STREAM = "needs an output file; -o - streams and keeps nothing"
PAGE = "is about the page: say where it goes with -o FILE.html"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two pictures in `photos`, where commands are given."""
    small_pictures.folder(tmp_path / "photos", [1, 2])
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (f"{TEXT} --image-col x", f"--image-col {PICTURES}"),
        (f"{TEXT} --id-col x", f"--id-col {PICTURES}"),
        (f"{TEXT} -0", f"--null {PICTURES}"),
        (f"{TEXT} --per-host 4", f"--per-host {PICTURES}"),
        (f"{TEXT} --timeout 5", f"--timeout {PICTURES}"),
        (f"{TEXT} --retries 0", f"--retries {PICTURES}"),
        (f"{TEXT} --header A:b", f"--header {PICTURES}"),
        (f"{TEXT} --ca-cert x.pem", f"--ca-cert {PICTURES}"),
        (f"{TEXT} --guard", f"--guard {PICTURES}"),
        (f"{TEXT} --max-bytes 5M", f"--max-bytes {PICTURES}"),
        (f"{TEXT} --max-pixels 100M", f"--max-pixels {PICTURES}"),  # as it is by default: it was written all the same
        (f"{TEXT} --alpha black", f"--alpha {PICTURES}"),
        (f"{TEXT} --exact", f"--exact {PICTURES}"),
        (f"{TEXT} --text-col t", "--text and --text-col exclude each other"),
        (f"{TEXT} photos", "--text takes the place of INPUT; give one or the other"),
        (f"{EXCLUDED} --quiet --verbose", "--quiet and --verbose exclude each other"),
        (f"{EXCLUDED} --overwrite --update", "--overwrite and --update exclude each other"),
        (f"{EXCLUDED} --update --retry-failed", "--update and --retry-failed exclude each other"),
        (f"{EXCLUDED} --null", NAMES),
        (f"{EXCLUDED} --id-col x", "--id-col names a column, but no INPUT is a .csv, .tsv, .jsonl or .parquet"),
        ("similar photos --text a -m demo -o - --update", f"--update {STREAM}"),
        ("detect photos -p a -m demo -o - -q -v", "--quiet and --verbose exclude each other"),
        ("segment photos -p a -m demo -o - -0", NAMES),
        ("depth photos --focal 9 --focal-col f -m demo -o -", "--focal and --focal-col exclude each other"),
        ("parity photos --device cpu --device cpu:bfloat16 -0", NAMES),
        ("report x.parquet y.parquet --diff --progress bar", f"--progress {PAGE}"),
    ],
)
def test_a_flag_that_can_do_nothing_is_refused_by_name(here: Path, typed: str, sentence: str) -> None:
    told = visioncli(*typed.split())
    assert (told.code, told.out, told.err) == (2, "", f"visioncli: {sentence}\n")


EXPORTED = {
    "VISIONCLI_ID_COL": "sku",
    "VISIONCLI_NULL": "1",
    "VISIONCLI_OVERWRITE": "1",
    "VISIONCLI_HEF": "image.hef",
    "VISIONCLI_TEXT_HEF": "text.hef",
    "VISIONCLI_VERBOSE": "1",
    "VISIONCLI_SUMMARY": "-",
}


@pytest.mark.parametrize("name", EXPORTED)
@pytest.mark.parametrize("typed", ["embed photos", "embed --text cat", "classify photos -l a,b"])
def test_what_is_exported_for_other_commands_stops_none(
    here: Path, monkeypatch: pytest.MonkeyPatch, typed: str, name: str
) -> None:
    expected = visioncli(*typed.split(), "-m", "demo", "-o", "-", "-q")
    monkeypatch.setenv(name, EXPORTED[name])
    told = visioncli(*typed.split(), "-m", "demo", "-o", "-", "-q")
    assert (told.code, told.out) == (0, expected.out)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("VISIONCLI_ALPHA", "black", ["visioncli: VISIONCLI_ALPHA is not used here"]),
        ("VISIONCLI_UNIQUE_IDS", "1", ["visioncli: VISIONCLI_UNIQUE_IDS is not used here"]),
        ("VISIONCLI_SUMMARY", "-", ["visioncli: VISIONCLI_SUMMARY is not used here"]),
        ("VISIONCLI_NULL", "1", []),  # what nobody misses
        ("VISIONCLI_RETRIES", "0", []),
    ],
)
def test_what_is_exported_and_not_used_is_told_where_it_would_be_missed(
    here: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: list[str]
) -> None:
    monkeypatch.setenv(name, value)
    told = visioncli(*TEXT.split())
    assert (told.code, [line for line in told.err.splitlines() if "VISIONCLI_" in line]) == (0, said)


def test_a_comparison_goes_on_without_an_exported_summary_that_it_cannot_give(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISIONCLI_SUMMARY", "-")
    told = visioncli("parity", "photos", "--device", "cpu:float32", "--device", "cpu", "-m", "demo")
    said = [line for line in told.err.splitlines() if "VISIONCLI_" in line]
    assert (told.code, "2 of 2 rows compared" in told.out) == (0, True)
    assert said == ["visioncli: VISIONCLI_SUMMARY is not used here"]


def test_a_flag_for_what_was_left_out_is_refused_too(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISIONCLI_TEXT", "cat")
    hailo = "--device hailo --hef image.hef --text-hef text.hef"
    told = visioncli("embed", "photos", "-o", "-", *hailo.split())
    sentence = "--text-hef is for texts, and there are none: give --text or --text-col"
    assert (told.code, told.err) == (2, f"visioncli: {sentence}\n")


def test_a_refusal_does_not_blame_what_was_left_out(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISIONCLI_ALPHA", "a.gif")
    told = visioncli("embed", "--text", "cat", "-m", "demo", "-o", "a.gif")
    assert (told.code, "'a.gif'" in told.err, "comes from" in told.err) == (2, True, False)


def test_what_is_written_goes_before_its_opposite_that_is_exported(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert visioncli(*EXCLUDED.split()).code == 0
    monkeypatch.setenv("VISIONCLI_OVERWRITE", "1")
    told = visioncli(*EXCLUDED.split(), "--update")
    assert (told.code, "2 unchanged" in told.err, "VISIONCLI_OVERWRITE is not used here" in told.err) == (0, True, True)


def test_a_report_refuses_what_its_result_has_not(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert visioncli("classify", "photos", "-l", "a,b", "-m", "demo", "-o", "labels.parquet", "-q").code == 0
    report = ["report", "labels.parquet", "-o", "page.html"]
    told = visioncli(*report, "--min-score", "0.9")
    sentence = "--min-score is about near-duplicates, and this result holds no embeddings"
    assert (told.code, told.err) == (2, f"visioncli: {sentence}\n")
    monkeypatch.setenv("VISIONCLI_MIN_SCORE", "0.9")
    told = visioncli(*report)
    assert (told.code, "VISIONCLI_MIN_SCORE is not used here" in told.err) == (0, True)


def test_parity_reads_pictures_as_the_other_commands_do(here: Path) -> None:
    asked = ["parity", "-", "--device", "cpu:float32", "--device", "cpu:bfloat16", "-m", "demo", "--limit", "1", "-0"]
    more = ["--max-pixels", "1k", "--alpha", "black", "--exact", "--guard", "--summary", "seen.json"]
    names = b"\0".join(str(path).encode() for path in sorted(Path("photos").iterdir()))
    assert visioncli(*asked, *more, typed=names).code == 3
    found = json.loads(Path("seen.json").read_text())
    failed = {"decode_too_many_pixels": 1}
    assert (found["rows"], found["failed"]) == (1, {"cpu:float32": failed, "cpu:bfloat16": failed})
