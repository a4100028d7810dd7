"""What README promises is so."""

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from typer.testing import CliRunner

from visioncli.cli import app
from visioncli.errors import CODES
from visioncli.jobs import Summary

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_every_row_code_is_listed_with_its_meaning() -> None:
    listed = dict(
        re.findall(
            r"^\| `([a-z0-9_<>]+)` \| (.+) \|$", README.split("### Row codes")[1].split("\n## ")[0], re.MULTILINE
        )
    )
    assert listed == CODES


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README, re.DOTALL))
def test_the_python_examples_run(code: str) -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "fixed_size_list" in done.stdout


def test_every_flag_that_it_names_exists() -> None:
    help_texts = [
        CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"}).output
        for name in ("classify", "embed", "segment", "detect", "depth", "serve-compat", "parity", "report", "similar")
    ]
    named = set(re.findall(r"`[^`]*?(--[a-z][a-z-]+)", README)) - {"--text", "--text-col"}
    assert {flag for flag in named if not any(flag in text for text in help_texts)} == set()


def test_every_command_that_it_shows_is_one() -> None:
    shown = set(re.findall(r"^(?:.*\| )?visioncli ([a-z-]+)", README, re.MULTILINE))
    assert shown == {
        "classify",
        "embed",
        "segment",
        "detect",
        "depth",
        "models",
        "doctor",
        "serve-compat",
        "parity",
        "report",
        "similar",
    }


def test_every_field_of_a_summary_is_told() -> None:
    assert {field.name for field in fields(Summary)} <= set(re.findall(r"`([a-z_]+)`", README))


def test_its_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`?make ([a-z-]+)", README)) <= targets


def test_its_pictures_are_there() -> None:
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", README)
    assert len(pictures) == 5
    assert [name for name in pictures if not (ROOT / name).is_file()] == []
