"""Lettering: what a font lacks is seen to be lacking, what has no room is cut, and what would mislead is left out."""

from __future__ import annotations

import pytest

from visioncli.io.lettering import fitted, lettered


def escaped(letter: str) -> str:
    return letter if letter.isascii() else f"\\u{ord(letter):04x}"


LONG = "a label that goes on and on until nobody reads it any more"


@pytest.mark.parametrize("text", ["dog", "a red car", "50 % (half)", "x" * 200])
def test_plain_text_stays_as_it_is_in_the_font_that_is_always_there(text: str) -> None:
    font, shown = lettered(text, 14)
    assert shown == text
    assert font.getname()[0] == "Aileron"  # comes with Pillow


@pytest.mark.parametrize(("text", "shown"), [("a\U0010fffdb", "a\\U0010fffdb"), ("\ue123", "\\ue123")])
def test_a_letter_that_no_font_has_shows_its_number(text: str, shown: str) -> None:
    assert lettered(text, 14)[1] == shown


@pytest.mark.parametrize("text", ["猫", "Çédille", "собака", "हिन्दी", "คน"])
def test_a_letter_is_never_an_empty_box(text: str) -> None:
    font, shown = lettered(text, 40)
    box = bytes(font.getmask("\uffff"))
    assert all(bytes(font.getmask(letter)) != box for letter in shown)
    assert shown == text or shown == "".join(map(escaped, text))


def test_what_is_not_seen_is_left_out() -> None:
    assert lettered(" a\tb\n\nc\x07 \u202ed\u200be\ufeff ", 14)[1] == "a b c de"


@pytest.mark.parametrize("width", [*range(0, 200, 7), 400, 4000])
@pytest.mark.parametrize("label", ["", "dog", LONG, "W" * 5000])
def test_text_is_never_wider_than_its_room(label: str, width: int) -> None:
    font, text = fitted(label, "0.93", 14, width)
    assert font.getlength(text) <= width
    assert text == "" or text.endswith("0.93")
    shown = text.removesuffix("0.93").rstrip()
    assert shown == label or (shown.endswith("…") and label.startswith(shown[:-1])) or shown == ""


def test_as_much_of_a_label_is_shown_as_fits() -> None:
    font, text = fitted(LONG, "0.93", 14, 200)
    shown = text.removesuffix("… 0.93")
    longer = LONG[: len(shown) + 2]
    assert LONG.startswith(shown)
    assert font.getlength(f"{longer}… 0.93") > 200
    assert fitted(LONG, "0.93", 14, 4000)[1] == f"{LONG} 0.93"
