"""What the bytes of a picture file say before a decoder runs: its format, and whether it is all there.

Knows the containers' lengths and end markers; knows nothing of pixels, and imports no picture library.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

_MAGIC = (  # (offset, bytes, format)
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (8, b"WEBP", "WEBP"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (0, b"II+\x00", "TIFF"),  # BigTIFF
    (0, b"MM\x00+", "TIFF"),
)
_BMP_HEADER_SIZES = (12, 16, 40, 52, 56, 64, 108, 124)  # "BM" alone also begins many a text
_PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # PNG specification, table 11.1: colour type -> samples a pixel
_ADAM7 = (  # the same, 8.2: first column, first row, and the steps to the next ones
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)
_PIECE = 1 << 20  # bytes
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1"}


def sniff(data: bytes) -> str | None:
    """Name the format by its first bytes: a key of decode.PLUGINS, or None for anything else."""
    for offset, magic, name in _MAGIC:
        if data.startswith(magic, offset):
            return name if name != "WEBP" or data.startswith(b"RIFF") else None
    if data.startswith(b"BM") and int.from_bytes(data[14:18], "little") in _BMP_HEADER_SIZES:
        return "BMP"
    return _sniff_isobmff(data)


def _sniff_isobmff(data: bytes) -> str | None:
    """AVIF and HEIC share a container, and even the brand `mif1`: all compatible brands decide."""
    if data[4:8] != b"ftyp":
        return None
    box = data[8 : min(int.from_bytes(data[:4], "big"), 256)]
    brands = {box[start : start + 4] for start in range(0, len(box), 4)}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIC" if brands & _HEIC_BRANDS else None


def is_cut_short(format: str, data: bytes) -> bool:
    """Whether the container announces more than there is. Cheap; asked when a decoder gave up."""
    match format:
        case "JPEG":
            return data.rfind(b"\xff\xd9") < 0
        case "PNG":
            return png_fault(data) == "truncated"
        case "GIF":
            return not data.endswith(b"\x3b")
        case "WEBP":
            return int.from_bytes(data[4:8], "little") + 8 > len(data)
        case "BMP":
            return int.from_bytes(data[2:6], "little") > len(data)
        case "TIFF":
            return _is_tiff_directory_missing(data)
        case _:
            return sum(_isobmff_boxes(data)) > len(data)


def png_fault(data: bytes) -> str | None:
    """Return "truncated" (no IEND), "corrupt" (checksum of a critical chunk) or None.

    Pillow stops at the last row: it reads neither the checksums of IDAT nor whether the file goes on to its end,
    where an eXIf chunk may still turn the picture.
    """
    for kind, start, end in _png_chunks(data):
        is_critical = not kind[0] & 0x20  # PNG specification, 5.4: bit 5 of the first letter
        checksum = int.from_bytes(data[end : end + 4], "big")
        if is_critical and zlib.crc32(memoryview(data)[start - 4 : end]) != checksum:
            return "corrupt"
        if kind == b"IEND":
            return None
    return "truncated"


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind of each whole chunk, and where its contents begin and end."""
    position = 8
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            return
        yield kind, position + 8, end
        position = end + 4


def png_is_short(data: bytes) -> bool:
    """Whether the compressed pixels end before the last row does. Counts them, in a third of the time of decoding.

    Pillow takes the end of the stream for the end of the picture, and leaves the other rows black.
    """
    missing, inflater = _png_bytes(data), zlib.decompressobj()
    for kind, start, end in _png_chunks(data):
        piece = data[start:end] if kind == b"IDAT" else b""
        while piece and missing > 0:
            missing -= len(inflater.decompress(piece, _PIECE))
            piece = inflater.unconsumed_tail
    return missing > 0


def _png_bytes(data: bytes) -> int:
    """How many bytes the pixels take before they are compressed, with a filter byte a row."""
    width, height, depth, colour = struct.unpack_from(">IIBB", data, 16)
    bits = depth * _PNG_SAMPLES[colour]
    passes = _ADAM7 if png_is_interlaced(data) else ((0, 0, 1, 1),)
    sizes = ((len(range(left, width, across)), len(range(top, height, down))) for left, top, across, down in passes)
    return sum(rows * (1 + -(-columns * bits // 8)) for columns, rows in sizes if columns)


def png_is_interlaced(data: bytes) -> bool:
    return data[28] == 1


def png_depth(data: bytes) -> int:
    """Bits per sample as stored (PNG specification, 11.2.2)."""
    return data[24]


def webp_size(data: bytes) -> tuple[int, int] | None:
    """(height, width) of the canvas, read from the header: the decoder allocates it on opening (RFC 9649)."""
    kind = data[12:16]
    if kind == b"VP8X":
        return int.from_bytes(data[27:30], "little") + 1, int.from_bytes(data[24:27], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return ((bits >> 14) & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    if kind == b"VP8 ":
        return int.from_bytes(data[28:30], "little") & 0x3FFF, int.from_bytes(data[26:28], "little") & 0x3FFF
    return None


def _is_tiff_directory_missing(data: bytes) -> bool:
    """Whether the first directory lies beyond the end (many writers put it last)."""
    order = "<" if data.startswith(b"II") else ">"
    if len(data) < 8 or data[2:4] in (b"+\x00", b"\x00+"):  # BigTIFF: left to the decoder
        return len(data) < 8
    (start,) = struct.unpack_from(order + "I", data, 4)
    if start + 2 > len(data):
        return True
    (count,) = struct.unpack_from(order + "H", data, start)
    return bool(start + 2 + 12 * count > len(data))


def _isobmff_boxes(data: bytes) -> Iterator[int]:
    """Yield the announced lengths of the top-level boxes (ISO/IEC 14496-12, 4.2)."""
    position = 0
    while position < len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        if length == 1:
            length = int.from_bytes(data[position + 8 : position + 16], "big")
        if length == 0:  # to the end of the file
            return
        yield length
        position += max(length, 8)
