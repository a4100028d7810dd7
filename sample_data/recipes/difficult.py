"""Make sample_data/difficult: small files, each with one difficulty. The same bytes each time, for one Pillow version.

    python sample_data/recipes/difficult.py [FOLDER]

tests/io/test_difficult.py holds what becomes of each.
"""

from __future__ import annotations

import struct
import sys
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PAGE = b"<!DOCTYPE html>\n<html><head><title>404</title></head><body>This is not a picture.</body></html>\n"
BOMB_SIDE = 20_000


def scene(height: int = 72, width: int = 96) -> NDArray[np.uint8]:
    """A sky that fades, a green ground, a red ball at the upper left: which side is up can be seen."""
    rows, columns = np.mgrid[0:height, 0:width]
    picture = np.stack([90 + rows, 140 + rows // 2, 255 - rows], axis=-1)
    picture[rows > height * 2 // 3] = (60, 140, 50)
    picture[(rows - height // 4) ** 2 + (columns - width // 4) ** 2 < (height // 6) ** 2] = (200, 30, 40)
    return picture.astype(np.uint8)


def encode(picture: Image.Image, format: str, **options: object) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb() -> bytes:
    """A PNG of 400 million black pixels: greyscale of 1 bit, so 50 MB of zeros in 50 KB."""
    header = struct.pack(">IIBBBBB", BOMB_SIDE, BOMB_SIDE, 1, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    row = bytes(1 + BOMB_SIDE // 8)
    packed = b"".join(packer.compress(row) for _ in range(BOMB_SIDE)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def sideways() -> bytes:
    """Stored on its side; EXIF orientation 6 says to turn it clockwise."""
    exif = Image.Exif()
    exif[0x0110], exif[0x0112] = "Difficult 1", 6
    exif.get_ifd(0x8769)[0xA405] = 28
    return encode(Image.fromarray(scene()).transpose(Image.Transpose.ROTATE_90), "JPEG", quality=90, exif=exif)


def faded() -> Image.Image:
    """Opaque at the left, transparent at the right."""
    alpha = np.broadcast_to(np.linspace(255, 0, 96).astype(np.uint8), (72, 96))
    return Image.fromarray(np.dstack([scene(), alpha]))


def files() -> dict[str, bytes]:
    picture = Image.fromarray(scene())
    jpeg = encode(picture, "JPEG", quality=90)
    palette = picture.quantize(16)
    noise = np.random.default_rng(7).integers(0, 65536, (24, 32), dtype=np.uint16)
    return {
        "alpha.png": encode(faded(), "PNG"),
        "animated.gif": encode(palette, "GIF", save_all=True, append_images=[picture.rotate(180).quantize(16)]),
        "bomb.png": bomb(),
        "cmyk.jpg": encode(picture.convert("CMYK"), "JPEG", quality=90),
        "empty.jpg": b"",
        "float.tif": encode(Image.fromarray(noise.astype(np.float32)), "TIFF"),
        "one_pixel.png": encode(Image.new("RGB", (1, 1), (12, 34, 56)), "PNG"),
        "page.jpg": PAGE,
        "palette.png": encode(palette, "PNG", transparency=0),
        "rotated_6.jpg": sideways(),
        "sixteen_bit.png": encode(Image.fromarray(noise), "PNG"),
        "truncated.jpg": jpeg[: len(jpeg) * 2 // 3],
        "ünï 猫.png": encode(picture, "PNG"),
    }


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent / "difficult")
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files().items():
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
