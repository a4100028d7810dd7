"""What people write after a flag."""

from pathlib import Path

import pytest

from tests.prompt import visioncli as prompt
from visioncli.cli.values import amount, auto_or_count, duration_s, header, items
from visioncli.errors import UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [("cat,dog", ("cat", "dog")), (" cat , dog ,", ("cat", "dog")), ("traffic light", ("traffic light",)), (",", ())],
)
def test_a_list_is_split_at_commas_and_stripped(text: str, expected: tuple[str, ...]) -> None:
    assert items([text], "--labels") == expected


def test_a_list_in_a_file_has_one_item_a_line_commas_and_all(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("\ufeffcat, black\r\n\ndog\n", encoding="utf-8")
    assert items([f"@{path}", "bus,cat"], "--labels") == ("cat, black", "dog", "bus", "cat")


def test_a_list_file_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(UsageError, match=r"^--labels: nowhere\.txt cannot be read: No such file or directory$"):
        items(["@nowhere.txt"], "--labels")


def test_a_list_file_without_a_name_is_one_sentence() -> None:
    with pytest.raises(UsageError, match=r"^--prompts: @ stands before the name of a file: --prompts @list\.txt$"):
        items(["@"], "--prompts")


def test_a_list_file_that_is_no_text_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="is not UTF-8 text"):
        items([f"@{tmp_path / 'x'}"], "--labels")


@pytest.mark.parametrize(
    ("text", "expected"), [("1", 1), ("500k", 500_000), ("100M", 10**8), ("1.5G", 1_500_000_000), ("2MB", 2_000_000)]
)
def test_amounts_are_in_powers_of_ten(text: str, expected: int) -> None:
    assert amount(text, "--max-bytes") == expected


@pytest.mark.parametrize("text", ["", "0", "-1", "many", "1T", "1e9"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--max-bytes"):
        amount(text, "--max-bytes")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90", 90), ("90s", 90), ("30m", 1800), ("4h", 14400), ("1h30m", 5400), ("1h 30m", 5400), ("1.5h", 5400)],
)
def test_durations(text: str, expected: float) -> None:
    assert duration_s(text, "--max-runtime") == expected


@pytest.mark.parametrize("text", ["", "soon", "4 hours", "h", "4y", "-5", "-5m", "1h30", "30m1"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--max-runtime"):
        duration_s(text, "--max-runtime")


def test_counts_are_auto_or_positive() -> None:
    assert auto_or_count("auto", "--workers") is None
    assert auto_or_count("8", "--workers") == 8
    for text in ("0", "-1", "x", "1.5", ""):
        with pytest.raises(UsageError, match="--workers"):
            auto_or_count(text, "--workers")


def test_headers() -> None:
    assert header("Authorization: Bearer a:b") == ("Authorization", "Bearer a:b")
    for text in ("nothing", "Bad Name: x", "X: a\r\nY: b"):
        with pytest.raises(UsageError, match="--header"):
            header(text)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["classify", "x.jpg", "-o", "o.parquet", "--labels", "cat,\udcff"], r"--labels: cat,\xff"),
        (["classify", "x.jpg", "-o", "o\udcff.parquet", "--labels", "cat"], r"--output: o\xff.parquet"),
        (["embed", "-o", "o.parquet", "-t", "猫", "--text", "\udcfe"], r"--text: \xfe"),
        (["detect", "x.jpg", "-o", "o.parquet", "--prompts", "caf\udce9"], r"--prompts: caf\xe9"),
    ],
)
def test_a_flag_that_is_no_text_is_refused(command: list[str], told: str) -> None:
    ended = prompt(*command)
    assert (ended.code, ended.err) == (2, f"visioncli: {told} is not UTF-8; only INPUTs may be of other bytes\n")
