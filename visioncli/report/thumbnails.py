"""Rows to small pictures: read, decoded by the one decoder, drawn on, encoded within a number of bytes.

A picture that cannot be had is a sentence. Knows nothing of pages.
"""

from __future__ import annotations

import base64
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from visioncli.errors import RowError
from visioncli.io.decode import DecodeOptions, decode
from visioncli.report.album import Album
from visioncli.report.overlays import Drawn, Pixels, Row

ALL_BYTES = 16_500_000  # of all pictures in a page, as text: with the rows' text, 2,000 stay under 25 MB
_MOST_SIDE, _LEAST_SIDE = 480, 200  # pixels of a thumbnail's longer side, for few and for many
_LEAST_BYTES, _MOST_BYTES = 2_000, 60_000  # of one
_QUALITIES = (82, 70, 55, 40, 25)


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """`data` is a WebP file of `height` × `width` pixels; None where there is only `reason`."""

    data: bytes | None = None
    height: int = 0
    width: int = 0
    reason: str | None = None
    note: str | None = None  # what is odd about the picture
    undrawn: str | None = None  # why what was found is not on it

    @property
    def uri(self) -> str:
        return "data:image/webp;base64," + base64.b64encode(self.data or b"").decode()


@dataclass(frozen=True, slots=True)
class Frame:
    """How large thumbnails are."""

    side: int  # pixels of the picture's longer side
    most: int  # bytes of the file

    @classmethod
    def of(cls, count: int) -> Frame:
        """Return what leaves room for `count` thumbnails in one page."""
        most = ALL_BYTES * 3 // 4 // max(1, count)  # base64 takes four characters for three bytes
        side = _MOST_SIDE if count <= 200 else 320 if count <= 800 else _LEAST_SIDE
        return cls(side, min(max(most, _LEAST_BYTES), _MOST_BYTES))


def thumbnail(row: Row, draw: Drawn, folder: Path, album: Album, frame: Frame) -> Thumbnail:
    """Return a row's picture as `draw` makes it; `folder` is where the row's paths start. Any thread."""
    if row["source"] is None:
        return Thumbnail(reason="no picture")
    try:
        data = album.read(row["source"], row["id"])
        image = _small(decode(data, DecodeOptions(), (frame.side, frame.side)).image, frame.side)
    except RowError as error:
        return Thumbnail(reason=str(error))
    note = None
    if row.get("sha256") and hashlib.sha256(data).hexdigest() != row["sha256"]:
        note = "the picture has changed since the run"
    undrawn = None
    try:
        picture = draw(image, row, folder)
    except (RowError, OSError, ValueError) as error:
        picture, undrawn = Image.fromarray(image), str(getattr(error, "strerror", None) or error)
    return Thumbnail(encoded(picture, frame.most), picture.height, picture.width, note=note, undrawn=undrawn)


def _small(image: Pixels, side: int) -> Pixels:
    """(H, W, 3) -> no side longer than `side`, as large as it is otherwise."""
    shrink = side / max(image.shape[:2])
    if shrink >= 1:
        return image
    height, width = (max(1, round(n * shrink)) for n in image.shape[:2])
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3))


def encoded(picture: Image.Image, most: int) -> bytes:
    """Return a WebP of at most `most` bytes: of lesser quality, then of fewer pixels."""
    for quality in _QUALITIES:
        file = io.BytesIO()
        picture.save(file, "WEBP", quality=quality, method=2)
        if file.tell() <= most:
            break
    if file.tell() > most and max(picture.size) > 16:
        return encoded(picture.resize((max(1, picture.width * 2 // 3), max(1, picture.height * 2 // 3))), most)
    return file.getvalue()
