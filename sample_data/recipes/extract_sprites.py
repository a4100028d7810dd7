"""Cut the sprites out of Noto Color Emoji. Needed only to change the set: the sprites are committed.

Usage: python extract_sprites.py /path/to/NotoColorEmoji.ttf
"""

from __future__ import annotations

import sys
from pathlib import Path

from concepts import GROUPS, stem
from PIL import Image, ImageDraw, ImageFont

SPRITES = Path(__file__).parent / "sprites"
BITMAP_SIZE = 109  # the only bitmap strike the font holds: 136 x 128 pixels a glyph


def draw_glyph(glyph: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    """One emoji at the font's own resolution, cropped to what is painted, as RGBA."""
    canvas = Image.new("RGBA", (160, 160), (0, 0, 0, 0))
    ImageDraw.Draw(canvas).text((8, 8), glyph, font=font, embedded_color=True)
    box = canvas.getchannel("A").getbbox()
    if box is None:
        raise SystemExit(f"the font has no picture for {glyph!r} (U+{ord(glyph):X})")
    return canvas.crop(box)


def sprite_name(concept: str, variant: int) -> str:
    """`cat.png` for the first variant, then `cat_2.png`, `cat_3.png`."""
    return f"{stem(concept)}.png" if variant == 0 else f"{stem(concept)}_{variant + 1}.png"


def main(font_path: str) -> None:
    """Write every sprite of `GROUPS` into the sprites folder."""
    font = ImageFont.truetype(font_path, size=BITMAP_SIZE)
    SPRITES.mkdir(exist_ok=True)
    for members in GROUPS.values():
        for concept, glyphs in members.items():
            for variant, glyph in enumerate(glyphs):
                draw_glyph(glyph, font).save(SPRITES / sprite_name(concept, variant), optimize=True)


if __name__ == "__main__":
    main(sys.argv[1])
