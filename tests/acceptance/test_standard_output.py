"""-o -: JSON lines in order, as they are ready; nothing kept, and a reader that leaves is no error."""

from __future__ import annotations

import json
import os
import select
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import misbehaving, small_pictures
from tests.children import Nursery
from tests.prompt import visioncli as prompt

EMBED = ["embed", "--model", "demo", "-o", "-"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return small_pictures.folder(tmp_path / "photos", range(30))


@pytest.fixture(scope="module")
def server() -> Iterator[misbehaving.Server]:
    with misbehaving.serve() as running:
        yield running


def test_rows_are_lines_in_order_and_all_else_is_said_elsewhere(photos: Path, tmp_path: Path) -> None:
    (photos / "00004.jpg").write_bytes(b"<html>")
    told = prompt(*EMBED, photos)
    rows = [json.loads(line) for line in told.out.splitlines()]
    assert told.code == 3
    assert [row["id"] for row in rows] == [f"{number:05d}.jpg" for number in range(30)]
    assert [row["error_code"] for row in rows if row["status"] == "error"] == ["decode_not_an_image"]
    assert list(rows[0])[:3] == ["id", "source", "status"]
    assert "30 rows, 29 ok, 1 failed (decode_not_an_image 1)" in told.err
    assert sorted(os.listdir(tmp_path)) == ["photos"]


def test_the_lines_are_those_of_a_file(photos: Path, tmp_path: Path) -> None:
    told = prompt(*EMBED, photos)
    assert prompt("embed", "--model", "demo", photos, "-o", tmp_path / "out.jsonl").code == 0
    assert told.out == (tmp_path / "out.jsonl").read_text()


@pytest.mark.parametrize(
    "flag", ["--no-resume", "--overwrite", "--update", "--retry-failed", "--unique-ids"], ids=lambda flag: flag[2:]
)
def test_what_needs_a_file_is_refused(photos: Path, flag: str) -> None:
    told = prompt(*EMBED, photos, flag)
    assert (told.code, told.out) == (2, "")
    assert f"{flag} needs an output file" in told.err


def test_a_limit_and_an_error_rate_hold_here_too(tmp_path: Path, photos: Path) -> None:
    assert len(prompt(*EMBED, photos, "--limit", "7").out.splitlines()) == 7
    (tmp_path / "m.txt").write_text("nowhere.jpg\n" * 200)
    told = prompt(*EMBED, tmp_path / "m.txt", "--max-error-rate", "0.5", "--summary", tmp_path / "s.json")
    assert (told.code, "100 of 100 rows failed" in told.err) == (1, True)
    found, rows = json.loads((tmp_path / "s.json").read_text()), len(told.out.splitlines())
    assert (found["rows"], found["failed"], found["rows_left"]) == (rows, {"file_not_found": rows}, None)
    assert (found["finished"], found["error_code"]) == (False, "max_error_rate")


def test_out_of_time_ends_the_stream_with_75(server: misbehaving.Server) -> None:
    told = prompt(*EMBED, server.url("/slow?s=60").decode(), "--max-runtime", "0.5s", "-q")
    assert (told.code, told.out) == (75, "")
    assert told.err == (
        "visioncli: --max-runtime is over; 0 rows were written, and a stream is not gone on with: "
        "the same command begins anew\n"
    )


def test_names_from_standard_input(photos: Path) -> None:
    names = [os.fsencode(photos / f"{number:05d}.jpg") for number in (3, 1, 2)]
    for arguments, typed in ((["-"], b"\n".join(names)), (["-", "-0"], b"\0".join(names))):
        told = prompt(*EMBED, *arguments, typed=typed)
        assert told.code == 0
        assert [json.loads(line)["source"] for line in told.out.splitlines()] == [os.fsdecode(name) for name in names]


@pytest.fixture
def pipes(tmp_path: Path) -> dict[str, str]:
    for name in ("typed", "shown"):
        os.mkfifo(tmp_path / name)
    return {name: str(tmp_path / name) for name in ("typed", "shown")}


def test_a_reader_that_leaves_is_no_error(nursery: Nursery, photos: Path, pipes: dict[str, str]) -> None:
    child = nursery.command([*EMBED, "--quiet", photos], shown=pipes["shown"])
    with open(pipes["shown"]) as shown:
        assert json.loads(shown.readline())["id"] == "00000.jpg"  # | head -1
    assert (child.wait().code, child.err) == (0, "")


def test_a_row_comes_while_more_names_are_still_to_come(nursery: Nursery, photos: Path, pipes: dict[str, str]) -> None:
    child = nursery.command([*EMBED, "--quiet", "-"], **pipes)
    with open(pipes["typed"], "wb", buffering=0) as typed, open(pipes["shown"], "rb", buffering=0) as shown:
        for number in (5, 6):
            typed.write(os.fsencode(photos / f"{number:05d}.jpg") + b"\n")
            ready, _, _ = select.select([shown], [], [], 60)
            assert ready, "no row within a minute, and the pipe is still open"
            assert json.loads(shown.readline())["id"].endswith(f"{number:05d}.jpg")
        typed.close()
        assert shown.read() == b""
    assert (child.wait().code, child.err) == (0, "")


def test_a_signal_ends_the_stream_at_a_whole_line(
    nursery: Nursery, photos: Path, server: misbehaving.Server, pipes: dict[str, str]
) -> None:
    names = [photos / "00001.jpg", server.url("/slow?s=60").decode()]
    child = nursery.command([*EMBED, *names], shown=pipes["shown"])
    with open(pipes["shown"]) as shown:
        assert json.loads(shown.readline())["status"] == "ok"
        child.kill(signal.SIGTERM)
        assert shown.read() == ""
    assert child.wait().code == 143
    assert "standard output: 1 row so far, 1 ok\n" in child.err
    assert child.err.endswith(
        "interrupted; 1 row was written, and a stream is not gone on with: the same command begins anew\n"
    )
