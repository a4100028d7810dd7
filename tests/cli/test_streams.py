"""Standard streams that are closed, full, or that nobody reads: real processes, as a shell starts them."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests import small_pictures
from tests.children import Ended

TOOL = shlex.join([sys.executable, "-m", "visioncli"])


def shell(line: str, **environment: str) -> Ended:
    """Do a line of bash in which `visioncli` is ours; its code is that of the first command in a pipe."""
    script = f'visioncli() {{ {TOOL} "$@"; }}; {line}; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=os.environ | environment)
    return Ended(done.returncode, done.stdout, done.stderr)


PRINTING = ["models list", "doctor --json", "--help", "embed --help", "--version"]


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", PRINTING)
def test_data_that_cannot_be_written_are_one_sentence_and_exit_1(command: str, unbuffered: str) -> None:
    full, closed = (shell(f"visioncli {command} {to}", PYTHONUNBUFFERED=unbuffered) for to in (">/dev/full", ">&-"))
    refused = "visioncli: standard output cannot be written: "
    assert full == Ended(1, "", f"{refused}No space left on device\n")
    assert closed == Ended(1, "", f"{refused}it is closed\n")


@pytest.mark.parametrize("command", PRINTING)
def test_a_reader_that_leaves_is_a_quiet_end(command: str) -> None:
    assert shell(f"visioncli {command} | true") == Ended(0, "", "")


@pytest.mark.parametrize("to", ["2>/dev/full", "2>&-", "2> >(true)"])
def test_words_that_cannot_be_said_stop_nothing(to: str, tmp_path: Path) -> None:
    photos = small_pictures.folder(tmp_path / "photos", range(2))
    looked = f"visioncli embed {photos} --model demo -o {tmp_path}/out.parquet --dry-run {to}"
    assert shell(looked) == Ended(0, "", "")


def test_a_closed_standard_error_is_not_taken_for_standard_output() -> None:
    assert shell("visioncli embed --labls 2>&-") == Ended(2, "", "")


def test_what_is_opened_later_is_not_written_into_by_who_takes_it_for_a_stream(tmp_path: Path) -> None:
    """A process that is begun without streams gives their numbers to its first files."""
    opened = (
        "from visioncli.cli import streams; streams.take(); print(open('{}', 'w').fileno() > 2, file=open('{}', 'w'))"
    )
    code = opened.format(tmp_path / "a", tmp_path / "b")
    subprocess.run(["bash", "-c", f"{sys.executable} -c {shlex.quote(code)} <&- >&- 2>&-"], check=True)
    assert (tmp_path / "b").read_text() == "True\n"
