"""What is found, said and refused before a model is fetched; and that --dry-run fetches nothing and tells the truth."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

import visioncli
from tests import small_pictures
from tests.loopback_hub import NEW, LoopbackHub, Repository, live_here, loopback_hub
from tests.prompt import visioncli as prompt

ID = "Toys/Tiny-SigLIP"
DEMO = Path(visioncli.__file__).parent / "models/demo/siglip"
FILES = {path.name: path.read_bytes() for path in DEMO.iterdir() if path.suffix in (".json", ".safetensors")}
DRY = "--dry-run"


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    monkeypatch.chdir(tmp_path)
    small_pictures.folder(tmp_path / "photos", range(3))
    with loopback_hub(Repository(ID, {NEW: FILES}, {"main": NEW})) as running:
        live_here(monkeypatch, tmp_path, running.endpoint)
        yield running


def fetched(hub: LoopbackHub) -> list[str]:
    return [line for line in hub.requests if line.startswith("GET") and "/resolve/" in line]


def unfinished(tmp_path: Path) -> Path:
    """A run that --max-error-rate stopped; return its directory."""
    (tmp_path / "m.txt").write_text("nowhere.jpg\n" * 150)
    command = ["embed", "m.txt", "-o", "out.parquet", "--model", "demo", "--batch-size", "1"]
    assert prompt(*command, "--max-error-rate", "0.5").code == 1
    return tmp_path / "out.parquet.run"


@pytest.mark.parametrize("more", [[], [DRY]], ids=["run", "dry"])
@pytest.mark.parametrize(
    ("wrong", "output"),
    [
        *product([["nowhere"], ["photos", "--id-col", "sku"], ["m.csv"]], ["out.parquet", "parts/", "-"]),
        (["ragged.csv"], "out.parquet"),  # a stream reads its lines as it goes
    ],
    ids=str,
)
def test_what_is_wrong_with_an_input_is_told_before_anything_is_fetched(
    served: LoopbackHub, tmp_path: Path, wrong: list[str], output: str, more: list[str]
) -> None:
    (tmp_path / "m.csv").write_text("colour\nred\n")
    (tmp_path / "ragged.csv").write_text("image\nphotos/00001.jpg,\n")
    there = sorted(os.listdir(tmp_path))
    told = prompt("embed", *wrong, "--model", ID, "-o", output, *more)
    sentences = [line for line in told.err.splitlines() if "images are read from" not in line]
    assert (told.code, told.out, len(sentences)) == (2, "", 1)
    assert (fetched(served), sorted(os.listdir(tmp_path))) == ([], there)


def test_a_dry_run_says_what_it_would_fetch_and_fetches_nothing(served: LoopbackHub, tmp_path: Path) -> None:
    size = sum(map(len, FILES.values())) / 1e6
    place = tmp_path / f"hf/hub/models--Toys--Tiny-SigLIP/snapshots/{NEW}"
    command = ["embed", "photos", "--model", ID, "-o", "out.parquet"]
    expected = [
        f"visioncli: model {ID} at {NEW}: 6 files, {size:.1f} MB to be fetched into {place}",
        "visioncli: 3 rows to embed",
        "visioncli: nothing was done; without --dry-run the rows go to out.parquet",
    ]
    assert prompt(*command, DRY).err.splitlines() == expected
    assert (fetched(served), sorted(os.listdir(tmp_path))) == ([], ["photos"])
    assert (prompt(*command).code, len(fetched(served))) == (0, 6)
    told = prompt(*command, DRY, "--overwrite").err.splitlines()
    assert told[0] == f"visioncli: model {ID} at {NEW} in {place}"


@pytest.mark.parametrize("more", [[], [DRY]], ids=["run", "dry"])
@pytest.mark.parametrize("output", ["out.parquet", "-"])
def test_a_gated_model_is_told_before_anything_is_listed(
    served: LoopbackHub, tmp_path: Path, output: str, more: list[str]
) -> None:
    served.repositories[0].gated = "manual"
    told = prompt("embed", "photos", "--model", ID, "-o", output, *more)
    assert told.code == 1
    assert f"{ID} is gated: accept its licence at {served.endpoint}/{ID}" in told.err
    assert os.listdir(tmp_path) == ["photos"]


@pytest.mark.parametrize("more", [[], [DRY]], ids=["run", "dry"])
@pytest.mark.parametrize("output", ["out.parquet", "-"])
def test_a_licence_is_announced_once_and_first(served: LoopbackHub, output: str, more: list[str]) -> None:
    served.repositories[0].licence = "cc-by-nc-4.0"
    told = prompt("embed", "photos", "--model", ID, "-o", output, "--quiet", *more)
    assert (told.code, told.err.splitlines()[0]) == (
        0,
        f"visioncli: {ID} is for non-commercial use only (cc-by-nc-4.0)",
    )
    assert told.err.count("non-commercial") == 1


@pytest.mark.parametrize("more", [[], [DRY]], ids=["run", "dry"])
def test_answers_of_another_model_are_refused_before_this_one_is_fetched(served: LoopbackHub, more: list[str]) -> None:
    command = ["embed", "photos", "-o", "out.parquet", "--update", "--model"]
    assert prompt(*command, "demo").code == 0
    told = prompt(*command, ID, *more)
    assert (told.code, "say --overwrite to ask all again" in told.err) == (2, True)
    assert fetched(served) == []


@pytest.mark.parametrize("more", [[], [DRY]], ids=["run", "dry"])
def test_an_unfinished_run_of_another_model_is_refused_before_this_one_is_fetched(
    served: LoopbackHub, tmp_path: Path, more: list[str]
) -> None:
    before = sorted(unfinished(tmp_path).iterdir())
    told = prompt("embed", "m.txt", "-o", "out.parquet", "--model", ID, *more)
    assert (told.code, "say --no-resume to begin anew" in told.err) == (2, True)
    assert (fetched(served), sorted((tmp_path / "out.parquet.run").iterdir())) == ([], before)


def test_where_the_hub_stops_delivering_nothing_was_begun(served: LoopbackHub, tmp_path: Path) -> None:
    served.repositories[0].sent_instead["model.safetensors"] = b"damaged"
    told = prompt("embed", "photos", "--model", ID, "-o", "out.parquet")
    assert told.code in (1, 75)
    assert sorted(os.listdir(tmp_path)) == ["hf", "photos"]


def test_where_the_hub_stops_delivering_nothing_is_forgotten(served: LoopbackHub, tmp_path: Path) -> None:
    before = sorted(unfinished(tmp_path).iterdir())
    served.repositories[0].sent_instead["model.safetensors"] = b"damaged"
    told = prompt("embed", "photos", "--model", ID, "-o", "out.parquet", "--no-resume")
    assert told.code in (1, 75)
    assert sorted((tmp_path / "out.parquet.run").iterdir()) == before


def test_a_dry_run_says_how_far_an_unfinished_run_is(served: LoopbackHub, tmp_path: Path) -> None:
    run = unfinished(tmp_path)
    ranges = [path.stem.split("-")[1:] for path in run.glob("part-*")]
    done = sum(int(end) - int(first) for first, end in ranges)
    command = ["embed", "m.txt", "-o", "out.parquet", "--model", "demo", DRY]
    goes_on = f"visioncli: 150 rows to embed, {done} of them done: the unfinished run in {run.name} goes on"
    assert prompt(*command).err.splitlines()[1] == goes_on
    anew = ["visioncli: 150 rows to embed", f"visioncli: the unfinished run in {run.name} is forgotten"]
    assert prompt(*command, "--no-resume").err.splitlines()[1:3] == anew


def test_a_dry_run_is_refused_while_a_run_is_at_work(served: LoopbackHub, tmp_path: Path) -> None:
    run = unfinished(tmp_path)
    with open(run / "run.json", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        told = prompt("embed", "m.txt", "-o", "out.parquet", "--model", "demo", DRY)
    assert (told.code, told.err) == (75, f"visioncli: another run is working on {run.name}\n")


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        ([], 2, "out.jsonl is there already; say --overwrite"),
        (["--overwrite"], 0, "4 rows to embed\n"),
        (["--overwrite"], 0, "the rows go to out.jsonl, in place of what is there\n"),
        (["--update"], 0, "the rows go to out.jsonl, where answers that still stand are kept\n"),
        (["--update", "--alpha", "black"], 2, "say --overwrite to ask all again"),
        (["--retry-failed"], 0, "4 rows, 1 of them failed: those to embed again\n"),
        (["--retry-failed", "--limit", "1"], 2, "--limit was not given, is 1"),
    ],
)
def test_a_dry_run_says_what_becomes_of_a_finished_output(
    served: LoopbackHub, tmp_path: Path, more: list[str], code: int, said: str
) -> None:
    (tmp_path / "photos/00009.jpg").write_bytes(b"<html>")
    command = ["embed", "photos", "-o", "out.jsonl", "--model", "demo"]
    prompt(*command)
    before = sorted(tmp_path.rglob("*"))
    told = prompt(*command, *more, DRY)
    assert (told.code, said in told.err) == (code, True), told.err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("depth photos -o d.parquet", 0, "the files that rows name go to d.parquet.files\n"),
        ("depth photos -o -", 2, "-o - has no place beside it"),
        ("embed photos -o - --unique-ids", 2, "--unique-ids needs an output file"),
        ("detect photos --prompts cat -o d.jsonl --overlay seen", 0, "drawings go to seen\n"),
        ("embed m.csv -o d.jsonl --unique-ids", 2, "--unique-ids: 1 id came before"),
        ("embed m.csv -o d.jsonl --unique-ids --limit 1", 0, "1 row to embed\n"),
        ("embed photos -o d.jsonl --limit 2", 0, "2 rows to embed\n"),
        ("embed photos/00001.jpg -o d.jsonl", 0, "1 row to embed\n"),
        ("embed photos -o photos/", 2, "holds other things"),
        ("embed photos -o photos/00001.jpg/d.jsonl", 1, "d.jsonl.run cannot be made"),
        ("embed - -o -", 0, "rows to embed: those that standard input names, as they arrive\n"),
    ],
)
def test_a_dry_run_says_what_the_run_does_and_refuses_what_it_refuses(
    served: LoopbackHub, tmp_path: Path, command: str, code: int, said: str
) -> None:
    (tmp_path / "m.csv").write_text("id,image\na,photos/00001.jpg\na,photos/00001.jpg\n")
    before = sorted(tmp_path.rglob("*"))
    told = prompt(*command.split(), "--model", "demo", DRY, typed="photos/00001.jpg\n")
    assert (told.code, said in told.err) == (code, True), told.err
    assert sorted(tmp_path.rglob("*")) == before
    if code:
        assert prompt(*command.split(), "--model", "demo").code == code


def too_deep(folder: Path) -> None:
    """Make folders in one another that no path leads to: longer ones are no paths, not even root's."""
    (folder / "deep").mkdir()
    here = os.open(folder / "deep", os.O_RDONLY)
    for _ in range(25):
        os.mkdir("d" * 200, dir_fd=here)
        inner = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)


@pytest.mark.parametrize("limit", [[], ["--limit", "2"]], ids=["all", "limit"])
@pytest.mark.parametrize("quiet", [[], ["--quiet"]], ids=["", "quiet"])
@pytest.mark.parametrize("how", ["-o out.parquet", "-o parts/", "-o -", "-o out.parquet --dry-run", "-o - --dry-run"])
def test_what_a_walk_left_out_is_said_and_what_it_could_not_read_is_a_warning(
    served: LoopbackHub, tmp_path: Path, how: str, quiet: list[str], limit: list[str]
) -> None:
    too_deep(tmp_path / "photos")
    (tmp_path / "photos/z").symlink_to(tmp_path)
    (tmp_path / "photos/.hidden.jpg").touch()
    told = prompt("embed", "photos", "--model", "demo", *how.split(), *quiet, *limit)
    assert told.code == 0
    warned = [line for line in told.err.splitlines() if line.endswith("(File name too long)")]
    assert [line.partition(": '")[0] for line in warned] == [
        "visioncli: photos: a folder could not be read and was skipped"
    ]
    noted = [
        f"visioncli: photos: 1 {what}" for what in ("dot-file or dot-folder skipped", "link to a folder not followed")
    ]
    assert [line for line in told.err.splitlines() if line in noted] == ([] if quiet else noted)


SIDES = ["--model", ID, "--device", "cpu:float32", "--device", "cpu"]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (["photos", "--batch-size", "0"], "--batch-size: '0' is neither auto nor a positive number"),
        (["photos", "--labels", "@nowhere.txt"], "--labels: nowhere.txt"),
        (["nowhere"], "nowhere"),
    ],
)
def test_a_comparison_is_refused_before_its_model_is_fetched(
    served: LoopbackHub, wrong: list[str], sentence: str
) -> None:
    told = prompt("parity", *wrong, *SIDES)
    assert (told.code, told.out, sentence in told.err, told.err.count("\n")) == (2, "", True, 1)
    assert fetched(served) == []


def test_a_comparison_tells_of_its_model_and_rows_as_runs_do(served: LoopbackHub, tmp_path: Path) -> None:
    served.repositories[0].licence = "cc-by-nc-4.0"
    (tmp_path / "m.csv").write_text("image\nphotos/00000.jpg\n")
    told = prompt("parity", "m.csv", *SIDES)
    size = sum(map(len, FILES.values())) / 1e6
    assert told.err.splitlines() == [
        f"visioncli: {ID} is for non-commercial use only (cc-by-nc-4.0)",
        "visioncli: m.csv: images are read from column 'image'",
        f"visioncli: fetching {ID} at {NEW[:12]}: 6 files, {size:.1f} MB",
    ]
    assert (told.code, "1 of 1 row compared" in told.out) == (0, True)
