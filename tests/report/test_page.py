"""Pages as text: what is in them, what is escaped, and how large they are."""

from __future__ import annotations

import html
import io
import json
import re
from collections.abc import Generator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.report.outputs import classified, failed, pictures, seen, written
from visioncli.report import Page, ReportOptions, Results, changed, compare, report
from visioncli.report.cards import number
from visioncli.report.page import rendered
from visioncli.report.thumbnails import ALL_BYTES

HOSTILE = "<script>alert(1)</script>"
QUOTED = """it's "so" <b>bold</b> & 'more'.jpg"""
BREAKS = "</script><!-- \u2028 <img src=x onerror=alert(1)>"


def made(path: Path, **options: Any) -> Page:
    return done(report(str(path), ReportOptions(**options)))


def differing(old: Path, new: Path, **options: Any) -> Page:
    """The page of a comparison."""
    with Results(str(old)) as one, Results(str(new)) as other:
        return done(changed(compare(one, other), [], ReportOptions(**options)))


def done(work: Generator[Any, None, Page]) -> Page:
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def text_of(page: Page) -> str:
    return "".join(rendered(page))


class Elements(HTMLParser):
    """Every element's name and attributes, as a browser would find them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def hostile(folder: Path) -> Path:
    """A result whose labels, ids and errors are all written to break out."""
    pictures(folder, 3)
    rows = [classified(HOSTILE, 0.9), classified(BREAKS, 0.8, id=QUOTED), failed("non_finite", "x" * 9_000 + HOSTILE)]
    return written(folder / f"{HOSTILE[:8]}.parquet", "classify", rows, model=HOSTILE)


def test_whatever_a_result_says_stays_text(tmp_path: Path) -> None:
    text = text_of(made(hostile(tmp_path)))
    tags = Elements(text).found
    assert [tag for tag, _ in tags].count("script") == 2
    assert all(tag != "b" or not attributes for tag, attributes in tags)
    assert "<b>bold" not in text and "<img src=x" not in text
    assert not [name for tag, attributes in tags for name in attributes if name.startswith("on")]
    assert all(attributes["src"].startswith("data:image/webp;base64,") for tag, attributes in tags if tag == "img")
    assert HOSTILE not in text and html.escape(QUOTED) in text.replace("&#39;", "&#x27;").replace("&#34;", "&quot;")
    assert text.count("x" * 9_000) == 2  # in the table of failures and on its card, whole


def test_what_the_script_reads_cannot_end_its_element(tmp_path: Path) -> None:
    text = text_of(made(hostile(tmp_path)))
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert data is not None
    assert json.loads(data[1]) == [[0, 0, 0.9, 0.8, [1]], [1, 0, 0.8, 0.6, [0]], [2, 1, None, None, []]]
    assert set(data[1]) <= set("[],.0123456789nul")  # numbers, whoever wrote the texts


def test_nothing_in_a_page_leads_outside(tmp_path: Path) -> None:
    text = text_of(made(hostile(tmp_path)))
    leads = [a.get(n) for _, a in Elements(text).found for n in ("src", "href", "action", "data") if n in a]
    assert [one for one in leads if not (one or "").startswith(("#row-", "data:image/webp"))] == []
    policy = next(a["content"] or "" for tag, a in Elements(text).found if a.get("http-equiv"))
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy and "http" not in policy


def test_a_sample_says_what_it_left_out(tmp_path: Path) -> None:
    rows = [classified("cat", n / 100) for n in range(60)] + [failed("empty_file")] * 40
    page = made(written(tmp_path / "a.parquet", "classify", rows), sample=20, seed=4)
    assert len(page.cards) == 20
    assert page.shown == ("20 of 100 rows: the extremes, 10 of 40 failures, and a random rest (--sample 20 --seed 4).")
    assert ("100", "rows") in page.tiles and ("40 (40.0%)", "failed") in page.tiles
    assert {bar.label: bar.count for bar in page.bars[0].bars} == {"cat": 60}


def test_failures_are_listed_by_code_with_their_first_rows(tmp_path: Path) -> None:
    rows = [failed("empty_file", "no bytes"), classified("cat", 0.5), *[failed("non_finite", "NaN")] * 2]
    page = made(written(tmp_path / "a.parquet", "classify", rows))
    assert page.tables[0].rows == (
        ("non_finite", 2, "NaN", [("2.jpg", 2), ("3.jpg", 3)]),
        ("empty_file", 1, "no bytes", [("0.jpg", 0)]),
    )


@pytest.mark.parametrize("suffix", ["tags", "labels"])
def test_many_objects_are_counted_and_all_their_labels_are_found(tmp_path: Path, suffix: str) -> None:
    objects = [seen(f"thing {n}", 0.9 - n / 100, 1, 1, 9, 9) for n in range(30)]
    card = made(written(tmp_path / "a.parquet", "detect", [{"objects": objects}])).cards[0]
    expected = {"tags": (12, "19 more"), "labels": (30, "thing 29")}[suffix]
    found = [tag.label for tag in card.tags] if suffix == "tags" else list(card.labels)
    assert (len(found), found[-1]) == expected


def heavy(kind: str) -> tuple[str, dict[str, Any], dict[str, str]]:
    """A task, a row of it without a picture that holds much text, and further columns."""
    long = '"quoted" & <b>' * 1000
    plain = classified("cat", 0.5)
    return {
        "columns": ("classify", plain, {f"column {n}": long[:6000] for n in range(24)}),
        "errors": ("classify", failed("non_finite", long), {}),
        "labels": ("classify", classified(long[:2000], 0.5), {}),
        "ids": ("classify", plain | {"id": long[:2000]}, {}),
        "objects": ("detect", {"objects": [seen(long[n : n + 900], 0.5, 1, 1, 9, 9) for n in range(60)]}, {}),
    }[kind]


@pytest.mark.parametrize("kind", ["columns", "errors", "labels", "ids", "objects"])
def test_the_text_of_two_thousand_rows_leaves_room_for_their_pictures(tmp_path: Path, kind: str) -> None:
    task, row, columns = heavy(kind)
    path = written(tmp_path / "a.parquet", task, [row | {"source": None}] * 2000)
    table = pq.read_table(path)
    for name, value in columns.items():
        table = table.append_column(name, pa.array([value] * len(table)))
    pq.write_table(table, path)
    assert sum(len(piece.encode()) for piece in rendered(made(path))) < 25e6 - ALL_BYTES


def test_few_rows_are_shown_whole(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet", "classify", [classified("cat", 0.5), failed("non_finite", "é" * 9000)])
    assert made(path).cards[1].error == "é" * 9000


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (float("nan"), "–"), (0.0, "0.000"), (4e-7, "4e-07"), (-0.00123, "-0.0012"), (0.5, "0.500")],
)
def test_a_number_never_hides_that_it_is_not_nothing(value: float | None, shown: str) -> None:
    assert number(value) == shown


def test_scores_of_a_millionth_keep_their_order_and_their_histogram(tmp_path: Path) -> None:
    scores = [1e-7, 4e-7, 2e-7, 3e-7]
    rows = [classified("cat", score) | {"scores": [score, 0.0]} for score in scores]
    page = made(written(tmp_path / "a.parquet", "classify", rows, parameters={"scoring": "sigmoid"}))
    data = re.search(r'id="data">(.*?)</script>', text_of(page), re.DOTALL)
    assert data is not None and [card[2] for card in json.loads(data[1])] == pytest.approx(scores, rel=1e-5)
    [plot] = page.histograms
    assert (plot.title, plot.ticks[0][1], plot.ticks[-1][1], plot.most) == ("Best scores", "1e-07", "4e-07", 1)


def test_hits_of_a_search_become_a_page(tmp_path: Path) -> None:
    rows = [{"query": q, "rank": r, "score": 1 / r, "id": f"{r}.jpg"} for q in ("a cat", "a dog") for r in (1, 2)]
    page = made(written(pictures(tmp_path, 3) / "hits.parquet", "similar", rows))
    assert page.tiles == (("4", "rows"), ("4", "ok"), ("0", "failed"), ("2", "queries"), ("demo", "model"))
    assert [(card.labels, card.score) for card in page.cards] == [
        ((q,), s) for q in ("a cat", "a dog") for s in (1, 0.5)
    ]
    assert [(tag.label, tag.value) for tag in page.cards[1].tags] == [("a cat", "0.500"), ("rank", "2")]
    assert (page.label, page.bars[0].title, page.unsure_means, page.notices) == ("query", "Queries", "", ())
    assert all(card.thumbnail.data for card in page.cards)


def test_a_column_of_a_manifest_is_told_whatever_another_task_calls_its_own(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet", "embed", [{"embedding": [1, 0, 0, 0]}])
    pq.write_table(pq.read_table(path).append_column("label", pa.array(["mine"])), path)
    assert ("label", "mine") in made(path).cards[0].facts


def test_a_comparison_says_which_rows_it_shows_and_how_far_they_drifted(tmp_path: Path) -> None:
    old = [{"embedding": vector} for vector in ([1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0])]
    new = [{"embedding": [0.8, 0.6, 0, 0], "id": "1.jpg"}, old[2] | {"id": "2.jpg"}, {"embedding": None, "id": "new"}]
    paths = [written(tmp_path / f"{n}.parquet", "embed", rows) for n, rows in enumerate((old, new))]
    page = differing(*paths)
    assert [(card.place, card.status) for card in page.cards] == [
        ("old row 1, new row 0", "drifted"),
        ("new row 2", "added"),
        ("old row 0", "removed"),
    ]
    assert [(tag.label, tag.value) for tag in page.cards[0].tags] == [("drift", "0.400")]
    assert page.notices == (f"1 of 3 rows of {paths[0]} is not in {paths[1]}.",)


def test_a_comparison_of_depth_shows_two_maps(tmp_path: Path) -> None:
    pictures(tmp_path, 1)
    paths = []
    for name, level in (("old", 0), ("new", 65535)):
        (tmp_path / name).mkdir()
        ramp = np.full((48, 64), level, np.uint16)
        ramp[:24] = 30_000
        Image.fromarray(ramp).save(tmp_path / name / "d.png")
        row = {"depth_min": 1.0, "depth_max": 2.0 + level, "metric": True, "depth_path": "d.png"}
        paths.append(written(tmp_path / name / "a.parquet", "depth", [row | {"source": f"{tmp_path}/0.jpg"}]))
    seen = differing(*paths).cards[0].thumbnail
    assert (seen.undrawn, seen.height, seen.width) == (None, 48, 64 + 64 + 4)
    light = np.asarray(Image.open(io.BytesIO(seen.data or b"")).convert("L"), np.float32)
    assert light[:20, :60].mean() < light[30:, :60].mean()  # old: the lower half is nearer, so brighter
    assert light[:20, 72:].mean() > light[30:, 72:].mean()  # new: farther, so darker
