"""Pages opened from disk in a real browser without a network: Debian's chromium, where it is installed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.report.outputs import classified, failed, pictures, written
from tests.report.test_page import BREAKS, HOSTILE, QUOTED, hostile, made
from visioncli.report import write

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@contextmanager
def opened(browser: Any, path: Path, **more: Any) -> Iterator[Any]:
    """A page from its file; afterwards, that it said nothing, asked nothing and opened no window."""
    context = browser.new_context(viewport={"width": 1200, "height": 800}, **more)
    page, seen = context.new_page(), []
    page.on("console", lambda message: seen.append(message.text))
    page.on("pageerror", lambda error: seen.append(str(error)))
    page.on("dialog", lambda dialog: (seen.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: seen.append(request.url) if request.url[:5] not in ("data:", "file:") else None)
    page.goto(path.as_uri())
    yield page
    requests = page.evaluate("performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length")
    assert (seen, requests) == ([], 0)
    context.close()


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """23 cats and dogs whose scores are n/25, and two failures; each picture is on disk."""
    folder = pictures(tmp_path_factory.mktemp("labelled"), 25)
    rows = [classified("cat" if n % 2 else "dog", n * 7 % 23 / 25) for n in range(23)]
    rows += [failed("empty_file"), failed("non_finite")]
    write(made(written(folder / "a.parquet", "classify", rows)), folder / "a.html")
    return folder / "a.html"


def shown(page: Any) -> list[int]:
    ids = page.locator(".card:visible .id").all_text_contents()
    return [int(id.removesuffix(".jpg")) for id in ids]


def scores() -> list[float]:
    return [n * 7 % 23 / 25 for n in range(23)]


def test_pictures_are_filtered_by_label_status_score_and_id(browser: Any, labelled: Path) -> None:
    with opened(browser, labelled) as page:
        assert shown(page) == list(range(25))
        page.select_option("[name=label]", "cat")
        assert shown(page) == list(range(1, 23, 2))
        page.fill("[name=low]", "0.5")
        assert shown(page) == [n for n in range(1, 23, 2) if scores()[n] >= 0.5]
        page.fill("[name=high]", "0.7")
        assert shown(page) == [n for n in range(1, 23, 2) if 0.5 <= scores()[n] <= 0.7]
        page.click("[type=reset]")
        page.select_option("[name=status]", "non_finite")
        assert (shown(page), page.text_content("output")) == ([24], "1 of 25")
        page.click("[type=reset]")
        page.fill("[name=text]", "13")
        assert shown(page) == [13]


def test_pictures_are_sorted_by_score_and_by_certainty(browser: Any, labelled: Path) -> None:
    with opened(browser, labelled) as page:
        ascending = sorted(range(23), key=lambda n: scores()[n])
        for order, expected in (("low", ascending), ("high", ascending[::-1]), ("unsure", ascending)):
            page.select_option("[name=order]", order)
            assert shown(page) == [*expected, 23, 24]  # margin = 2 score - 1; failures have neither
        page.select_option("[name=order]", "row")
        assert shown(page) == list(range(25))


def test_the_grid_is_walked_and_opened_from_the_keyboard(browser: Any, labelled: Path) -> None:
    def at(page: Any) -> str:
        return str(page.evaluate("document.activeElement.id"))

    with opened(browser, labelled) as page:
        page.focus("#row-0")
        wide = len(page.evaluate("getComputedStyle(document.querySelector('.grid')).gridTemplateColumns").split())
        for key, row in (("ArrowRight", 1), ("ArrowDown", 1 + wide), ("ArrowLeft", wide), ("End", 24), ("Home", 0)):
            page.keyboard.press(key)
            assert at(page) == f"row-{row}"
        page.keyboard.press("Enter")
        assert page.locator("dialog .id").text_content() == "0.jpg"
        page.keyboard.press("ArrowRight")
        assert page.locator("dialog .place").text_content() == "2 of 25"
        page.keyboard.press("Escape")
        page.wait_for_function(
            "document.activeElement.id === 'row-1'"
        )  # the dialog tells that it closed a little later
        assert not page.locator("dialog").is_visible()
        assert page.locator(".card[tabindex='0']").count() == 1  # one stop of Tab for the whole grid


def test_without_javascript_tables_and_pictures_are_there(browser: Any, labelled: Path) -> None:
    with opened(browser, labelled, java_script_enabled=False) as page:
        assert (page.locator(".card:visible").count(), page.locator(".controls").is_visible()) == (25, False)
        assert page.locator(".card img").count() == 25
        assert page.locator("h2").all_text_contents() == [
            "Failures",
            "Scores",
            "Labels",
            "Pictures",
            "What produced this",
        ]
        page.locator(".card summary").nth(2).click()
        assert "0.56" in page.locator(".card .more dl").nth(2).inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1200])
def test_text_is_readable_and_nothing_is_cut_off(browser: Any, labelled: Path, scheme: str, width: int) -> None:
    with opened(browser, labelled, color_scheme=scheme) as page:
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for selector in ("h1", ".id", ".tiles dt", ".tags b", ".failed .status", "td a", "summary"):
            ink = page.eval_on_selector(selector, "one => getComputedStyle(one).color")
            ground = page.eval_on_selector("body", "one => getComputedStyle(one).backgroundColor")
            assert contrast(ink, ground) >= 4.5, selector  # WCAG 2.2, 1.4.3


def contrast(one: str, other: str) -> float:
    lights = []
    for colour in (one, other):
        share = np.array([int(part) for part in colour[4:-1].split(",")]) / 255
        linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
        lights.append(float(linear @ [0.2126, 0.7152, 0.0722]))
    return (max(lights) + 0.05) / (min(lights) + 0.05)


def test_hostile_text_is_text_to_the_browser_too(browser: Any, tmp_path: Path) -> None:
    write(made(hostile(tmp_path)), tmp_path / "a.html")
    with opened(browser, tmp_path / "a.html") as page:
        first = page.locator(".card .tags li:first-child span").all_text_contents()
        assert first == [HOSTILE, BREAKS]
        assert page.locator(".id").nth(1).text_content() == QUOTED
        page.select_option("[name=label]", HOSTILE)
        assert page.locator(".card:visible").count() == 1
        page.locator(".card:visible").click()
        assert page.locator("dialog .tags span").first.text_content() == HOSTILE
        page.keyboard.press("Escape")
        page.select_option("[name=label]", "")
        full = page.locator(".failed .long span").text_content()
        assert full == "x" * 9_000 + HOSTILE


def test_two_thousand_rows_answer_within_a_fifth_of_a_second(browser: Any, tmp_path: Path) -> None:
    pictures(tmp_path, 40, (480, 640))
    rows = [classified(f"label {n % 30}", n % 97 / 97, source=str(tmp_path / f"{n % 40}.jpg")) for n in range(2000)]
    write(made(written(tmp_path / "a.parquet", "classify", rows)), tmp_path / "a.html")
    assert (tmp_path / "a.html").stat().st_size < 25e6
    timed = """name => new Promise(done => {
      const form = document.forms[0], start = performance.now();
      form.elements.label.value = name;
      form.elements.label.dispatchEvent(new Event("input", {bubbles: true}));
      requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
    })"""
    with opened(browser, tmp_path / "a.html") as page:
        took = [page.evaluate(timed, name) for name in ("label 3", "", "label 7", "", "label 9")]
        assert page.evaluate("document.querySelectorAll('.card:not([hidden])').length") == 67
        assert min(took[::2]) < 200 and min(took[1::2]) < 200  # ms to the next frame: with a label, and without again
        page.select_option("[name=label]", "")
        page.focus("#row-0")
        page.keyboard.press("End")
        assert page.evaluate("document.activeElement.id") == "row-1999"
