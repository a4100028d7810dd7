"""The few EXIF fields that the house uses: orientation, and what metric depth may know of the lens.

Damaged EXIF raises whatever Pillow raises; `decode.py`, which calls this, takes it for no EXIF.
"""

from __future__ import annotations

from collections.abc import Mapping

from PIL import Image

_ORIENTATION = 0x0112
_EXIF_IFD = 0x8769
_FIELDS = {  # EXIF 2.32, table 4 and 8: tag -> our name
    0x010F: "make",
    0x0110: "model",
    _ORIENTATION: "orientation",
    0x920A: "focal_length_mm",
    0xA405: "focal_length_35mm",
}


def read_orientation(image: Image.Image) -> int:
    """Return 1 to 8 (EXIF 2.32, 4.6.4 A); 1 where there is none."""
    orientation = int(image.getexif().get(_ORIENTATION, 1))
    return orientation if 1 <= orientation <= 8 else 1


def read_exif(image: Image.Image) -> Mapping[str, object] | None:
    """Return make, model, orientation, focal_length_mm and focal_length_35mm as far as they are there, else None."""
    exif = image.getexif()
    tags = {**exif, **exif.get_ifd(_EXIF_IFD)}
    fields = {name: _plain(tags[tag]) for tag, name in _FIELDS.items() if tag in tags}
    return {name: value for name, value in fields.items() if value is not None} or None


def _plain(value: object) -> str | int | float | None:
    """A Python value that can be pickled and compared: rationals become floats."""
    if isinstance(value, str):
        return value.strip("\x00 ") or None
    if isinstance(value, int):
        return value
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
