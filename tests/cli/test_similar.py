"""similar as a person sees it: scores, search and near-duplicates, by the bundled model over the sample pictures."""

from __future__ import annotations

import json
import os
import pty
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


def test_a_terminal_gets_a_table(plain: Path) -> None:
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "visioncli", "similar", "--index", str(plain), "--row", "1.jpg", "-k", "2"]
    subprocess.run(command, stdout=slave, stderr=subprocess.PIPE, check=True, env=os.environ | {"COLUMNS": "100"})
    os.close(slave)
    shown = os.read(master, 65536).decode()
    assert all(word in shown for word in ("query", "rank", "score", "price", truth(plain, drawn(10)[1])[1][0]))
    assert "{" not in shown


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
