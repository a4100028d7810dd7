"""Numbers in sentences: one of a thing is not several."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import small_pictures
from tests.prompt import visioncli as prompt
from visioncli.wording import counted


@pytest.mark.parametrize(
    ("number", "words", "said"),
    [
        (0, ["row"], "0 rows"),
        (1, ["row"], "1 row"),
        (2, ["row"], "2 rows"),
        (1_234_567, ["row"], "1,234,567 rows"),
        (1, ["row is", "rows are"], "1 row is"),
        (2, ["row is", "rows are"], "2 rows are"),
    ],
)
def test_one_thing_has_no_s(number: int, words: list[str], said: str) -> None:
    assert counted(number, *words) == said


@pytest.mark.parametrize("more", [["-o", "out.parquet"], ["-o", "-"], ["-o", "out.jsonl", "--dry-run"]], ids=str)
def test_a_run_of_one_row_speaks_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    small_pictures.folder(tmp_path / "photos", [3])
    (tmp_path / "photos/.DS_Store").touch()
    told = prompt("embed", "photos", "--model", "demo", *more)
    assert re.findall(r"\b1 (?:row|dot-file or dot-folder)\b", told.err) == ["1 dot-file or dot-folder", "1 row"]
    assert re.findall(r"(?<![\d.,])1 \w+s\b", told.err) == []
