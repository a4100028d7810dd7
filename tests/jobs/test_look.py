"""--dry-run: what the run would do with what is at its output, looked at and left alone."""

from __future__ import annotations

import os
import struct
from dataclasses import replace
from pathlib import Path

import pytest

import visioncli
from tests import small_pictures
from visioncli.errors import UsageError
from visioncli.jobs import look_at


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return small_pictures.folder(tmp_path / "photos", range(3))


def embed(output: str, photos: Path, **policy: bool) -> visioncli.Job:
    how = visioncli.Policy(**policy)  # type: ignore[arg-type]
    return visioncli.Job("embed", visioncli.EmbedOptions(), output, (str(photos),), model="demo", policy=how)


def damage(table: Path) -> None:
    """Overwrite a Parquet file's data; its schema, at the end, stays."""
    data = table.read_bytes()
    (footer,) = struct.unpack("<I", data[-8:-4])
    table.write_bytes(data[:4] + b"\xff" * (len(data) - footer - 12) + data[-footer - 8 :])


@pytest.mark.parametrize("output", ["out.parquet", "out/"])
def test_a_damaged_output_is_told_in_one_line_as_the_run_tells_it(photos: Path, tmp_path: Path, output: str) -> None:
    job = embed(f"{tmp_path}/{output}", photos)
    visioncli.run(job)
    damage(next(path for path in (tmp_path / output, *tmp_path.glob("out/part-*")) if path.is_file()))
    again = replace(job, policy=visioncli.Policy(retry_failed=True))
    told = []
    for command in (visioncli.run, lambda job: list(look_at(job))):
        with pytest.raises(UsageError, match=r"^.*out.* cannot be read as an output of visioncli: .*$") as refused:
            command(again)
        told.append(str(refused.value))
    assert (told[0], told[0].count("\n")) == (told[1], 0)


def test_a_folder_that_was_put_aside_is_looked_at_where_it_is(photos: Path, tmp_path: Path) -> None:
    job = embed(f"{tmp_path}/out/", photos)
    visioncli.run(job)
    os.rename(tmp_path / "out", tmp_path / ".out.replaced")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError, match="out is there already; say --overwrite"):
        list(look_at(job))
    again = replace(job, policy=visioncli.Policy(retry_failed=True))
    assert "3 rows, 0 of them failed: those to embed again" in list(look_at(again))
    assert sorted(tmp_path.rglob("*")) == before
    assert visioncli.run(again).ok == 3
