"""Flags that take a list, given more than once, and from the environment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests import misbehaving, small_pictures
from tests.prompt import visioncli as prompt


def parameters(tmp_path: Path, command: str, *flags: str) -> dict[str, Any]:
    """What a run on one picture says that it was asked."""
    photos, output = small_pictures.folder(tmp_path / "photos", [1]), tmp_path / f"{command}.parquet"
    told = prompt(command, photos, "--model", "demo", "-o", output, *flags)
    assert told.code == 0, told.err
    known: dict[str, Any] = json.loads(pq.read_schema(output).metadata[b"visioncli"])["parameters"]
    return known


@pytest.mark.parametrize(
    ("command", "flags", "name", "asked"),
    [
        ("classify", ["--labels", "a cat,dog", "-l", "@list.txt"], "labels", ["a cat", "dog", "red, blue", "bus"]),
        ("similar", ["--texts", "a cat", "--texts", "@list.txt"], "labels", ["a cat", "red, blue", "bus"]),
        ("segment", ["--prompts", "a cat,dog", "-p", "bus"], "prompts", ["a cat", "dog", "bus"]),
        ("detect", ["--prompts", "bus", "--prompts", "a cat"], "prompts", ["bus", "a cat"]),
        ("depth", ["--export", "preview", "--export", "png16,preview"], "exports", ["preview", "png16"]),
        ("depth", [], "exports", ["png16"]),
    ],
)
def test_a_list_that_is_given_twice_is_one_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, flags: list[str], name: str, asked: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("list.txt").write_text("red, blue\nbus\n")
    assert parameters(tmp_path, command, *flags)[name] == asked


def test_the_environment_gives_a_list_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISIONCLI_LABELS", "red shoe,hat")
    monkeypatch.setenv("VISIONCLI_TEMPLATE", "a photo of a {}\na {}")
    found = parameters(tmp_path, "classify")
    assert (found["labels"], found["templates"]) == (["red shoe", "hat"], ["a photo of a {}", "a {}"])


def test_a_repeatable_flag_has_one_value_a_line_in_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISIONCLI_HEADER", "X-Key: a b\nX-Other: c, d")
    with misbehaving.serve({"cat.jpg": b"no cat"}) as server:
        told = prompt("embed", server.url("/ok/cat.jpg").decode(), "-m", "demo", "-o", "-")
        headers = server.requests[-1].headers
    assert (told.code, headers["x-key"], headers["x-other"]) == (3, "a b", "c, d")


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (["classify", "x.jpg", "--labels", "", "--labels", ","], "--labels is needed"),
        (["detect", "x.jpg", "--prompts", ""], "--prompts is needed"),
        (["segment", "x.jpg", "--prompts", "cat", "--prompts", "dog,cat"], "the prompts repeat: cat"),
        (["depth", "x.jpg", "--export", ""], "--export names nothing to write"),
        (["detect", "x.jpg", "--prompts", "@"], "--prompts: @ stands before the name of a file: --prompts @list.txt"),
    ],
)
def test_a_list_of_nothing_is_refused(command: list[str], sentence: str) -> None:
    told = prompt(*command, "-o", "-")
    assert (told.code, sentence in told.err) == (2, True)
