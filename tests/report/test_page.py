"""Pages as text: what is in them, what is escaped, and how large they are."""

from __future__ import annotations

import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.report.outputs import classified, failed, pictures, seen, written
from visioncli.report import Page, ReportOptions, report
from visioncli.report.page import rendered

HOSTILE = "<script>alert(1)</script>"
QUOTED = """it's "so" <b>bold</b> & 'more'.jpg"""
BREAKS = "</script><!-- \u2028 <img src=x onerror=alert(1)>"


def made(path: Path, **options: Any) -> Page:
    work = report(str(path), ReportOptions(**options))
    while True:
        try:
            next(work)
        except StopIteration as end:
            page: Page = end.value
            return page


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
    assert set("<>&\u2028") & set(data[1]) == set()
    assert json.loads(data[1])["labels"] == sorted([HOSTILE, BREAKS])


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
