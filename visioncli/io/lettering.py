"""Text for a drawing: a font that has its letters, and as much of it as there is room for.

Pillow's own font has little more than ASCII. What it lacks is taken from a font of the system, where one of FONTS has
all of a text's letters; else each missing letter shows as `\\uNNNN`, never as an empty box. Knows nothing of pictures.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import TypeAlias

from PIL import ImageFont

Font: TypeAlias = ImageFont.FreeTypeFont

FONTS = (  # file names that Pillow looks up in the system's font folders: Linux, macOS, Windows
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "NotoSansCJK-Regular.ttc",
    "wqy-microhei.ttc",
    "DroidSansFallbackFull.ttf",
    "Arial Unicode.ttf",
    "arial.ttf",
    "msyh.ttc",
    "NotoSansDevanagari-Regular.ttf",
    "NotoSansThai-Regular.ttf",
)
MOST_CHARACTERS = 200  # of a label; the rest is never seen
_MISSING = "\U0010ffff"  # Unicode promises that it is no character: a font shows its empty box


@lru_cache(maxsize=1024)
def lettered(text: str, size_px: int) -> tuple[Font, str]:
    """Return a font, and the text as it can be written in it: one line, without invisible characters."""
    shown = _visible(text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}…")
    for name in (None, *FONTS):
        font = _font(name, size_px)
        if font is not None and not _lacking(font, shown):
            return font, shown
    own = _font(None, size_px)
    assert own is not None
    lacking = _lacking(own, shown)
    return own, "".join(_escaped(c) if c in lacking else c for c in shown)


def fitted(label: str, score: str, size_px: int, width_px: float) -> tuple[Font, str]:
    """Return a font and `label score`, the label cut with an ellipsis to fit; the score alone; or nothing at all."""
    font, shown = lettered(label, size_px)
    whole = f"{shown} {score}".strip()
    if font.getlength(whole) <= width_px:
        return font, whole
    fewest, most = 0, len(shown)  # `fewest` characters fit with the rest
    while fewest < most:
        middle = (fewest + most + 1) // 2
        fits = font.getlength(f"{shown[:middle].rstrip()}… {score}") <= width_px
        fewest, most = (middle, most) if fits else (fewest, middle - 1)
    if fewest:
        return font, f"{shown[:fewest].rstrip()}… {score}"
    return font, score if font.getlength(score) <= width_px else ""


def _visible(text: str) -> str:
    """Without control and direction characters: those would turn the score round, or break the line."""
    return "".join(c for c in " ".join(text.split()) if unicodedata.category(c) not in ("Cc", "Cf"))


def _lacking(font: Font, text: str) -> set[str]:
    empty = bytes(font.getmask(_MISSING))
    return {c for c in set(text) if not c.isspace() and bytes(font.getmask(c)) == empty}


def _escaped(character: str) -> str:
    return character.encode("ascii", "backslashreplace").decode()


@lru_cache(maxsize=256)
def _font(name: str | None, size_px: int) -> Font | None:
    """A font of the system by its file's name, Pillow's own for None; None where the system has it not."""
    try:
        font = ImageFont.load_default(size_px) if name is None else ImageFont.truetype(name, size_px)
    except OSError:
        return None
    return font if isinstance(font, ImageFont.FreeTypeFont) else None
