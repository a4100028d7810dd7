"""Pages opened from disk in a real browser without a network: Debian's chromium, where it is installed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.report.outputs import classified, failed, pictures, seen, written
from tests.report.test_page import BREAKS, HOSTILE, QUOTED, differing, hostile, made
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
def opened(browser: Any, path: Path, hash: str = "", **more: Any) -> Iterator[Any]:
    """A page from its file; afterwards, that it said nothing, asked nothing and opened no window."""
    context = browser.new_context(viewport={"width": 1200, "height": 800}, **more)
    page, said = context.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: said.append(request.url) if request.url[:5] not in ("data:", "file:") else None)
    page.goto(path.as_uri() + hash)
    yield page
    requests = page.evaluate("performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length")
    assert (said, requests) == ([], 0)
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


def choose(page: Any, name: str, text: str) -> None:
    """Choose what is shown as `text (how many)`."""
    found = page.locator(f"[name={name}] option").all_text_contents()
    [place] = [place for place, one in enumerate(found) if one.rpartition(" (")[0] == text]
    page.select_option(f"[name={name}]", index=place)


def scores() -> list[float]:
    return [n * 7 % 23 / 25 for n in range(23)]


def test_pictures_are_filtered_by_label_status_score_and_id(browser: Any, labelled: Path) -> None:
    with opened(browser, labelled) as page:
        assert shown(page) == list(range(25))
        choose(page, "label", "cat")
        assert shown(page) == list(range(1, 23, 2))
        page.fill("[name=low]", "0.5")
        assert shown(page) == [n for n in range(1, 23, 2) if scores()[n] >= 0.5]
        page.fill("[name=high]", "0.7")
        assert shown(page) == [n for n in range(1, 23, 2) if 0.5 <= scores()[n] <= 0.7]
        page.click("[type=reset]")
        choose(page, "status", "non_finite")
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


def test_the_grid_is_one_stop_of_tab(browser: Any, labelled: Path) -> None:
    with opened(browser, labelled) as page:
        page.focus("[type=reset]")
        inside = []
        for keys in ("Tab", "Tab", "Shift+Tab", "Shift+Tab"):
            page.keyboard.press(keys)
            inside.append(page.evaluate("document.activeElement.closest('.grid') !== null"))
        assert inside == [True, False, True, False]
        assert page.evaluate("document.activeElement.type") == "reset"


@pytest.mark.parametrize("size", [(1200, 800), (700, 420), (390, 700)])
def test_the_card_in_focus_is_never_covered(browser: Any, labelled: Path, size: tuple[int, int]) -> None:
    with opened(browser, labelled) as page:
        page.set_viewport_size(dict(zip(("width", "height"), size, strict=True)))
        page.focus("#row-0")
        for key in ("End", *["ArrowUp"] * 6):
            page.keyboard.press(key)
            top, covered = page.evaluate("""[document.activeElement.getBoundingClientRect().top,
              (bar => getComputedStyle(bar).position === "sticky" ? bar.getBoundingClientRect().bottom : 0)
              (document.querySelector(".controls"))]""")
            assert covered <= top < size[1]


@pytest.mark.parametrize("row", [3, 1500])
def test_a_link_to_a_row_leads_to_its_card(browser: Any, many: Path, row: int) -> None:
    at = f"document.activeElement.id === 'row-{row}'"
    below = "(({top}) => top >= 0 && top < innerHeight)(document.activeElement.getBoundingClientRect())"
    with opened(browser, many, hash=f"#row-{row}") as page:
        page.wait_for_function(f"{at} && {below}")
        page.evaluate("location.hash = '#row-7'")
        page.wait_for_function("document.activeElement.id === 'row-7'")
        page.fill("[name=text]", "no such id")
        page.evaluate(f"location.hash = '#row-{row}'")
        page.wait_for_function(f"{at} && {below}")
        assert page.input_value("[name=text]") == ""


def test_labels_of_any_letters_can_be_chosen(browser: Any, tmp_path: Path) -> None:
    labels = ["cat\r\nx", "a\0b", "  blanks  ", "", "ok", "ok"]
    path = written(pictures(tmp_path, 6) / "a.parquet", "classify", [classified(label, 0.5) for label in labels])
    write(made(path), tmp_path / "a.html")
    with opened(browser, tmp_path / "a.html") as page:
        found = {}
        for place in range(1, page.locator("[name=label] option").count()):
            page.select_option("[name=label]", index=place)
            found[tuple(shown(page))] = page.locator("[name=label] option").nth(place).text_content()
        assert set(found) == {(0,), (1,), (2,), (3,), (4, 5)}
        assert found[(3,)] == "(no text) (1)"


def test_the_map_does_not_push_what_is_below_it(browser: Any, tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(12, 4))
    path = written(pictures(tmp_path, 12) / "a.parquet", "embed", [{"embedding": vector} for vector in vectors])
    write(made(path), tmp_path / "a.html")
    places = "[...document.querySelectorAll('.map svg, .pictures, .sections > section')].map(one => one.offsetTop)"
    with opened(browser, tmp_path / "a.html") as page:
        for width in (700, 900, 1200, 1900):
            page.set_viewport_size({"width": width, "height": 800})
            before = page.evaluate(places)
            for dot in (0, 5, 11):
                page.locator(".map circle").nth(dot).hover(force=True)
                assert page.locator(".map .seen img").count() == 1
                assert page.evaluate(places) == before


def test_what_did_not_change_is_a_sentence_and_no_filters(browser: Any, tmp_path: Path) -> None:
    path = written(pictures(tmp_path, 3) / "a.parquet", "classify", [classified("cat", 0.9)] * 3)
    write(differing(path, path), tmp_path / "a.html")
    with opened(browser, tmp_path / "a.html") as page:
        assert page.locator(".pictures").inner_text() == "Pictures\n\nNo row changed."
        assert page.locator(".controls, dialog, script").count() == 0


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
        choose(page, "label", HOSTILE)
        assert page.locator(".card:visible").count() == 1
        page.locator(".card:visible").click()
        assert page.locator("dialog .tags span").first.text_content() == HOSTILE
        page.keyboard.press("Escape")
        page.select_option("[name=label]", "")
        full = page.locator(".failed .long span").text_content()
        assert full == "x" * 9_000 + HOSTILE


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2,000 rows of 40 pictures and 30 labels."""
    folder = pictures(tmp_path_factory.mktemp("many"), 40, (480, 640))
    rows = [classified(f"label {n % 30}", n % 97 / 97, source=str(folder / f"{n % 40}.jpg")) for n in range(2000)]
    write(made(written(folder / "a.parquet", "classify", rows)), folder / "a.html")
    return folder / "a.html"


TIMED = """place => new Promise(done => {
  const form = document.forms[0], start = performance.now();
  form.elements.label.selectedIndex = place;
  form.elements.label.dispatchEvent(new Event("input", {bubbles: true}));
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
})"""  # ms to the next frame


def test_two_thousand_rows_answer_within_a_fifth_of_a_second(browser: Any, many: Path) -> None:
    assert many.stat().st_size < 25e6
    with opened(browser, many) as page:
        took = [page.evaluate(TIMED, place) for place in (4, 0, 8, 0, 10)]
        assert page.locator(".card").count() == 67
        assert min(took[::2]) < 200 and min(took[1::2]) < 200  # with a label, and without again
        page.select_option("[name=label]", "")
        page.focus("#row-0")
        page.keyboard.press("End")
        assert page.evaluate("document.activeElement.id") == "row-1999"


def test_a_hundred_objects_on_each_of_two_thousand_rows_answer_as_fast(browser: Any, tmp_path: Path) -> None:
    objects = [seen(f"thing {k % 40}", 0.9 - k / 200, k, 9, k + 40, 99) for k in range(100)]
    rows = [{"objects": objects[n % 70 :], "source": None} for n in range(2000)]
    write(made(written(tmp_path / "a.parquet", "detect", rows)), tmp_path / "a.html")
    with opened(browser, tmp_path / "a.html") as page:
        took = [page.evaluate(TIMED, place) for place in (4, 0, 8, 0, 10, 0)]
        assert min(took[::2]) < 200 and min(took[1::2]) < 200
        page.focus("#row-0")
        page.keyboard.press("End")
        assert page.evaluate("document.activeElement.id") == "row-1999"
        assert page.evaluate("document.activeElement.getBoundingClientRect().top < innerHeight")
