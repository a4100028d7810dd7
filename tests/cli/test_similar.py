"""similar as a person sees it: scores, search and near-duplicates, by the bundled model over the sample pictures."""

from __future__ import annotations

import json
import os
import pty
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.children import Ended
from tests.prompt import visioncli
from tests.search.indexes import cosines, drawn, written

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "sample_data" / "images"
CAT = IMAGES / "animals" / "00101.jpg"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample pictures as an index."""
    path = tmp_path_factory.mktemp("index") / "emb.parquet"
    assert visioncli("embed", ROOT / "sample_data/catalog.csv", "--model", "demo", "-o", path, "-q").code == 0
    return path


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """Ten random vectors."""
    return written(tmp_path / "plain.parquet", drawn(10))


def hits(*arguments: str | Path) -> list[dict[str, Any]]:
    done = visioncli("similar", *arguments)
    assert done.code == 0, done.err
    return [json.loads(line) for line in done.out.splitlines()]


def vector(*arguments: str | Path) -> Any:
    """What `embed` says."""
    [row] = visioncli("embed", *arguments, "--model", "demo", "-o", "-", "-q").out.splitlines()
    return np.array(json.loads(row)["embedding"])


def truth(index: Path, query: Any) -> list[tuple[str, float]]:
    """All rows by their cosine with a vector, best first."""
    table = pq.read_table(index)
    scores = cosines(np.array(table["embedding"].to_pylist()), query[None])[0]
    order = np.argsort(-scores, kind="stable")
    return [(table["id"][int(row)].as_py(), float(scores[row])) for row in order]


def agrees(found: list[dict[str, Any]], expected: list[tuple[str, float]]) -> None:
    assert [row["id"] for row in found] == [id for id, _ in expected]
    np.testing.assert_allclose([row["score"] for row in found], [score for _, score in expected], atol=1e-5)


# Scores


def test_scores_of_pictures_and_texts_are_those_of_classify(tmp_path: Path) -> None:
    ask = [str(IMAGES / "animals"), "--model", "demo", "-q", "-o"]
    for name, arguments in (
        ("similar", ["similar", "--text", "a cat", "--texts", "a dog,a fox"]),
        ("classify", ["classify", "--labels", "a cat,a dog,a fox", "--scoring", "cosine"]),
    ):
        assert visioncli(*arguments, *ask, tmp_path / f"{name}.parquet").code == 0
    assert pq.read_table(tmp_path / "similar.parquet").equals(pq.read_table(tmp_path / "classify.parquet"))


def test_a_score_is_the_cosine_of_the_two_vectors() -> None:
    [row] = hits(CAT, "--text", "a cat", "--text", "a dog", "--model", "demo", "-o", "-", "-q")
    expected = {text: float(vector(CAT) @ vector("--text", text)) for text in ("a cat", "a dog")}
    assert dict(zip(row["labels"], row["scores"], strict=True)) == pytest.approx(expected, abs=1e-5)


# Search


@pytest.mark.parametrize("asked", [["--text", "a cat"], ["--image", CAT]])
def test_a_query_is_embedded_by_the_model_of_the_index(index: Path, asked: list[Any]) -> None:
    found = hits("--index", index, *asked, "-k", "20")
    embed = asked if asked[0] == "--text" else asked[1:]
    agrees(found, truth(index, vector(*embed))[:20])
    assert [row["rank"] for row in found] == list(range(1, 21))
    assert {row["query"] for row in found} == {str(asked[1])}


def test_hits_carry_the_columns_of_the_index_and_vectors_on_request(index: Path) -> None:
    [row] = hits("--index", index, "--image", CAT, "-k", "1", "--with-embedding")
    [kept] = [one for one in pq.read_table(index).to_pylist() if one["id"] == row["id"]]
    assert {name: row[name] for name in kept if name != "embedding"} == {
        n: v for n, v in kept.items() if n != "embedding"
    }
    assert (row["truth"], row["price"]) == ("cat", "111.90")
    np.testing.assert_allclose(row["embedding"], kept["embedding"], rtol=1e-6)


def test_verbose_tells_which_model_embedded_the_query(index: Path) -> None:
    told = visioncli("similar", "--index", index, "--text", "a cat", "-k", "1", "--dtype", "float32", "-v").err
    assert "visioncli: dtype: float32" in told and "visioncli: model: demo at files:" in told


def test_several_queries_are_answered_one_after_another(index: Path) -> None:
    found = hits("--index", index, "--text", "a cat", "--text", "a dog", "-k", "3")
    assert [(row["query"], row["rank"]) for row in found] == [(q, r) for q in ("a cat", "a dog") for r in (1, 2, 3)]


def test_weights_and_minus_make_one_weighted_sum(index: Path) -> None:
    found = hits("--index", index, "--text", "a cat", "--image", f"{CAT}*0.5", "--minus", "a dog*2", "-k", "75")
    query = vector("--text", "a cat") + 0.5 * vector(CAT) - 2 * vector("--text", "a dog")
    agrees(found, truth(index, query))
    assert found[0]["query"] == f"a cat + {CAT}*0.5 - a dog*2"


def test_a_row_is_no_hit_of_itself_and_needs_no_model(plain: Path) -> None:
    code = f"import sys; sys.argv = ['visioncli', 'similar', '--index', {str(plain)!r}, '--row', '3.jpg', '-k', '4']\n"
    code += "from visioncli.cli import main\ntry: main()\nfinally: print('torch' in sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "False"
    agrees([json.loads(line) for line in done.stdout.splitlines()], truth(plain, drawn(10)[3])[1:5])


def test_low_scores_are_no_hits(plain: Path) -> None:
    expected = [score for _, score in truth(plain, drawn(10)[0])[1:]]
    found = hits("--index", plain, "--row", "0.jpg", "-k", "99", "--min-score", str(expected[3]))
    assert len(found) == 4
    assert len(hits("--index", plain, "--row", "0.jpg", "-k", "99")) == 9


def test_approx_tells_its_recall_and_gives_exact_scores(plain: Path) -> None:
    done = visioncli("similar", "--index", plain, "--row", "1.jpg", "-k", "3", "--approx")
    assert "recall@10 1.000 against exact search, on 10 sampled rows" in done.err
    agrees([json.loads(line) for line in done.out.splitlines()], truth(plain, drawn(10)[1])[1:4])


def test_nothing_is_written_beside_the_index_where_it_is_not_wanted(plain: Path) -> None:
    assert hits("--index", plain, "--row", "1.jpg", "--no-sidecar") == hits("--index", plain, "--row", "1.jpg")
    (plain.parent / "plain.parquet.search").rename(plain.parent / "away")
    hits("--index", plain, "--row", "1.jpg", "--no-sidecar")
    assert not (plain.parent / "plain.parquet.search").exists()


# Near-duplicates


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sample pictures, two copies of each that were saved anew, among all the others."""
    folder = tmp_path_factory.mktemp("copies")
    (folder / "photos").mkdir()
    for path in sorted(IMAGES.rglob("*.*")):
        with Image.open(path) as picture:
            picture.convert("RGB").save(folder / "photos" / f"{path.stem}.png")
            if path.stem in ("00101", "00120", "00150"):
                picture.convert("RGB").save(folder / "photos" / f"{path.stem}-copy.jpg", quality=90)
                smaller = picture.convert("RGB").resize((picture.width * 9 // 10, picture.height * 9 // 10))
                smaller.save(folder / "photos" / f"{path.stem}-small.png")
    assert visioncli("embed", folder / "photos", "--model", "demo", "-o", folder / "emb.parquet", "-q").code == 0
    return folder / "emb.parquet"


def test_pairs_are_the_planted_copies(copies: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs.parquet"
    assert visioncli("similar", "--index", copies, "--pairs", "--min-score", "0.97", "-o", out).code == 0
    table = pq.read_table(out)
    assert [(field.name, str(field.type)) for field in table.schema] == [
        ("id_a", "string"),
        ("id_b", "string"),
        ("score", "float"),
    ]
    found = {tuple(sorted((row["id_a"], row["id_b"]))) for row in table.to_pylist()}
    three = [[f"{n}-copy.jpg", f"{n}-small.png", f"{n}.png"] for n in ("00101", "00120", "00150")]
    assert found == {(a, b) for a, b, c in three} | {(a, c) for a, b, c in three} | {(b, c) for a, b, c in three}
    assert table["score"].to_pylist() == sorted(table["score"].to_pylist(), reverse=True)
    assert json.loads(table.schema.metadata[b"visioncli"])["task"] == "similar"


def test_groups_are_the_planted_copies(copies: Path) -> None:
    found = hits("--index", copies, "--groups", "--min-score", "0.97")
    assert [(row["group"], row["size"]) for row in found] == [(1, 3), (2, 3), (3, 3)]
    assert [row["members"] for row in found] == [
        [f"{n}-copy.jpg", f"{n}-small.png", f"{n}.png"] for n in ("00101", "00120", "00150")
    ]
    assert all(row["representative"] in row["members"] for row in found)


def test_a_text_ranks_what_it_names_first(tmp_path: Path) -> None:
    """Held-out scenes, six of each of thirty concepts: all first five right for at least twenty of them."""
    recipes = ROOT / "sample_data" / "recipes"
    sys.path.insert(0, str(recipes))
    try:
        scenes = runpy.run_path(str(recipes / "scenes.py"))
    finally:
        sys.path.remove(str(recipes))
    (tmp_path / "scenes").mkdir()
    concepts = scenes["CONCEPTS"]
    first = -(-scenes["SPLITS"]["held_out"].start // len(concepts)) * len(concepts)
    for number in range(6 * len(concepts)):
        if number % len(concepts) < 30:
            pixels, scene = scenes["render_scene"](first + number, (96, 128))
            Image.fromarray(pixels).save(tmp_path / "scenes" / f"{scene.concept}-{number}.png")
    path = tmp_path / "emb.parquet"
    assert visioncli("embed", tmp_path / "scenes", "--model", "demo", "-o", path, "-q").code == 0
    texts = [argument for concept in concepts[:30] for argument in ("--text", f"a {concept}")]
    found = hits("--index", path, *texts, "-k", "5")
    right = {concept: [] for concept in concepts[:30]}  # type: dict[str, list[bool]]
    for row in found:
        right[row["query"].removeprefix("a ")].append(row["id"].rpartition("-")[0] == row["query"].removeprefix("a "))
    assert right["cat"] == [True] * 5
    assert sum(all(each) for each in right.values()) >= 20


# Where it goes


def on_terminal(width: int, *arguments: str | Path) -> list[list[str]]:
    """The words of each line."""
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "visioncli", "similar", *map(str, arguments)]
    env = os.environ | {"COLUMNS": str(width)}
    subprocess.run(command, stdout=slave, stderr=subprocess.PIPE, check=True, env=env)
    os.close(slave)
    text = re.sub(r"\x1b\[[0-9;]*m", "", os.read(master, 65536).decode())
    return [line.split() for line in text.splitlines() if line.strip(" ─")]


LONG = [f"photos/{'of a long day in the garden/' * 3}{n}.jpg".replace(" ", "_") for n in range(10)]


def test_a_terminal_shows_which_rows_were_found_whole(tmp_path: Path) -> None:
    path = written(tmp_path / "emb.parquet", drawn(10), ids=LONG)
    head, *lines = on_terminal(80, "--index", path, "--row", LONG[1], "-k", "2")
    assert head == ["query", "rank", "score", "id"]
    expected = truth(path, drawn(10)[1])[1:3]
    assert "".join(line[-1] for line in lines) == "".join(id for id, _ in expected)
    found = [line for line in lines if len(line) == 4]
    assert [line[1:3] for line in found] == [[str(n), f"{score:.4f}"] for n, (_, score) in enumerate(expected, 1)]
    assert {line[0] for line in found} == {f"{LONG[1][:24]}…"}


@pytest.mark.parametrize(("width", "others"), [(40, []), (41, ["price"]), (80, ["price"])])
def test_other_columns_are_shown_where_a_line_has_room(plain: Path, width: int, others: list[str]) -> None:
    """query 5, rank 4, score 6, id 5 and price 5 letters, each with two blanks, four between, two edges: 41."""
    head, *lines = on_terminal(width, "--index", plain, "--row", "1.jpg", "-k", "2")
    assert (head, len(lines)) == (["query", "rank", "score", "id", *others], 2)


@pytest.mark.parametrize("asked", ["--pairs", "--groups"])
def test_that_nothing_is_found_is_said(plain: Path, tmp_path: Path, asked: str) -> None:
    command = ["similar", "--index", plain, asked, "--min-score", "1", "--no-sidecar"]
    assert visioncli(*command) == Ended(0, "", "visioncli: nothing found\n")
    assert visioncli(*command, "-q") == Ended(0, "", "")
    out = tmp_path / "found.jsonl"
    assert visioncli(*command, "-o", out) == Ended(0, "", f"visioncli: {out}: 0 rows\n")


def test_pairs_and_groups_are_whole_on_a_terminal(tmp_path: Path) -> None:
    path = written(tmp_path / "emb.parquet", np.repeat(drawn(1), 30, axis=0), ids=[f"{n:02}.jpg" for n in range(30)])
    assert on_terminal(80, "--index", path, "--pairs", "--min-score", "0.9")[1] == ["00.jpg", "01.jpg", "1.0000"]
    lines = on_terminal(80, "--index", path, "--groups", "--min-score", "0.9")[1:]
    words = " ".join(word for line in lines for word in line)
    assert words.startswith("1 00.jpg 30 00.jpg, 01.jpg,") and words.endswith("19.jpg, … 10 more")


def test_hits_are_utf8_whatever_the_locale_says(tmp_path: Path) -> None:
    path = written(tmp_path / "emb.parquet", drawn(2), ids=["café.jpg", "猫.jpg"])
    command = [sys.executable, "-m", "visioncli", "similar", "--index", str(path), "--row", "café.jpg"]
    done = subprocess.run(command, capture_output=True, check=True, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert json.loads(done.stdout.decode("utf-8"))["id"] == "猫.jpg"


def test_columns_that_clash_with_ours_all_have_names_of_their_own(tmp_path: Path) -> None:
    read = pq.read_table(written(tmp_path / "emb.parquet", drawn(3)))
    for name, value in (("score", 1), ("score_in", 2), ("rank_in", 3)):
        read = read.append_column(name, [[value] * 3])
    pq.write_table(read, tmp_path / "emb.parquet")
    [row, _] = hits("--index", tmp_path / "emb.parquet", "--row", "0.jpg")
    assert [row[name] for name in ("score_in_in", "score_in", "rank_in")] == [1, 2, 3]


def test_a_file_of_hits_says_which_model_made_the_index(plain: Path, tmp_path: Path) -> None:
    assert (
        visioncli("similar", "--index", plain, "--row", "1.jpg", "-k", "2", "-o", tmp_path / "hits.parquet").code == 0
    )
    said = json.loads(pq.read_schema(tmp_path / "hits.parquet").metadata[b"visioncli"])
    assert (said["model"], said["embedding_space"]) == ("demo", "demo@files:1/x")
    assert said["parameters"] == {"index": str(plain), "queries": ["1.jpg"], "k": 2, "min_score": None}


EXPORTED = [  # (variable, value, asked of an index of ten rows, what is said)
    ("VISIONCLI_TOP_K", "3", ["--row", "1.jpg"], "-k=3 comes from VISIONCLI_TOP_K"),
    ("VISIONCLI_MODEL", "openai/clip-vit-base-patch32", ["--row", "1.jpg"], "VISIONCLI_MODEL is not used here"),
    ("VISIONCLI_MODEL", "x", ["--pairs", "--min-score", "0.1"], "VISIONCLI_MODEL is not used here"),
    ("VISIONCLI_DTYPE", "bfloat16", ["--row", "1.jpg"], "VISIONCLI_DTYPE is not used here"),
    ("VISIONCLI_TOP_K", "3", ["--groups", "--min-score", "0.1"], "VISIONCLI_TOP_K is not used here"),
    ("VISIONCLI_MIN_SCORE", "0.1", ["--pairs"], "--min-score=0.1 comes from VISIONCLI_MIN_SCORE"),
    ("VISIONCLI_OVERWRITE", "1", ["--row", "1.jpg"], "--overwrite=True comes from VISIONCLI_OVERWRITE"),
]


@pytest.mark.parametrize(("variable", "value", "asked", "said"), EXPORTED)
def test_what_is_exported_is_told_and_stops_no_search(
    plain: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, asked: list[str], said: str
) -> None:
    monkeypatch.setenv(variable, value)
    done = visioncli("similar", "--index", plain, *asked)
    assert (done.code, f"visioncli: {said}" in done.err.splitlines()) == (0, True), done.err


def test_an_exported_model_is_not_asked_for_a_query(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = hits("--index", index, "--text", "a cat", "-k", "3")
    monkeypatch.setenv("VISIONCLI_MODEL", "openai/clip-vit-base-patch32")
    monkeypatch.setenv("VISIONCLI_REVISION", "main")
    assert hits("--index", index, "--text", "a cat", "-k", "3") == plain


@pytest.mark.parametrize("name", ["hits.parquet", "hits.jsonl"])
def test_hits_are_written_to_a_file_once(plain: Path, tmp_path: Path, name: str) -> None:
    ask = ("similar", "--index", plain, "--row", "1.jpg", "-o", tmp_path / name)
    assert visioncli(*ask).code == 0
    again = visioncli(*ask)
    assert (again.code, "is there already; say --overwrite" in again.err) == (2, True)
    assert visioncli(*ask, "--overwrite").code == 0


def test_nothing_is_found_in_an_empty_index(tmp_path: Path) -> None:
    path = written(tmp_path / "emb.parquet", drawn(4), lost=range(4))
    for asked in (["--pairs", "--min-score", "0.5"], ["--groups", "--min-score", "0.5"]):
        assert hits("--index", path, *asked) == []
    done = visioncli("similar", "--index", path, "--row", "0.jpg")
    assert (done.code, "no row with a vector has the id '0.jpg'" in done.err) == (2, True)


# Refusals: (what is asked of an index of ten rows, what is said)

REFUSED = [
    (["--index", "{}"], "say what to look for"),
    (["--index", "{}", "photos"], "--index takes the place of INPUT"),
    (["photos", "--row", "1.jpg"], "--row needs --index"),
    (["photos", "--pairs"], "--pairs needs --index"),
    (["photos", "-o", "-"], "--text is needed"),
    (["--index", "{}", "--pairs"], "--pairs needs --min-score"),
    (["--index", "{}", "--pairs", "--groups", "--min-score", "0.9"], "ask for one"),
    (["--index", "{}", "--pairs", "--min-score", "1.5"], "--min-score 1.5 is no cosine"),
    (["--index", "{}", "--row", "1.jpg", "--min-score", "nan"], "--min-score nan is no cosine"),
    (["--index", "{}", "--pairs", "--min-score", "0.9", "--text", "cat"], "--text does not go with --pairs"),
    (["--index", "{}", "--row", "1.jpg", "--update"], "--update does not go with a search"),
    (["--index", "{}", "--row", "99.jpg"], "no row with a vector has the id '99.jpg'"),
    (["--index", "{}", "--minus", "cat"], "--minus takes from something"),
    (["--index", "{}", "--row", "1.jpg", "-o", "hits.csv"], "must end in .parquet or .jsonl"),
    (["--index", "{}", "--row", "1.jpg", "-o", "{}.no/hits.parquet"], "-o: the folder "),
    (["--index", "{}", "--row", "1.jpg", "--overwrite"], "--overwrite needs -o FILE"),
    (["--index", "{}", "--row", "1.jpg", "-o", "-", "--overwrite"], "--overwrite needs -o FILE"),
    (["--index", "{}", "--row", "1.jpg", "--model", "demo"], "--model has no use here: --row alone loads no model"),
    (["--index", "{}", "--row", "1.jpg", "--header", "A: b"], "--header has no use here: --row alone loads no model"),
    (["--index", "{}", "--text", "a", "--header", "A: b"], "--header has no use here: without --image no file is read"),
    (
        ["--index", "{}", "--pairs", "--min-score", "0.9", "--device", "hailo"],
        "a Hailo device does not compare vectors",
    ),
    (["--index", "nowhere.parquet", "--row", "1.jpg"], "there is no index nowhere.parquet"),
    (["--index", "{}", "--row", "1.jpg", "--approx", "--no-sidecar"], "keeps its graph in the side-car"),
    (["--index", "{}", "--text", "cat"], "made in the space demo@files:1/x, and this model's is demo@"),
    (["--index", "{}", "--text", "cat", "--model", "openai/clip-vit-base-patch32"], "was made by demo, not by openai/"),
]


@pytest.mark.parametrize(("asked", "said"), REFUSED)
def test_what_cannot_be_done_is_refused_in_a_sentence(plain: Path, asked: list[str], said: str) -> None:
    done = visioncli("similar", *(argument.format(plain) for argument in asked))
    assert (done.code, done.out) == (2, ""), done.err
    assert said in done.err
    assert done.err.splitlines()[-1].startswith("visioncli: ")


def of_demo(folder: Path, **said: Any) -> Path:
    """Ten vectors that claim to be the bundled model's, but for what is `said`."""
    commit = json.loads(
        visioncli("embed", "--text", "a", "--model", "demo", "-o", folder / "a.jsonl", "-q").out or "{}"
    )
    assert commit == {}
    meta = json.loads((folder / "a.jsonl.meta.json").read_text())["visioncli"]
    return written(folder / "emb.parquet", drawn(10), **{**meta, **said})


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"embedding_space": "demo@files:0/siglip"}, "their vectors cannot be compared"),
        ({}, "has vectors of 32 numbers"),
        ({"model": "mine", "commit": "files:3"}, "made by the directory mine: say where it is with --model DIR"),
        ({"embedding_space": None}, "does not say which model made its vectors"),
    ],
)
def test_another_space_or_dimension_is_refused(tmp_path: Path, said: dict[str, Any], sentence: str) -> None:
    done: Ended = visioncli("similar", "--index", of_demo(tmp_path, **said), "--text", "a cat")
    assert (done.code, sentence in done.err) == (2, True), done.err


def test_a_picture_that_cannot_be_read_is_named(index: Path, tmp_path: Path) -> None:
    (tmp_path / "page.jpg").write_text("<html>")
    for name, code in (("page.jpg", "decode_not_an_image"), ("nowhere.jpg", "file_not_found")):
        done = visioncli("similar", "--index", index, "--image", tmp_path / name)
        assert (done.code, name in done.err, code in done.err) == (2, True, True), done.err
