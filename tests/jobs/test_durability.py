"""What a power cut finds: the order of fsync and rename, as the system is asked for them.

A file is durable before its name is, a name before anything that relies on it. No test can pull the plug; this one
reads the order off the calls.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from visioncli.io.durable import whole_or_absent
from visioncli.io.fingerprints import write_whole
from visioncli.io.listing import ListingOptions, survey
from visioncli.io.sinks import write_parquet
from visioncli.jobs.listings import Listed
from visioncli.jobs.parts import Part, Table, output_schema
from visioncli.jobs.rows import answer_schema
from visioncli.jobs.rundir import RunDirectory
from visioncli.jobs.snapshot import Snapshot, write_snapshot
from visioncli.jobs.summary import Count
from visioncli.jobs.targets import Target
from visioncli.provenance import ModelInfo
from visioncli.samples import Answer, Facts
from visioncli.tasks.embed import TASK, Embedded, EmbedOptions

SCHEMA = pa.schema([("n", pa.int64())], {"visioncli": "{}"})
FINISHED = {"summary": {"rows": 2}, "has_images": True}


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls that matter, as they are made, with paths relative to `tmp_path`."""
    made: list[str] = []

    def name(place: Any) -> str:
        path = os.readlink(f"/proc/self/fd/{place}") if isinstance(place, int) else os.fspath(place)
        return os.path.relpath(path, tmp_path)

    def record(module: Any, call: str) -> None:
        real: Callable[..., Any] = getattr(module, call)

        def recorded(*places: Any, **more: Any) -> Any:
            if call != "rmtree" or os.path.exists(places[0]):
                made.append(" ".join([call, *(name(place) for place in places[:2] if not isinstance(place, bytes))]))
            return real(*places, **more)

        monkeypatch.setattr(module, call, recorded)

    for call in ("fsync", "replace", "rename", "pwrite"):
        record(os, call)
    record(shutil, "rmtree")
    return made


def work(target: Target) -> RunDirectory:
    directory = target.run_directory()
    directory.write_key({"mode": "run"})
    write_parquet(directory.part(0, 2), SCHEMA, [pa.table({"n": [0, 1]}, SCHEMA)])
    return directory


def test_a_file_is_durable_before_its_name_and_its_name_before_anyone_relies_on_it(
    tmp_path: Path, calls: list[str]
) -> None:
    with whole_or_absent(tmp_path / "x") as file:
        file.write(b"data")
    assert calls == ["fsync .x.tmp", "replace .x.tmp x", "fsync ."]


def test_what_is_remembered_between_runs_is_durable_too(tmp_path: Path, calls: list[str]) -> None:
    write_whole(tmp_path / "cache/x", "data")
    beside = calls[0].removeprefix("fsync ")
    assert calls == [f"fsync {beside}", f"replace {beside} cache/x", "fsync cache"]
    assert (tmp_path / "cache/x").read_text() == "data"


def test_a_key_is_durable_before_the_first_part(tmp_path: Path, calls: list[str]) -> None:
    with closing(work(Target.of(f"{tmp_path}/out.parquet"))):
        part = "part-000000000000-000000000002.parquet"
        assert calls == [
            "pwrite out.parquet.run/run.json",
            "fsync out.parquet.run/run.json",
            f"fsync out.parquet.run/.{part}.tmp",
            f"replace out.parquet.run/.{part}.tmp out.parquet.run/{part}",
            "fsync out.parquet.run",
        ]


def test_side_files_are_durable_before_the_part_that_names_them(tmp_path: Path, calls: list[str]) -> None:
    (tmp_path / "m.txt").write_text("a.jpg\n")
    listing = survey([str(tmp_path / "m.txt")], ListingOptions())
    write_snapshot(tmp_path / "s", listing.schema, listing.batches(), Listed(True).metadata)
    snapshot, options = Snapshot(tmp_path / "s"), EmbedOptions()
    answers = answer_schema(TASK, options, ModelInfo("m", "c", "f", "r", 2, "cpu", "float32", 1), stale=False)
    table = Table(TASK, options, answers, output_schema(snapshot.schema, answers), lambda: calls.append("settle"))
    with closing(RunDirectory(tmp_path / "run")) as directory:
        part = Part(snapshot, directory, table, None, 0, Count(None))
        (ref,) = snapshot.refs(0, 1, ())
        part.add(Answer(ref, Facts(), Embedded(np.zeros(2, np.float32))))
        calls.clear()
        part.write()
    beside, whole = (f"run/{dot}part-000000000000-000000000001.parquet{tmp}" for dot, tmp in ((".", ".tmp"), ("", "")))
    assert calls == ["settle", f"fsync {beside}", f"replace {beside} {whole}", "fsync run"]


def test_an_output_is_durable_before_the_parts_it_was_made_of_go(tmp_path: Path, calls: list[str]) -> None:
    target = Target.of(f"{tmp_path}/out.parquet")
    directory = work(target)
    calls.clear()
    target.publish(directory, SCHEMA, FINISHED)
    assert calls == [
        "fsync out.parquet.run/.whole-out.parquet.tmp",
        "replace out.parquet.run/.whole-out.parquet.tmp out.parquet.run/whole-out.parquet",
        "fsync out.parquet.run",
        "pwrite out.parquet.run/run.json",
        "fsync out.parquet.run/run.json",
        "replace out.parquet.run/whole-out.parquet out.parquet",
        "fsync .",
        "rename out.parquet.run .out.parquet.run.removed",
        "fsync .",
        "rmtree .out.parquet.run.removed",
    ]


def test_a_folder_is_in_its_place_before_the_old_one_goes(tmp_path: Path, calls: list[str]) -> None:
    target = Target.of(f"{tmp_path}/out/")
    target.publish(work(target), SCHEMA, FINISHED)
    (tmp_path / "out/report.html").touch()
    directory = work(target)
    calls.clear()
    target.publish(directory, SCHEMA, FINISHED)
    assert calls == [
        "pwrite out.run/_run.json",
        "fsync out.run/_run.json",
        "fsync out.run",
        "rename out .out.replaced",
        "rename out.run out",
        "fsync .",
        "rename .out.replaced/report.html out/report.html",
        "fsync out",
        "rmtree .out.replaced",
    ]
