"""--help is whole and readable, however narrow the terminal is."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import termios

import pytest
import typer
from typer.testing import CliRunner

from visioncli.cli import app

COMMANDS = {  # every command by what is typed before its --help
    "": typer.main.get_command(app),
    **typer.main.get_command(app).commands,  # type: ignore[attr-defined]
    **{f"models {name}": one for name, one in typer.main.get_command(app).commands["models"].commands.items()},  # type: ignore[attr-defined]
}


def shown(command: str, columns: int) -> str:
    told = CliRunner().invoke(app, [*command.split(), "--help"], env={"COLUMNS": str(columns)}, prog_name="visioncli")
    assert (told.exit_code, told.stderr) == (0, "")
    return told.stdout


@pytest.mark.parametrize("columns", [40, 80, 300])
@pytest.mark.parametrize("command", COMMANDS)
def test_every_flag_and_choice_is_whole_and_no_line_too_long(command: str, columns: int) -> None:
    text = shown(command, columns)
    assert max(map(len, text.splitlines())) <= columns
    words = set(re.findall(r"[^\s|,]+", text))
    for parameter in COMMANDS[command].params:
        names = parameter.opts if parameter.param_type_name == "option" else []
        assert set(names) | set(map(str, parameter.type_descriptor.choices or ())) <= words


PULL_40 = """\
Usage: visioncli models pull [FLAGS]
  MODEL

Fetch a checkpoint from the hub, check
every file's hash, and print `<id>
<commit> <directory>`.

Arguments
  MODEL
      A hub id (org/name) or a short
      name.

Flags
  --revision REVISION
      A branch, a tag or a commit;
      `main` by default.
  --force
      Fetch files again that are there
      and right.
  -h, --help
      Show this message and exit.
"""
PULL_80 = """\
Usage: visioncli models pull [FLAGS] MODEL

Fetch a checkpoint from the hub, check every file's hash, and print `<id>
<commit> <directory>`.

Arguments
  MODEL                    A hub id (org/name) or a short name.

Flags
      --revision REVISION  A branch, a tag or a commit; `main` by default.
      --force              Fetch files again that are there and right.
  -h, --help               Show this message and exit.
"""


@pytest.mark.parametrize(("columns", "text"), [(40, PULL_40), (80, PULL_80)])
def test_what_a_flag_does_stands_beside_it_or_below_where_it_is_narrow(columns: int, text: str) -> None:
    assert shown("models pull", columns) == text


def test_choices_break_between_two_of_them_and_a_default_is_told_once() -> None:
    lines = shown("embed", 40).splitlines()
    at = lines.index("  --device auto|cpu|cuda[:n]|mps|")
    assert lines[at + 1 : at + 4] == ["    hailo[:n]", "      Where the model runs. (default:", "      auto)"]
    assert "(default: a usual name, announced)" in " ".join(shown("embed", 80).split())
    assert "--timeout S Seconds for one whole answer. (default: 30)" in " ".join(shown("embed", 80).split())


@pytest.mark.parametrize("command", [[], ["models"]])
def test_a_group_without_a_command_shows_its_help_where_words_go(command: list[str]) -> None:
    told = CliRunner().invoke(app, command, prog_name="visioncli")
    assert (told.exit_code, told.stdout) == (2, "")
    assert told.stderr.startswith(f"Usage: {' '.join(['visioncli', *command])} [FLAGS] COMMAND ...\n")


@pytest.mark.parametrize(("no_color", "marked"), [("", True), ("1", False)])
def test_on_a_terminal_titles_are_bold_unless_no_colours_are_wanted(no_color: str, marked: bool) -> None:
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 80))
    tool = [sys.executable, "-m", "visioncli", "doctor", "--help"]
    subprocess.run(tool, stdout=slave, check=True, env=os.environ | {"NO_COLOR": no_color})
    os.close(slave)
    assert (b"\x1b[1mFlags\x1b[0m" in os.read(master, 65536)) is marked
