"""`visioncli report`: a page from real runs, refusals, and the gate of --diff."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.prompt import visioncli
from tests.report.outputs import classified, failed, pictures, written

SCENES = Path(__file__).parents[2] / "sample_data" / "scenes"
ASKED = {
    "classify": ["--labels", "cat,dog,tree"],
    "embed": [],
    "detect": ["--prompts", "cat,dog,tree"],
    "segment": ["--prompts", "cat,house,tree"],
    "depth": [],
}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes") / "pictures"
    folder.mkdir()
    for path in sorted(SCENES.glob("*.jpg"))[:3]:
        shutil.copy(path, folder)
    (folder / "broken.jpg").write_bytes(b"<html>")
    return folder


@pytest.mark.parametrize("output", ["out.parquet", "out.jsonl", "out/"])
@pytest.mark.parametrize("task", ASKED)
def test_a_run_of_every_task_and_form_becomes_a_page(scenes: Path, tmp_path: Path, task: str, output: str) -> None:
    results = f"{tmp_path}/{output}"
    assert visioncli(task, scenes, *ASKED[task], "-m", "demo", "-o", results, "-q").code == 3
    made = visioncli("report", results, "-o", tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text()
    assert (made.code, made.out) == (0, "")
    assert page.count('<li class="card') == 4
    assert page.count("data:image/webp;base64,") == 3
    assert "decode_not_an_image" in page and ("Timings" in page) == (output == "out/")


def test_what_a_search_found_becomes_a_page(scenes: Path, tmp_path: Path) -> None:
    assert visioncli("embed", scenes, "-m", "demo", "-o", tmp_path / "emb.parquet", "-q").code == 3
    ask = ("similar", "--index", tmp_path / "emb.parquet", "--text", "a cat", "--text", "a tree", "-k", "2")
    for name in ("hits.parquet", "hits.jsonl"):
        assert visioncli(*ask, "-o", tmp_path / name).code == 0
        assert visioncli("report", tmp_path / name, "-o", tmp_path / "a.html", "--overwrite").code == 0
        page = (tmp_path / "a.html").read_text()
        assert (page.count('<li class="card'), page.count("data:image/webp;base64,")) == (4, 4)
        assert "<dt>model</dt><dd>demo</dd>" in page and "No timings" not in page
    assert visioncli("similar", scenes, "--text", "a cat", "-m", "demo", "-o", tmp_path / "scores.parquet").code == 3
    assert visioncli("report", tmp_path / "scores.parquet", "-o", tmp_path / "b.html").code == 0


@pytest.mark.parametrize("masks", ["rle", "polygons", "png"])
def test_masks_are_drawn_however_they_are_kept(scenes: Path, tmp_path: Path, masks: str) -> None:
    results = tmp_path / "out.parquet"
    visioncli("segment", scenes, "--prompts", "tree,clock", "--masks", masks, "-m", "demo", "-o", results, "-q")
    assert visioncli("report", results, "-o", tmp_path / "a.html").code == 0
    page = (tmp_path / "a.html").read_text()
    assert "cannot be drawn" not in page and page.count("data:image/webp") == 3


def test_pictures_that_were_moved_are_found_below_root(scenes: Path, tmp_path: Path) -> None:
    shutil.copytree(scenes, tmp_path / "here")
    results = tmp_path / "out.parquet"
    visioncli("classify", tmp_path / "here", "--labels", "cat,dog", "-m", "demo", "-o", results, "-q")
    shutil.move(tmp_path / "here", tmp_path / "there")
    lost = visioncli("report", results, "-o", tmp_path / "a.html")
    assert (lost.code, "say --root DIR where they are now" in lost.err) == (0, True)
    found = visioncli("report", results, "-o", tmp_path / "b.html", "--root", tmp_path / "there")
    assert (found.code, "--root" in found.err) == (0, False)
    assert (tmp_path / "b.html").read_text().count("data:image/webp") == 3


def small(folder: Path, name: str = "a.parquet", **more: object) -> Path:
    return written(pictures(folder, 2) / name, "classify", [classified("cat", 0.9), classified("dog", 0.6)], **more)


@pytest.mark.parametrize(
    ("variable", "value", "one", "two"),
    [
        ("VISIONCLI_SAMPLE", "20", "--sample=20 comes from VISIONCLI_SAMPLE", "VISIONCLI_SAMPLE is not used here"),
        ("VISIONCLI_SEED", "9", "--seed=9 comes from VISIONCLI_SEED", "VISIONCLI_SEED is not used here"),
        ("VISIONCLI_MAX_FLIPS", "2", "VISIONCLI_MAX_FLIPS is not used here", "--max-flips=2 comes from"),
    ],
)
def test_what_is_exported_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, one: str, two: str
) -> None:
    results = small(tmp_path)
    monkeypatch.setenv(variable, value)
    page = visioncli("report", results, "-o", tmp_path / "a.html")
    diff = visioncli("report", "--diff", results, results)
    assert (page.code, diff.code) == (0, 0)
    assert one in page.err and two in diff.err


def test_a_page_is_replaced_only_when_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("mine")
    results = small(tmp_path)
    refused = visioncli("report", results, "-o", tmp_path / "a.html")
    assert (refused.code, refused.err) == (2, f"visioncli: {tmp_path}/a.html exists; say --overwrite to replace it\n")
    assert (tmp_path / "a.html").read_text() == "mine"
    assert visioncli("report", results, "-o", tmp_path / "a.html", "--overwrite").code == 0
    assert (tmp_path / "a.html").read_text().startswith("<!DOCTYPE html>")


def test_the_runs_summary_gives_the_timings(tmp_path: Path) -> None:
    said = {"rows": 2, "seconds": 12.5, "rows_per_s": 0.16, "inferred": 2, "held_back": {"decode": 0.7}}
    (tmp_path / "run.json").write_text(json.dumps(said | {"verdict": "decode", "advice": "more --workers"}))
    results = small(tmp_path)
    assert visioncli("report", results, "-o", tmp_path / "a.html", "--summary", tmp_path / "run.json").code == 0
    page = (tmp_path / "a.html").read_text()
    assert "12.5 s" in page and "decode (decode 70%)" in page and "more --workers" in page


def refusals(folder: Path) -> dict[str, tuple[list[str], str]]:
    """What is asked wrongly, and how it is said; `A` is a good result, `P` where a page goes."""
    pq.write_table(pa.table({"id": ["1"]}), folder / "plain.parquet")
    (folder / "text.parquet").write_text("hello")
    written(folder / "none.parquet", "classify", [])
    written(folder / "depth.parquet", "depth", [failed("empty_file")])
    (folder / "other.json").write_text('{"rows": 7}')
    near = {"visioncli": json.dumps({"task": "similar", "parameters": {"index": "emb.parquet", "min_score": 0.9}})}
    for name, columns in (("pairs", {"id_a": ["1"], "id_b": ["2"]}), ("groups", {"representative": ["1"]})):
        pq.write_table(pa.table(columns).replace_schema_metadata(near), folder / f"{name}.parquet")
    written(folder / "hits.parquet", "similar", [{"query": "a cat", "rank": 1, "score": 0.5}])
    (folder / "empty").mkdir()
    return {
        "absent": ([f"{folder}/no.parquet", "-o", "P"], "no.parquet is not there"),
        "foreign": ([f"{folder}/plain.parquet", "-o", "P"], "was not written by visioncli: it carries no provenance"),
        "unreadable": ([f"{folder}/text.parquet", "-o", "P"], "text.parquet cannot be read"),
        "folder": ([f"{folder}/empty", "-o", "P"], "holds no part-*.parquet: it is no output of visioncli"),
        "no-rows": ([f"{folder}/none.parquet", "-o", "P"], "has no rows: there is nothing to show"),
        "no-page": (["A"], "-o is needed: -o report.html"),
        "no-html": (["A", "-o", f"{folder}/a.pdf"], "must end in .html"),
        "no-folder": (["A", "-o", f"{folder}/x/a.html"], "is not there"),
        "two": (["A", "A", "-o", "P"], "one result makes a page; to compare two, say --diff OLD NEW"),
        "one": (["A", "--diff"], "--diff takes two results: --diff OLD NEW"),
        "stray": (["A", "-o", "P", "--max-flips", "1"], "--max-flips belongs to --diff OLD NEW"),
        "limit": (["A", "A", "--diff", "--max-drift", "much"], "--max-drift: 'much' is neither a number"),
        "negative": (["A", "A", "--diff", "--max-flips", "-1"], "--max-flips: '-1' is neither a number"),
        "tasks": (["A", f"{folder}/depth.parquet", "--diff"], "they cannot be compared"),
        "summary": (["A", "-o", "P", "--summary", f"{folder}/other.json"], "is of a run with 7 rows, and"),
        "seed": (["A", "A", "--diff", "--seed", "1"], "--seed belongs to one result; leave it out with --diff"),
        "near": (["A", "A", "--diff", "--min-score", "0.9"], "--min-score belongs to one result"),
        "root": (["A", "-o", "P", "--root", f"{folder}/no"], "--root: "),
        "pairs": (
            [f"{folder}/pairs.parquet", "-o", "P"],
            "`visioncli report emb.parquet --min-score 0.9 -o report.html`",
        ),
        "groups": (
            [f"{folder}/groups.parquet", "-o", "P"],
            "groups.parquet holds ids of near-duplicates, not their pic",
        ),
        "hits": ([f"{folder}/hits.parquet"] * 2 + ["--diff"], "of the task similar, whose results are not compared"),
        "no-timings": (["A", "A", "--diff", "--summary", "x"], "--summary belongs to one result; leave it out with"),
        "root-of-none": (["A", "A", "--diff", "--root", f"{folder}"], "--root is about the page: say where it goes"),
        "fetch-of-none": (["A", "A", "--diff", "--fetch"], "--fetch is about the page: say where it goes with -o"),
        "sample-of-none": (["A", "A", "--diff", "--sample", "2000"], "--sample is about the page"),
        "overwrite-none": (["A", "A", "--diff", "--overwrite"], "--overwrite is about the page"),
    }


WRONG = (
    "absent foreign unreadable folder no-rows no-page no-html no-folder two one stray limit negative tasks summary "
    "seed near root pairs groups hits no-timings root-of-none fetch-of-none sample-of-none overwrite-none"
)


@pytest.mark.parametrize("what", WRONG.split())
def test_what_is_asked_wrongly_is_one_sentence(tmp_path: Path, what: str) -> None:
    asked, said = refusals(tmp_path)[what]
    places = {"A": str(small(tmp_path)), "P": str(tmp_path / "p.html")}
    ended = visioncli("report", *[places.get(one, one) for one in asked])
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert said in ended.err
    assert not (tmp_path / "p.html").exists()


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ([], 0),
        (["--max-flips", "1", "--max-new-failures", "1"], 0),
        (["--max-flips", "0"], 3),
        (["--max-flips", "24%"], 3),
        (["--max-flips", "25%"], 0),
        (["--max-drift", "0.2"], 3),
        (["--max-drift", "0.31"], 0),
        (["--max-new-failures", "0"], 3),
    ],
)
def test_a_gate_closes_when_a_limit_is_passed(tmp_path: Path, limits: list[str], code: int) -> None:
    old = [classified("cat", 0.9), classified("cat", 0.6), classified("dog", 0.5), classified("dog", 0.5)]
    new = [old[0], classified("dog", 0.9), failed("non_finite", "NaN"), old[3]]
    paths = [written(tmp_path / f"{name}.parquet", "classify", rows) for name, rows in (("old", old), ("new", new))]
    ended = visioncli("report", "--diff", *paths, *limits)
    assert ended.code == code
    assert ended.err.count("more than --max") == (code == 3)
    assert [line.split() for line in ended.out.splitlines() if "flipped" in line] == [["flipped", "1"]]


def test_a_table_without_names_has_no_head(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet", "classify", [classified("cat", 0.9)])
    lines = visioncli("report", "--diff", path, path).out.splitlines()
    assert [line.split() for line in lines[:3]] == [["What", "changed"], [], ["rows", "in", "both", "1"]]


def test_a_gate_that_compared_nothing_does_not_stand_open(tmp_path: Path) -> None:
    rows = [classified("cat", 0.9, id=f"photos/{n}.jpg") for n in range(3)]
    old, new = (written(tmp_path / f"{name}.parquet", "classify", rows) for name in ("old", "new"))
    written(new, "classify", [row | {"id": row["id"][7:]} for row in rows])
    refused = visioncli("report", "--diff", old, new, "--max-new-failures", "0")
    assert (refused.code, refused.out) == (2, "")
    assert f"no id of {old} is in {new}" in refused.err and "the same INPUT arguments" in refused.err
    told = visioncli("report", "--diff", old, new)
    assert (told.code, told.err.startswith("visioncli: nothing was compared: no id of")) == (0, True)


def test_a_diff_is_a_page_too(tmp_path: Path) -> None:
    pictures(tmp_path, 3)
    old = written(tmp_path / "old.parquet", "classify", [classified("cat", 0.9)] * 3)
    new = written(
        tmp_path / "new.parquet", "classify", [classified("dog", 0.8), failed("non_finite"), classified("cat", 0.9)]
    )
    assert visioncli("report", "--diff", old, new, "-o", tmp_path / "a.html").code == 0
    page = (tmp_path / "a.html").read_text()
    assert page.count('<li class="card') == 2  # what did not change is not shown
    assert "old 0.900" in page and "new 0.800" in page and "new failure" in page


def test_what_a_terminal_would_obey_is_shown_as_an_escape(tmp_path: Path) -> None:
    old = written(tmp_path / "old.parquet", "classify", [classified("[bold]cat", 0.9)])
    new = written(tmp_path / "new.parquet", "classify", [classified("\x1b[31mdog", 0.9)])
    ended = visioncli("report", "--diff", old, new)
    assert "[bold]cat" in ended.out and "\\x1b[31mdog" in ended.out and "\x1b" not in ended.out
