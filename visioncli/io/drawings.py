"""What was found in a picture, drawn on it: translucent masks, boxes, labels with scores; and a mask as a picture.

For eyes, not for programs: a label has the same colour in every picture, and its text is legible on any ground, or
left out where the picture has no room for it. Drawn with Pillow: the supervision library would pull av, matplotlib,
scipy and more (0.6 s to import) for what stands here. Knows nothing of paths, rows or models.
"""

from __future__ import annotations

import io
from colorsys import hsv_to_rgb
from hashlib import blake2b
from math import sqrt
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from visioncli.io.lettering import Font, fitted
from visioncli.tasks.objects import Objects, Rings, Rle

Colour: TypeAlias = tuple[int, int, int]
Plate: TypeAlias = tuple[int, int, int, int]  # x0 y0 x1 y1 of a text's ground, pixels of the drawing

MOST_SIDE = 65_500  # libjpeg's JPEG_MAX_DIMENSION
LEAST_FONT_PX = 7  # below it letters are blots
_FILL, _RIM = 0.45, 0.9  # opacity of a mask, and of its rim
_QUALITY = 90  # of the JPEG; colour at full resolution, or thin lines turn grey
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)


def overlay(image: NDArray[np.uint8], found: Objects, size: tuple[int, int]) -> bytes:
    """Return a JPEG of `drawn`. A picture with a side above MOST_SIDE is made smaller."""
    file = io.BytesIO()
    drawn(image, found, size).save(file, "JPEG", quality=_QUALITY, subsampling=0)
    return file.getvalue()


def drawn(
    image: NDArray[np.uint8],
    found: Objects,
    size: tuple[int, int],
    *,
    lettered: bool = True,
    line_px: int | None = None,
) -> Image.Image:
    """Return `image` with what was found drawn on it, best on top; labels and scores are written if `lettered`.

    `image` (h, w, 3) is RGB, perhaps a scaled decoding; `size` (H, W) is the upright original's, in whose pixels boxes
    and masks are. A mask of another size is of the whole picture too.
    """
    picture = _drawable(image)
    height, width = picture.height, picture.width
    font_px = _font_px(height, width)
    line = line_px or max(1, round(font_px / 7))
    colours = [colour_of(label) for label in found.labels]
    for number in reversed(range(len(colours))):
        mask = _mask_of(found, number, size)
        if mask is not None:
            _tint(picture, mask, colours[number], line)
    draw = ImageDraw.Draw(picture)
    boxes = _scaled(found.boxes, size, (height, width))  # (N, 4)
    for number in reversed(range(len(colours))):
        _frame(draw, boxes[number], colours[number], line)
    if lettered and font_px >= LEAST_FONT_PX:
        _letter(draw, found, boxes, colours, font_px)
    return picture


def mask_png(mask: Rle) -> bytes:
    """Return a mask as a grey PNG of the upright original's size: 255 where the object is, else 0."""
    file = io.BytesIO()
    pixels = np.ascontiguousarray(_decoded(mask)) * np.uint8(255)
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)  # 0.2 s for 12 megapixels
    return file.getvalue()


def colour_of(label: str) -> Colour:
    """Return a label's colour: strong, of any hue, the same in every picture and run."""
    digest = blake2b(label.encode("utf-8", "surrogatepass"), digest_size=4).digest()
    hue, saturation, value = int.from_bytes(digest[:2]) / 65536, digest[2] / 255, digest[3] / 255
    red, green, blue = hsv_to_rgb(hue, 0.5 + 0.4 * saturation, 0.8 + 0.2 * value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _drawable(image: NDArray[np.uint8]) -> Image.Image:
    """Our own copy, small enough for a JPEG."""
    picture = Image.fromarray(image).copy()  # fromarray shares the array's memory
    shrink = MOST_SIDE / max(picture.size)
    if shrink >= 1:
        return picture
    return picture.resize((max(1, int(picture.width * shrink)), max(1, int(picture.height * shrink))))


def _font_px(height: int, width: int) -> int:
    """14 for 640 × 480, 30 for 1920 × 1080, 66 for 12 megapixels; less in a strip, so that a score fits."""
    return min(max(10, round(4 + 0.018 * sqrt(height * width))), height // 2, width // 5)


def _scaled(boxes: NDArray[np.float32], size: tuple[int, int], drawn: tuple[int, int]) -> NDArray[np.intp]:
    """(N, 4) in pixels of `size` -> (N, 4) first and last column and row in pixels of `drawn`, inside it."""
    scale = np.array([drawn[1] / size[1], drawn[0] / size[0]] * 2)
    corners = boxes.astype(np.float64) * scale
    last = np.array([drawn[1] - 1, drawn[0] - 1])
    first = np.clip(np.floor(corners[:, :2]), 0, last)
    return np.concatenate([first, np.clip(np.ceil(corners[:, 2:]) - 1, first, last)], axis=1).astype(np.intp)


def _mask_of(found: Objects, number: int, size: tuple[int, int]) -> NDArray[np.uint8] | None:
    """(H, W) of 0 and 1, pixels of the upright original; None where there is none."""
    if found.masks is not None:
        return _decoded(found.masks[number])
    if found.polygons is not None and found.polygons[number]:
        return _filled(found.polygons[number], size)
    return None


def _filled(rings: Rings, size: tuple[int, int]) -> NDArray[np.uint8]:
    from pycocotools.mask import frPyObjects, merge

    return _decoded(Rle(size, merge(frPyObjects(rings, *size))["counts"].decode("ascii")))


def _decoded(mask: Rle) -> NDArray[np.uint8]:
    """(H, W) of 0 and 1; column by column in memory, as COCO counts.

    pycocotools 2.0.11's own decode warns under numpy 2.4 at each call, and a warning is not silenced for one thread.
    """
    runs = _runs(np.frombuffer(mask.counts.encode("ascii"), np.uint8))
    values = np.arange(len(runs), dtype=np.uint8) % 2  # the first run is of zeros
    return values.repeat(runs).reshape(mask.size[::-1]).T


def _runs(counts: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Characters -> lengths of runs: rleFrString of pycocotools' maskApi.c.

    A number is groups of five bits from 48 on, the lowest first; 32 says that another follows, and 16 in the last that
    it is negative. From the fourth on, a number is the difference to the one before the last.
    """
    bits = counts.astype(np.int64) - 48
    firsts = np.flatnonzero(np.concatenate([[True], bits[:-1] < 32]))  # of the groups of each number
    lasts = np.append(firsts[1:], len(bits)) - 1
    places = np.arange(len(bits)) - np.repeat(firsts, lasts - firsts + 1)
    runs = np.add.reduceat((bits & 31) << (5 * places), firsts)
    runs -= np.where(bits[lasts] & 16, 1 << (5 * (places[lasts] + 1)), 0)
    runs[1::2], runs[2::2] = runs[1::2].cumsum(), runs[2::2].cumsum()
    return runs


def _tint(picture: Image.Image, mask: NDArray[np.uint8], colour: Colour, rim_px: int) -> None:
    """Colour the mask's pixels (H, W) in the picture, in place; its rim more than the rest."""
    small = _shrunk(mask, (picture.height, picture.width))  # (h, w)
    rows, columns = np.flatnonzero(small.any(axis=1)), np.flatnonzero(small.any(axis=0))
    if not rows.size:
        return
    y, x = rows[0], columns[0]
    inside = np.ascontiguousarray(small[y : rows[-1] + 1, x : columns[-1] + 1])
    opacity = inside * np.uint8(_RIM * 255)
    opacity[_eroded(inside, rim_px)] = round(_FILL * 255)
    picture.paste(colour, (int(x), int(y)), Image.fromarray(opacity))


def _shrunk(mask: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.bool_]:
    """(H, W) -> (h, w): the value under each pixel's centre."""
    if mask.shape == size:
        return mask.view(np.bool_)
    rows, columns = (((np.arange(n) + 0.5) * m / n).astype(np.intp) for n, m in zip(size, mask.shape, strict=True))
    return mask[np.ix_(rows, columns)].view(np.bool_)


def _eroded(mask: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """(h, w) -> (h, w) without what is nearer than `by` to the outside, up, down, left or right."""
    around = np.pad(mask, by)
    across = around[by:-by, : -2 * by] & around[by:-by, 2 * by :]
    return mask & across & around[: -2 * by, by:-by] & around[2 * by :, by:-by]


def _frame(draw: ImageDraw.ImageDraw, box: NDArray[np.intp], colour: Colour, line: int) -> None:
    """A line inside the box, with a dark hair on both sides where there is room, so that it shows on its own colour."""
    x0, y0, x1, y1 = box.tolist()
    if line > 1:
        draw.rectangle((x0 - 1, y0 - 1, x1 + 1, y1 + 1), outline=_BLACK, width=line + 2)
    draw.rectangle((x0, y0, x1, y1), outline=colour, width=line)


def _letter(
    draw: ImageDraw.ImageDraw, found: Objects, boxes: NDArray[np.intp], colours: list[Colour], font_px: int
) -> None:
    """Write each label and score on a plate of its colour: the best ones get the free places, and lie on top."""
    width, height = draw.im.size
    pad = max(1, font_px // 5)
    plates: list[Plate] = []
    todo: list[tuple[Plate, str, Font, Colour]] = []
    for number, (label, score) in enumerate(zip(found.labels, found.scores.tolist(), strict=True)):
        font, text = fitted(label, f"{score:.2f}", font_px, width - 2 * pad)
        ascent, descent = font.getmetrics()
        extent = int(np.ceil(font.getlength(text))) + 2 * pad, ascent + descent + pad
        if not text or extent[1] > height:
            continue
        plate = _place(boxes[number].tolist(), extent, (width, height), plates)
        plates.append(plate)
        todo.append((plate, text, font, colours[number]))
    for plate, text, font, colour in reversed(todo):
        draw.rectangle((plate[0], plate[1], plate[2] - 1, plate[3] - 1), fill=colour)
        draw.text((plate[0] + pad, plate[1] + pad // 2), text, fill=_ink(colour), font=font)


def _place(box: list[int], extent: tuple[int, int], size: tuple[int, int], taken: list[Plate]) -> Plate:
    """A plate at a box, inside the picture: above it, in it, below it; the first of these where no other lies."""
    x0, y0, _, y1 = box
    width, height = extent
    x = max(0, min(x0, size[0] - width))
    tops = [y for y in (y0 - height, y0, y1 + 1 - height, y1 + 1) if 0 <= y <= size[1] - height]
    plates = [(x, y, x + width, y + height) for y in tops or [max(0, min(y0, size[1] - height))]]
    others = np.array(taken, np.intp).reshape(-1, 4)
    free = (p for p in plates if not ((others[:, :2] < p[2:]) & (others[:, 2:] > p[:2])).all(axis=1).any())
    return next(free, plates[0])


def _ink(ground: Colour) -> Colour:
    """Black or white, whichever has the higher contrast (WCAG 2.2: equal at a relative luminance of 0.179)."""
    red, green, blue = ((share / 255) ** 2.2 for share in ground)
    return _BLACK if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 else _WHITE
