"""Where rows go: forms of output, and what a run that was killed while it published left there."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from visioncli.errors import LockHeldError, UsageError
from visioncli.io.sinks import write_parquet
from visioncli.jobs.rundir import RunDirectory
from visioncli.jobs.targets import Target

SCHEMA = pa.schema([("n", pa.int64())], {"visioncli": json.dumps({"tool": "x"})})
KEY = {"mode": "run"}
FINISHED = {"summary": {"rows": 4}, "has_images": True}


def work(target: Target) -> RunDirectory:
    """A run with both its parts done."""
    directory = target.run_directory()
    directory.write_key(KEY)
    directory.snapshot.touch()
    for first in (0, 2):
        write_parquet(directory.part(first, first + 2), SCHEMA, [pa.table({"n": [first, first + 1]}, SCHEMA)])
    return directory


@pytest.mark.parametrize(
    ("output", "kind"),
    [("a.parquet", "parquet"), ("a.jsonl", "jsonl"), ("a.ndjson", "jsonl"), ("a/", "folder"), ("-", "stdout")],
)
def test_the_name_says_the_form(output: str, kind: str) -> None:
    assert Target.of(output).kind == kind


@pytest.mark.parametrize("output", ["a.csv", "a", "a.parquet.gz", "a.PARQUET.tmp", ""])
def test_another_name_is_refused(output: str) -> None:
    with pytest.raises(UsageError, match=r"must end in \.parquet, \.jsonl or /"):
        Target.of(output)


def test_a_folder_that_is_there_needs_no_slash_and_may_be_the_working_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Target.of(str(tmp_path)) == Target(tmp_path, "folder")
    monkeypatch.chdir(tmp_path)
    assert Target.of(".") == Target(tmp_path, "folder")
    assert Target.of(".").beside == tmp_path.with_name(f"{tmp_path.name}.run")


@pytest.mark.parametrize("name", ["out.parquet", "out.jsonl", "out/"])
def test_publishing_leaves_the_output_alone(tmp_path: Path, name: str) -> None:
    target = Target.of(f"{tmp_path}/{name}")
    directory = work(target)
    assert not target.is_finished
    target.publish(directory, SCHEMA, FINISHED)
    assert target.is_finished
    assert target.leftover() is None
    meta = ["out.jsonl.meta.json"] if name == "out.jsonl" else []
    assert sorted(os.listdir(tmp_path)) == [name.rstrip("/"), *meta]


def test_a_folder_shows_its_parts_and_hides_its_key(tmp_path: Path) -> None:
    target = Target.of(f"{tmp_path}/out/")
    target.publish(work(target), SCHEMA, FINISHED)
    parts = ["part-000000000000-000000000002.parquet", "part-000000000002-000000000004.parquet"]
    assert sorted(os.listdir(tmp_path / "out")) == ["_run.json", *parts]
    assert pq.read_table(tmp_path / "out")["n"].to_pylist() == [0, 1, 2, 3]


def test_a_folder_without_rows_has_columns(tmp_path: Path) -> None:
    target = Target.of(f"{tmp_path}/out/")
    directory = target.run_directory()
    directory.write_key(KEY)
    target.publish(directory, SCHEMA, FINISHED)
    assert pq.read_table(tmp_path / "out").schema.names == ["n"]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = Target.of(f"{tmp_path}/out/")
    target.publish(work(target), SCHEMA, FINISHED)
    directory = target.run_directory()
    assert directory.path == tmp_path / "out.run"
    directory.write_key(KEY)
    write_parquet(directory.part(0, 1), SCHEMA, [pa.table({"n": [7]}, SCHEMA)])
    target.publish(directory, SCHEMA, FINISHED)
    assert os.listdir(tmp_path) == ["out"]
    assert pq.read_table(tmp_path / "out")["n"].to_pylist() == [7]


def replaced(tmp_path: Path) -> tuple[Target, RunDirectory]:
    """A finished folder with other things in it, and a run that is to replace it, all done."""
    target = Target.of(f"{tmp_path}/out/")
    target.publish(work(target), SCHEMA, FINISHED)
    (tmp_path / "out/plots").mkdir()
    for name in ("report.html", "plots/a.png", ".gitkeep"):
        (tmp_path / "out" / name).write_text(name)
    directory = target.run_directory()
    directory.write_key(KEY)
    write_parquet(directory.part(0, 1), SCHEMA, [pa.table({"n": [7]}, SCHEMA)])
    return target, directory


def assert_replaced(tmp_path: Path) -> None:
    """The new part is there, the old ones are not, and what others put in is."""
    assert os.listdir(tmp_path) == ["out"]
    part = "part-000000000000-000000000001.parquet"
    assert sorted(os.listdir(tmp_path / "out")) == [".gitkeep", "_run.json", part, "plots", "report.html"]
    assert (tmp_path / "out/plots/a.png").read_text() == "plots/a.png"
    assert pq.read_table(tmp_path / "out" / part)["n"].to_pylist() == [7]


def test_what_others_keep_in_a_folder_is_still_there_when_its_parts_are_replaced(tmp_path: Path) -> None:
    target, directory = replaced(tmp_path)
    target.publish(directory, SCHEMA, FINISHED)
    assert_replaced(tmp_path)


@pytest.mark.parametrize("call", ["rename", "rmtree"])
@pytest.mark.parametrize("number", [0, 1, 2, 3, 4])
def test_a_run_that_is_killed_while_it_replaces_a_folder_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    """It dies before the n-th renaming or removal; whoever comes next finishes what was begun."""
    target, directory = replaced(tmp_path)
    module, calls = {"rename": os, "rmtree": shutil}[call], iter(range(100))
    real = getattr(module, call)

    def die(*arguments: object) -> None:
        if next(calls) == number:
            raise KeyboardInterrupt
        real(*arguments)

    with monkeypatch.context() as patched, contextlib.suppress(KeyboardInterrupt), closing(directory):
        patched.setattr(module, call, die)
        target.publish(directory, SCHEMA, FINISHED)
    before, looked = sorted(tmp_path.rglob("*")), target.recovered()
    seen = (looked.is_finished, looked.leftover(), looked.stamp())
    assert sorted(tmp_path.rglob("*")) == before
    target.recover()
    assert seen == (target.is_finished, target.leftover(), target.stamp())
    if target.leftover() is not None:
        with closing(target.run_directory()) as cleaner:
            target.clean_up(cleaner)
    assert_replaced(tmp_path)


def test_a_folder_that_somebody_removed_meanwhile_is_there_again(tmp_path: Path) -> None:
    target, directory = replaced(tmp_path)
    shutil.rmtree(tmp_path / "out")
    target.publish(directory, SCHEMA, FINISHED)
    assert os.listdir(tmp_path) == ["out"]
    assert pq.read_table(tmp_path / "out")["n"].to_pylist() == [7]


def test_a_folder_of_the_same_name_with_old_is_nobodys_business(tmp_path: Path) -> None:
    (tmp_path / "out.old").mkdir()
    (tmp_path / "out.old/mine").touch()
    target = Target.of(f"{tmp_path}/out/")
    target.recover()
    target.publish(work(target), SCHEMA, FINISHED)
    target.recover()
    assert (tmp_path / "out.old/mine").exists()


def test_a_file_that_was_published_by_a_run_that_died_is_known_as_its_own(tmp_path: Path) -> None:
    target = Target.of(f"{tmp_path}/out.parquet")
    (tmp_path / ".out.parquet.run.removed").touch()  # the run directory cannot go: the run dies right there
    with closing(work(target)) as directory, pytest.raises(NotADirectoryError):
        target.publish(directory, SCHEMA, FINISHED)
    found = target.leftover()
    assert found is not None
    assert (found["mode"], found["finished"]["summary"]) == ("run", {"rows": 4})
    os.utime(tmp_path / "out.parquet", ns=(1, 1))  # another file by now
    assert target.leftover() is None


def test_while_two_folders_are_exchanged_no_other_run_meddles(tmp_path: Path) -> None:
    target = Target.of(f"{tmp_path}/out/")
    target.publish(work(target), SCHEMA, FINISHED)
    with closing(target.run_directory()) as directory:
        directory.write_key({**KEY, "finished": FINISHED})
        os.rename(tmp_path / "out", tmp_path / ".out.replaced")
        with pytest.raises(LockHeldError):
            target.recover()
    target.recover()
    assert json.loads((tmp_path / "out/_run.json").read_text())["finished"] == FINISHED
    assert target.leftover() is not None


def test_a_folder_that_was_put_aside_with_nothing_to_replace_it_comes_back(tmp_path: Path) -> None:
    target = Target.of(f"{tmp_path}/out/")
    target.publish(work(target), SCHEMA, FINISHED)
    os.rename(tmp_path / "out", tmp_path / ".out.replaced")
    looked = target.recovered()
    assert (looked.place, looked.is_finished, looked.leftover()) == (tmp_path / ".out.replaced", True, None)
    target.recover()
    assert os.listdir(tmp_path) == ["out"]


def test_a_folder_with_other_things_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").touch()
    with pytest.raises(UsageError, match="holds other things"):
        Target.of(f"{tmp_path}/out/").run_directory()
