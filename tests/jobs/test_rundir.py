"""The run directory: the parts' names are the journal, run.json is the key and the lock."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from visioncli.errors import LockHeldError, OutputError
from visioncli.jobs.rundir import RunDirectory, key_in, strangers

KEY = {"mode": "run", "answers": {"task": "embed"}}
HOLD = """
import pathlib, sys
from visioncli.jobs.rundir import RunDirectory
directory = RunDirectory(pathlib.Path(sys.argv[1]))
print("held", flush=True)
input()
"""


def with_parts(path: Path, *ranges: tuple[int, int]) -> RunDirectory:
    directory = RunDirectory(path)
    directory.write_key(KEY)
    for first, end in ranges:
        directory.part(first, end).touch()
    return directory


@pytest.mark.parametrize(
    ("done", "gaps"),
    [
        ([], [(0, 10)]),
        ([(0, 10)], []),
        ([(0, 4), (7, 10)], [(4, 7)]),
        ([(2, 4), (4, 9)], [(0, 2), (9, 10)]),
        ([(0, 6), (2, 4)], [(6, 10)]),  # an overlap, were there one, is not asked again
    ],
)
def test_what_no_part_holds_is_a_gap(tmp_path: Path, done: list[tuple[int, int]], gaps: list[tuple[int, int]]) -> None:
    with closing(with_parts(tmp_path / "r", *done)) as directory:
        assert directory.gaps(10) == gaps


def test_the_parts_come_in_the_order_of_their_rows(tmp_path: Path) -> None:
    with closing(with_parts(tmp_path / "r", (10**6, 10**6 + 1), (0, 9), (9, 20))) as directory:
        assert [(first, end) for first, end, _ in directory.parts()] == [(0, 9), (9, 20), (10**6, 10**6 + 1)]


def test_a_half_written_part_is_none(tmp_path: Path) -> None:
    with closing(with_parts(tmp_path / "r")) as directory:
        for name in (".part-000000000000-000000000010.parquet.tmp", "part-0-10.parquet.tmp", "part-0.parquet"):
            (directory.path / name).touch()
        assert directory.parts() == []
        assert directory.gaps(10) == [(0, 10)]


def test_the_second_run_on_one_directory_is_turned_away_at_once(tmp_path: Path) -> None:
    with closing(RunDirectory(tmp_path / "r")), pytest.raises(LockHeldError, match="another run is working on"):
        RunDirectory(tmp_path / "r")


def test_a_run_that_comes_while_somebody_only_looks_waits_for_the_look_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_parts(tmp_path / "r").close()
    looking = os.open(tmp_path / "r/run.json", os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    monkeypatch.setattr(time, "sleep", lambda seconds: os.close(looking))
    with closing(RunDirectory(tmp_path / "r")) as directory:
        assert directory.key == KEY


def test_the_lock_is_free_after_kill_9(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path / "r"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(LockHeldError):
            RunDirectory(tmp_path / "r")
        other.kill()
        other.wait()
        RunDirectory(tmp_path / "r").close()


def test_the_run_that_comes_when_another_removes_the_directory_makes_its_own(tmp_path: Path) -> None:
    first = with_parts(tmp_path / "r", (0, 5))
    first.remove()
    assert os.listdir(tmp_path) == []
    with closing(RunDirectory(tmp_path / "r")) as second:
        assert second.key is None
        assert second.parts() == []


def test_a_lock_on_a_directory_that_was_moved_away_is_no_lock(tmp_path: Path) -> None:
    first = with_parts(tmp_path / "r")
    (tmp_path / "elsewhere").mkdir()
    os.rename(tmp_path / "r/run.json", tmp_path / "elsewhere/run.json")
    with closing(RunDirectory(tmp_path / "r")) as second:
        assert second.key is None
    first.close()


@pytest.mark.parametrize("parts", [[], [(0, 5)]])
@pytest.mark.parametrize("torn", ["", '{"mode": "ru', "[]", "null", "{}", "\0" * 64])
def test_a_torn_key_is_none_and_what_was_finished_under_it_stays(
    tmp_path: Path, torn: str, parts: list[tuple[int, int]]
) -> None:
    with_parts(tmp_path / "r", *parts).close()
    (tmp_path / "r/run.json").write_text(torn)
    directory = RunDirectory(tmp_path / "r")
    assert directory.key is None
    directory.close()
    assert (tmp_path / "r/part-000000000000-000000000005.parquet").exists() == bool(parts)
    assert (tmp_path / "r").exists() == bool(parts)


def test_a_key_is_written_to_its_end_however_little_a_call_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, at: pwrite(file, data[:7], at))
    with closing(RunDirectory(tmp_path / "r")) as directory:
        directory.write_key({**KEY, "long": "x" * 1000})
        assert directory.key == {**KEY, "long": "x" * 1000}


def test_a_key_outlives_the_parts_that_are_cleared(tmp_path: Path) -> None:
    with closing(with_parts(tmp_path / "r", (0, 5), (5, 9))) as directory:
        directory.part(5, 9).unlink()
        directory.part(5, 9).mkdir()  # cannot be removed as a file is: clearing breaks off here
        with pytest.raises(OSError, match="part-000000000005"):
            directory.clear()
        assert directory.key == KEY
        directory.part(5, 9).rmdir()


def test_what_others_put_into_a_folder_of_parts_is_told_from_ours(tmp_path: Path) -> None:
    theirs = [".gitkeep", "_run.json.bak", "notes.md", "part-0.parquet.md", "plots", "whole-set.csv"]
    ours = ["_inputs.parquet", "_run.json", "part-000000000000-000000000005.parquet", ".previous.parquet", ".part.tmp"]
    for name in theirs + ours:
        (tmp_path / name).touch()
    assert sorted(path.name for path in strangers(tmp_path)) == theirs


def test_a_key_is_written_over_and_never_emptied_first(tmp_path: Path) -> None:
    with closing(RunDirectory(tmp_path / "r")) as directory:
        directory.write_key({**KEY, "long": "x" * 1000})
        directory.write_key(KEY)
        assert directory.key == KEY
        text = (directory.path / "run.json").read_text()
        (directory.path / "run.json").write_text(text + 'x": 1}')  # killed before the rest was cut off
        assert directory.key == KEY


def test_a_directory_in_which_nothing_was_begun_goes(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "r")
    directory.snapshot.touch()
    directory.close()
    assert os.listdir(tmp_path) == []


def test_a_folder_that_was_there_stays_and_what_is_not_ours_in_it(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    RunDirectory(tmp_path / "out", "_").close()
    assert os.listdir(tmp_path) == ["out"]
    directory = RunDirectory(tmp_path / "out", "_")
    (tmp_path / "out/.keep").touch()
    directory.close()
    assert os.listdir(tmp_path / "out") == [".keep"]


def test_a_directory_in_which_something_was_begun_stays(tmp_path: Path) -> None:
    with_parts(tmp_path / "r", (0, 5)).close()
    assert sorted(os.listdir(tmp_path / "r")) == ["part-000000000000-000000000005.parquet", "run.json"]


def test_clearing_forgets_everything_but_the_lock(tmp_path: Path) -> None:
    with closing(with_parts(tmp_path / "r", (0, 5))) as directory:
        for name in ("inputs.parquet", ".inputs.parquet.tmp", ".previous.parquet", "whole-out.parquet"):
            (directory.path / name).touch()
        directory.clear()
        assert os.listdir(directory.path) == ["run.json"]
        assert directory.key is None
        with pytest.raises(LockHeldError):
            RunDirectory(directory.path)


def test_a_removal_that_was_cut_off_is_finished_by_the_next_run(tmp_path: Path) -> None:
    (tmp_path / ".r.removed").mkdir()
    (tmp_path / ".r.removed/part-0-1.parquet").touch()
    RunDirectory(tmp_path / "r").close()
    assert os.listdir(tmp_path) == []


def test_a_directory_that_cannot_be_made_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be made: Not a directory"):
        RunDirectory(tmp_path / "file/r")


def test_a_directory_in_a_folder_where_nothing_can_be_made_is_one_too() -> None:
    with pytest.raises(OutputError, match="/proc/r cannot be made: No such file or directory"):
        RunDirectory(Path("/proc/r"))


def test_a_folder_that_loses_what_is_opened_in_it_again_and_again_is_somebody_elses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def removed(*_: object) -> int:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(os, "open", removed)
    with pytest.raises(LockHeldError, match="another run is working on"):
        RunDirectory(tmp_path / "r")


def test_no_file_holds_no_key(tmp_path: Path) -> None:
    assert key_in(tmp_path / "run.json") is None


def test_a_key_may_name_what_is_not_utf8(tmp_path: Path) -> None:
    with closing(RunDirectory(tmp_path / "r")) as directory:
        directory.write_key({**KEY, "inputs": [os.fsdecode(b"caf\xe9.jpg"), "猫"]})
        assert directory.key == {**KEY, "inputs": [os.fsdecode(b"caf\xe9.jpg"), "猫"]}
