"""--overlay and side files over several runs: what is drawn, what goes, and that none of it is taken for input."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import visioncli
from tests.prompt import visioncli as prompt

SCENES = sorted((Path(__file__).parents[2] / "sample_data/scenes").glob("*.jpg"))
ASKED = ("truck", "egg", "octopus", "chair")
OVERWRITE, UPDATE, RETRY = (visioncli.Policy(**{mode: True}) for mode in ("overwrite", "update", "retry_failed"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, scene in zip("abcd", SCENES, strict=False):
        shutil.copy(scene, folder / f"{name}.jpg")
    return folder


def detect(photos: Path, policy: visioncli.Policy, overlay: Path | None = None, asked: tuple[str, ...] = ASKED) -> None:
    """Write `boxes.parquet` into the very folder that is asked."""
    options = visioncli.DetectOptions(asked, box_threshold=0.2)
    output, drawn = f"{photos}/boxes.parquet", None if overlay is None else str(overlay)
    visioncli.run(visioncli.Job("detect", options, output, (str(photos),), model="demo", policy=policy, overlay=drawn))


def drawings(photos: Path) -> dict[str, Path]:
    """Where each row's drawing lies; rows without one are left out."""
    rows = pq.read_table(photos / "boxes.parquet").to_pylist()
    return {row["id"]: photos / row["overlay_path"] for row in rows if row["overlay_path"] is not None}


def times(paths: Iterable[Path]) -> list[int]:
    return [path.stat().st_mtime_ns for path in paths]


def test_an_update_draws_what_is_new_and_removes_what_is_gone_and_nothing_else(photos: Path) -> None:
    detect(photos, UPDATE, photos / "seen")
    before = drawings(photos)
    drawn = times([before["a.jpg"], before["d.jpg"]])
    shutil.copy(SCENES[5], photos / "b.jpg")
    (photos / "c.jpg").unlink()
    shutil.copy(SCENES[6], photos / "A.jpg")  # the first row now: all others move down
    foreign = photos / "seen/mine-0123456789abcdef01234567.overlay.jpg"
    shutil.copy(SCENES[7], foreign)
    detect(photos, UPDATE, photos / "seen")
    after = drawings(photos)
    assert list(after) == ["A.jpg", "a.jpg", "b.jpg", "d.jpg"]
    assert {*(photos / "seen").iterdir()} == {*after.values(), foreign}
    assert times([after["a.jpg"], after["d.jpg"]]) == drawn


def test_an_update_into_another_folder_draws_there_what_it_asks(photos: Path, tmp_path: Path) -> None:
    detect(photos, UPDATE, tmp_path / "old")
    before = drawings(photos)
    shutil.copy(SCENES[5], photos / "b.jpg")
    detect(photos, UPDATE, tmp_path / "new")
    after = drawings(photos)
    assert {name: path for name, path in after.items() if name != "b.jpg"} == {
        name: path for name, path in before.items() if name != "b.jpg"
    }
    assert [path.resolve() for path in (tmp_path / "new").iterdir()] == [after["b.jpg"].resolve()]
    assert len(list((tmp_path / "old").iterdir())) == 3


def test_an_update_without_the_flag_keeps_the_drawings_of_rows_that_stand(photos: Path, tmp_path: Path) -> None:
    detect(photos, UPDATE, tmp_path / "seen")
    shutil.copy(SCENES[5], photos / "b.jpg")
    detect(photos, UPDATE)
    assert list(drawings(photos)) == ["a.jpg", "c.jpg", "d.jpg"]
    assert sorted(path.name[0] for path in (tmp_path / "seen").iterdir()) == ["a", "c", "d"]


def test_an_update_of_what_was_never_drawn_says_so(
    photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    detect(photos, UPDATE)
    shutil.copy(SCENES[5], photos / "b.jpg")
    with caplog.at_level(logging.WARNING, "visioncli"):
        detect(photos, UPDATE, tmp_path / "seen")
    assert list(drawings(photos)) == ["b.jpg"]
    words = "--overlay: rows whose answers stand are not drawn; say --overwrite to draw every picture"
    assert caplog.messages == [words]


def test_a_retry_copies_drawings_and_overwriting_draws_them_anew_under_their_names(photos: Path) -> None:
    (photos / "b.jpg").write_bytes(b"\xff\xd8\xff no picture")
    detect(photos, OVERWRITE, photos / "seen")
    before = drawings(photos)
    assert list(before) == ["a.jpg", "c.jpg", "d.jpg"]
    shutil.copy(SCENES[5], photos / "b.jpg")
    detect(photos, RETRY, photos / "seen")
    after = drawings(photos)
    assert after == {"a.jpg": before["a.jpg"], "b.jpg": after["b.jpg"]} | before
    drawn = times(after.values())
    detect(photos, OVERWRITE, photos / "seen", ASKED[:2])
    assert drawings(photos) == after
    assert all(new > old for new, old in zip(times(after.values()), drawn, strict=True))
    assert len(os.listdir(photos / "seen")) == 4


def test_outputs_that_share_a_folder_keep_their_own_drawings(photos: Path, tmp_path: Path) -> None:
    command = ["detect", photos, "--model", "demo", "--overlay", tmp_path / "seen", "--prompts"]
    for name in ("truck", "egg"):
        assert prompt(*command, name, "-o", tmp_path / f"{name}.parquet").code == 0
    (photos / "a.jpg").unlink()
    assert prompt(*command, "egg", "-o", tmp_path / "egg.parquet", "--update").code == 0
    names = [path for name in ("truck", "egg") for path in pq.read_table(tmp_path / f"{name}.parquet")["overlay_path"]]
    assert sorted(f"seen/{name}" for name in os.listdir(tmp_path / "seen")) == sorted(str(name) for name in names)
    assert len(names) == 4 + 3


def test_a_run_does_not_eat_what_it_wrote(photos: Path) -> None:
    command = ["depth", photos, "-o", photos / "depth.parquet", "--model", "demo", "--export", "png16,preview"]
    assert prompt(*command).code == 0
    detect(photos, OVERWRITE, photos)
    told = prompt(*command, "--update")
    assert told.code == 0
    assert pq.read_table(photos / "depth.parquet")["id"].to_pylist() == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    skipped = f"{photos}: 6 drawings, or folders beside an output, of visioncli's own skipped"  # 4, .files and .run
    assert skipped in told.err


@pytest.mark.parametrize(
    ("overlay", "output", "sentence"),
    [
        ("file", "x.jsonl", "--overlay 'file' is no folder"),
        ("file/deep/er", "x.jsonl", "--overlay 'file/deep/er' is no folder: {}/file is a file"),
        ("", "x.jsonl", "--overlay '' is no folder"),
        ("", "-", "--overlay '' is no folder"),
        ("out/seen", "out/", "--overlay out/seen lies in the output out, which is replaced as a whole"),
    ],
)
def test_a_folder_that_cannot_be_drawn_into_is_refused_before_anything_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overlay: str, output: str, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    command = ["detect", "nowhere", "--prompts", "cat", "--model", "nowhere", "-o", output, "--overlay", overlay]
    for more in ([], ["--dry-run"]):
        told = prompt(*command, *more)
        assert (told.code, told.err) == (2, f"visioncli: {sentence.format(tmp_path)}\n")
    assert os.listdir(tmp_path) == ["file"]
