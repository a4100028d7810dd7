"""Texts from outside, as UTF-8 can hold them."""

import pytest

from visioncli.samples import legible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("猫 é", "猫 é"),
        ("\udcff\udcfe", r"\xff\xfe"),
        ("é\udcff", r"é\xff"),
        ("\udcc3\udca9", "é"),  # the two bytes of é, which somebody took for other letters
        ("\ud83d!", r"\ud83d!"),
        ("\udcff\ud83d", r"\udcff\ud83d"),
    ],
)
def test_any_text_becomes_one_that_utf8_can_hold(text: str, shown: str) -> None:
    assert legible(text) == shown
    assert legible(text).encode().decode() == shown
