import io
import struct
import subprocess
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from visioncli.errors import DecodeError, UsageError
from visioncli.io.decode import DecodeOptions, decode
from visioncli.io.formats import sniff

JOB = DecodeOptions()
RNG = np.random.default_rng(0)
SMOOTH = np.dstack([np.mgrid[0:40, 0:56][1] * 4, np.mgrid[0:40, 0:56][0] * 6, np.full((40, 56), 99)]).astype(np.uint8)
NOISE = RNG.integers(0, 256, (24, 32, 3), dtype=np.uint8)
# What each EXIF orientation says of the stored rows: the inverse of the turn that a viewer applies
# (EXIF 2.32, 4.6.4 A: where row 0 and column 0 of the stored picture are on the scene).
STORED = {
    1: lambda scene: scene,
    2: lambda scene: scene[:, ::-1],  # row 0 top, column 0 right
    3: lambda scene: scene[::-1, ::-1],  # bottom, right
    4: lambda scene: scene[::-1],  # bottom, left
    5: lambda scene: scene.swapaxes(0, 1),  # left, top
    6: lambda scene: scene[:, ::-1].swapaxes(0, 1),  # right, top
    7: lambda scene: scene[::-1, ::-1].swapaxes(0, 1),  # right, bottom
    8: lambda scene: scene[::-1].swapaxes(0, 1),  # left, bottom
}


def encode(picture: NDArray | Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(np.ascontiguousarray(picture))
    image.save(buffer, format, **options)
    return buffer.getvalue()


def oriented(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(rows: list[bytes], size: tuple[int, int], depth: int, colour: int, *chunks: bytes) -> bytes:
    """A PNG by hand. `size` is (height, width); `rows` are packed samples."""
    return png_of(zlib.compress(b"".join(b"\0" + row for row in rows)), size, depth, colour, *chunks)


def png_of(body: bytes, size: tuple[int, int], depth: int, colour: int, *chunks: bytes, interlaced: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", size[1], size[0], depth, colour, 0, 0, interlaced)
    magic = b"\x89PNG\r\n\x1a\n"
    return magic + chunk(b"IHDR", header) + b"".join(chunks) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def sixteen(*samples: int) -> bytes:
    return struct.pack(f">{len(samples)}H", *samples)


def pixels(data: bytes, options: DecodeOptions = JOB) -> list:
    return decode(data, options).image.tolist()


def code_of(data: bytes, options: DecodeOptions = JOB) -> str:
    with pytest.raises(DecodeError) as caught:
        decode(data, options)
    return caught.value.code


# Upright


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize(("format", "extra"), [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True})])
def test_every_orientation_gives_the_same_pixels(orientation: int, format: str, extra: dict) -> None:
    decoded = decode(encode(STORED[orientation](NOISE), format, exif=oriented(orientation), **extra), JOB)
    np.testing.assert_array_equal(decoded.image, NOISE)
    assert decoded.size == (24, 32)


@pytest.mark.parametrize("orientation", STORED)
def test_every_orientation_of_a_jpeg_gives_nearly_the_same_pixels(orientation: int) -> None:
    data = encode(STORED[orientation](SMOOTH), "JPEG", quality=95, subsampling=0, exif=oriented(orientation))
    decoded = decode(data, JOB)
    assert decoded.size == (40, 56)
    assert np.abs(decoded.image.astype(int) - SMOOTH).max() <= 6
    assert decoded.exif == {"orientation": orientation}


def test_an_orientation_after_the_pixels_of_a_png_counts() -> None:
    plain = png([b"\1\2\3\4\5\6"], (1, 2), 8, 2)
    exif = chunk(b"eXIf", oriented(3).tobytes().removeprefix(b"Exif\0\0"))
    assert pixels(plain[:-12] + exif + plain[-12:]) == [[[4, 5, 6], [1, 2, 3]]]


def test_orientation_is_left_alone_on_request() -> None:
    decoded = decode(encode(NOISE, "PNG", exif=oriented(6)), DecodeOptions(upright=False))
    np.testing.assert_array_equal(decoded.image, NOISE)
    assert decoded.size == (24, 32)


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", oriented(9).tobytes()])
def test_damaged_exif_is_no_exif(exif: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode(encode(SMOOTH, "JPEG", exif=exif), JOB).image.shape == (40, 56, 3)


def test_exif_names_the_lens() -> None:
    exif = oriented(1)
    exif[0x010F], exif[0x0110] = "Maker", "Model 1"
    exif.get_ifd(0x8769).update({0x920A: 4.25, 0xA405: 28})
    fields = {"make": "Maker", "model": "Model 1", "orientation": 1, "focal_length_mm": 4.25, "focal_length_35mm": 28}
    assert decode(encode(SMOOTH, "JPEG", exif=exif), JOB).exif == fields
    assert decode(encode(SMOOTH, "JPEG"), JOB).exif is None


# Modes


RED_HALF = bytes([200, 100, 0, 255, 200, 100, 0, 102, 200, 100, 0, 0])  # alpha 1, 0.4, 0


@pytest.mark.parametrize(
    ("alpha", "row"),
    [  # (0.4 * colour + 0.6 * ground), to the nearest
        ("white", [[200, 100, 0], [233, 193, 153], [255, 255, 255]]),
        ("black", [[200, 100, 0], [80, 40, 0], [0, 0, 0]]),
        ("#0A14fF", [[200, 100, 0], [86, 52, 153], [10, 20, 255]]),
        ("drop", [[200, 100, 0], [200, 100, 0], [200, 100, 0]]),
    ],
)
def test_alpha_shows_the_ground(alpha: str, row: list) -> None:
    assert pixels(png([RED_HALF], (1, 3), 8, 6), DecodeOptions(alpha=alpha)) == [row]


@pytest.mark.parametrize("alpha", ["red", "#12345", "#12345G", "", "White"])
def test_a_ground_that_is_no_colour_is_a_usage_error(alpha: str) -> None:
    with pytest.raises(UsageError):
        DecodeOptions(alpha=alpha)


PALETTE = chunk(b"PLTE", bytes([255, 0, 0, 0, 255, 0, 0, 0, 255]))
WHITE = [255, 255, 255]


@pytest.mark.parametrize(
    ("data", "row"),
    [
        (png([b"\x80"], (1, 2), 1, 0), [WHITE, [0, 0, 0]]),
        (png([b"\x1b"], (1, 4), 2, 0), [[0] * 3, [85] * 3, [170] * 3, WHITE]),
        (png([bytes([9, 255, 9, 0])], (1, 2), 8, 4), [[9] * 3, WHITE]),
        (png([bytes([2, 0, 1])], (1, 3), 8, 3, PALETTE), [[0, 0, 255], [255, 0, 0], [0, 255, 0]]),
        (png([bytes([0, 1])], (1, 2), 8, 3, PALETTE, chunk(b"tRNS", b"\0\xff\xff")), [WHITE, [0, 255, 0]]),
        (png([bytes([0, 1])], (1, 2), 8, 3, PALETTE, chunk(b"tRNS", b"\x66\xcc")), [[255, 153, 153], [51, 255, 51]]),
        (png([bytes([7, 8])], (1, 2), 8, 0, chunk(b"tRNS", sixteen(7))), [WHITE, [8] * 3]),
        (png([b"\x1b"], (1, 4), 2, 0, chunk(b"tRNS", sixteen(1))), [[0] * 3, WHITE, [170] * 3, WHITE]),
        (png([b"\x40"], (1, 2), 1, 0, chunk(b"tRNS", sixteen(0))), [WHITE, WHITE]),
        (png([bytes([1, 2, 3, 1, 2, 4])], (1, 2), 8, 2, chunk(b"tRNS", sixteen(1, 2, 3))), [WHITE, [1, 2, 4]]),
        (png([sixteen(0x00FF, 0x0100, 0x7FFF, 0xFFFF)], (1, 4), 16, 0), [[0] * 3, [1] * 3, [127] * 3, WHITE]),
        (png([sixteen(0x1234, 0x1235)], (1, 2), 16, 0, chunk(b"tRNS", sixteen(0x1234))), [WHITE, [0x12] * 3]),
        (png([sixteen(0x00FF, 0x80FF, 0xFEFF)], (1, 1), 16, 2), [[0, 128, 254]]),
        (png([sixteen(0x40FF, 0xFFFF, 0x4000, 0)], (1, 2), 16, 4), [[0x40] * 3, WHITE]),
        (png([sixteen(0x00FF, 0x80FF, 0xFEFF, 0xFFFF)], (1, 1), 16, 6), [[0, 128, 254]]),
    ],
)
def test_every_kind_of_png_has_its_pixels(data: bytes, row: list) -> None:
    assert pixels(data) == [row]


def tiff(samples: bytes, width: int, bits: int, photometric: int = 1, kind: int = 1) -> bytes:
    """One row of grey, little-endian, one strip. `kind` is the SampleFormat: 1 unsigned, 2 signed, 3 float."""
    tags = [(256, width), (257, 1), (258, bits), (259, 1), (262, photometric), (273, 134), (277, 1), (278, 1)]
    entries = [*tags, (279, len(samples)), (339, kind)]  # 8 + 2 + 10 * 12 + 4 = 134
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + bytes(4) + samples


@pytest.mark.parametrize(
    ("data", "row"),
    [
        (tiff(struct.pack("<2H", 0x00FF, 0xFEFF), 2, 16), [[0] * 3, [254] * 3]),
        (tiff(struct.pack("<2H", 0x0000, 0xFEFF), 2, 16, photometric=0), [WHITE, [1] * 3]),
        (tiff(b"\xff\xf0\x00", 2, 12), [WHITE, [0] * 3]),  # 0xFFF, 0x000
    ],
    ids=["16 bits", "16 bits, white is zero", "12 bits"],
)
def test_deep_grey_tiffs_keep_their_high_bits(data: bytes, row: list) -> None:
    assert pixels(data) == [row]


@pytest.mark.parametrize(
    "data",
    [
        tiff(struct.pack("<i", -5), 1, 32, kind=2),
        tiff(struct.pack("<I", 5), 1, 32),
        tiff(struct.pack("<f", 0.5), 1, 32, kind=3),
        tiff(struct.pack("<h", -5), 1, 16, kind=2),
        tiff(struct.pack("<d", 0.5), 1, 64, kind=3),
    ],
    ids=["int32", "uint32", "float32", "int16", "float64"],
)
def test_modes_without_an_8_bit_meaning_are_refused(data: bytes) -> None:
    assert code_of(data) == "decode_unsupported_mode"


@pytest.mark.parametrize("extra", [{}, {"compression": "tiff_lzw"}, {"compression": "tiff_deflate"}])
def test_cmyk_is_converted(extra: dict) -> None:
    """Without a profile: (255 - ink) * (255 - black) / 255."""
    inks = np.array([[[0, 0, 0, 0], [255, 0, 0, 0], [0, 255, 255, 0], [0, 0, 0, 255], [0, 0, 0, 55]]], np.uint8)
    expected = [[WHITE, [0, 255, 255], [255, 0, 0], [0, 0, 0], [200, 200, 200]]]
    assert pixels(encode(Image.fromarray(inks, "CMYK"), "TIFF", **extra)) == expected


def test_an_inverted_adobe_cmyk_jpeg_is_not_a_negative() -> None:
    inks = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    data = encode(inks, "JPEG", quality=95)
    assert b"Adobe" in data
    assert np.abs(decode(data, JOB).image.astype(int) - (255, 0, 0)).max() <= 3


@pytest.mark.parametrize("mode", ["YCbCr", "LAB"])
def test_other_colour_spaces_are_converted(mode: str) -> None:
    """Mid-grey is grey in each: Y 128 with neutral chroma; L* 53.6 is sRGB 128."""
    neutral = {"YCbCr": (128, 128, 128), "LAB": (137, 128, 128)}[mode]
    image = decode(encode(Image.new(mode, (2, 2), neutral), "TIFF"), JOB).image
    assert np.abs(image.astype(int) - 128).max() <= 2


# First frames, all formats


FRAMES = [Image.new("RGB", (8, 6), colour) for colour in ((255, 0, 0), (0, 0, 255))]


@pytest.mark.parametrize(
    ("format", "extra"),
    [("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("AVIF", {"quality": 100})],
)
def test_the_first_frame_of_an_animation_is_taken(format: str, extra: dict) -> None:
    data = encode(FRAMES[0], format, save_all=True, append_images=FRAMES[1:], **extra)
    image = decode(data, JOB).image
    assert image.shape == (6, 8, 3)
    assert np.abs(image.astype(int) - (255, 0, 0)).max() <= (2 if format == "AVIF" else 0)


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "GIF", "WEBP", "JPEG", "AVIF"])
def test_a_single_pixel_survives(format: str) -> None:
    assert sniff(encode(Image.new("RGB", (1, 1), (128, 128, 128)), format)) == format
    decoded = decode(encode(Image.new("RGB", (1, 1), (128, 128, 128)), format), JOB, target=(224, 224))
    assert decoded.size == (1, 1)
    assert np.abs(decoded.image.astype(int) - 128).max() <= 2


def test_a_heic_file_needs_its_library() -> None:
    """With pillow-heif the same bytes are corrupt: they hold a brand and nothing else."""
    data = struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic"
    try:
        import pillow_heif  # noqa: F401
    except ImportError:
        assert code_of(data) == "decode_unsupported_format"
    else:
        assert code_of(data) == "decode_corrupt"


@pytest.mark.parametrize(
    "data",
    [
        b"<!DOCTYPE html><html></html>",
        b"BM is how this sentence begins, like a bitmap",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"8BPS\0\1" + bytes(40),
        b"RIFF\x24\0\0\0WAVEfmt ",
        b"\xff\xd8",
        b"P6 1 1 255 abc",
        bytes(64),
    ],
)
def test_what_is_no_picture_of_ours_is_refused(data: bytes) -> None:
    assert code_of(data) == "decode_not_an_image"


def test_no_bytes_are_an_empty_file() -> None:
    assert code_of(b"") == "empty_file"


# Cut short and damaged


PICTURE = Image.fromarray(NOISE)
WHOLE = {
    "jpeg": encode(SMOOTH, "JPEG"),
    "progressive jpeg": encode(SMOOTH, "JPEG", progressive=True),
    "png": encode(NOISE, "PNG"),
    "palette png": encode(PICTURE.quantize(16), "PNG"),
    "gif": encode(PICTURE.quantize(16), "GIF"),
    "animated gif": encode(PICTURE.quantize(16), "GIF", save_all=True, append_images=[PICTURE.rotate(180)]),
    "webp": encode(SMOOTH, "WEBP"),
    "lossless webp": encode(NOISE, "WEBP", lossless=True),
    "bmp": encode(NOISE, "BMP"),
    "tiff": encode(NOISE, "TIFF"),
    "lzw tiff": encode(NOISE, "TIFF", compression="tiff_lzw"),
    "avif": encode(SMOOTH, "AVIF"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_cut_file_fails_or_has_all_its_pixels(name: str) -> None:
    """Wherever it is cut. Only a GIF may pass: its first frame can be whole."""
    data = WHOLE[name]
    whole = decode(data, JOB).image
    codes = set()
    for length in range(32, len(data), max(1, len(data) // 150)):
        try:
            np.testing.assert_array_equal(decode(data[:length], JOB).image, whole)
            assert name.endswith("gif")
        except DecodeError as error:
            codes.add(error.code)
    assert "decode_truncated" in codes
    assert codes <= {"decode_truncated", "decode_corrupt"}


@pytest.mark.parametrize("name", ["jpeg", "progressive jpeg", "png"])
def test_a_file_without_its_end_marker_is_truncated(name: str) -> None:
    assert code_of(WHOLE[name][:-2]) == "decode_truncated"


def test_a_download_that_was_never_filled_is_not_a_picture() -> None:
    """Space reserved on disk, zeros from the middle on. Other formats have neither end marker nor checksum."""
    codes = {}
    for name in ("jpeg", "progressive jpeg", "png", "gif"):
        half = len(WHOLE[name]) // 2
        codes[name] = code_of(WHOLE[name][:half] + bytes(half))
    assert codes.pop("png") == "decode_corrupt"
    assert set(codes.values()) == {"decode_truncated"}


@pytest.mark.parametrize("name", ["jpeg", "png", "gif", "webp", "bmp", "tiff"])
def test_garbage_behind_the_end_is_ignored(name: str) -> None:
    np.testing.assert_array_equal(decode(WHOLE[name] + b"<!-- -->", JOB).image, decode(WHOLE[name], JOB).image)


STREAM = zlib.compress(b"".join(b"\0" + row.tobytes() for row in NOISE))  # of the pixels, without the chunks around it


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (STREAM[:1000] + bytes([STREAM[1000] ^ 255]) + STREAM[1001:], "decode_corrupt"),
        (STREAM[:-1] + bytes([STREAM[-1] ^ 255]), "decode_corrupt"),
        (STREAM[:1000], "decode_truncated"),
        (b"", "decode_truncated"),
        (zlib.compress(zlib.decompress(STREAM)[:1000]), "decode_truncated"),
        (zlib.compress(zlib.decompress(STREAM)[:-1]), "decode_truncated"),
    ],
    ids=["a byte", "the checksum", "half of it", "all of it", "rows at the end", "a sample"],
)
def test_damage_within_a_pngs_pixels_is_found_though_its_chunks_are_whole(body: bytes, code: str) -> None:
    assert code_of(png_of(body, (24, 32), 8, 2)) == code
    np.testing.assert_array_equal(decode(png_of(STREAM, (24, 32), 8, 2), JOB).image, NOISE)


INTERLACED = [b"\0\1", b"\0\3", b"\0\7\11", b"\0\2\0\10", b"\0\4\5\6"]  # passes 1, 4, 5, 6, 7 of 3 x 3


@pytest.mark.parametrize("dark", [False, True])
def test_an_interlaced_png_has_all_its_passes(dark: bool) -> None:
    samples = bytes(15) if dark else b"".join(INTERLACED)
    grey = [[0] * 3] * 3 if dark else [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    whole = png_of(zlib.compress(samples), (3, 3), 8, 0, interlaced=1)
    assert pixels(whole) == [[[value] * 3 for value in row] for row in grey]
    assert code_of(png_of(zlib.compress(samples[:-4]), (3, 3), 8, 0, interlaced=1)) == "decode_truncated"


@pytest.mark.parametrize(
    ("depth", "colour"), [(1, 0), (2, 0), (16, 0), (8, 2), (16, 2), (1, 3), (4, 3), (8, 4), (16, 6)]
)
def test_a_black_png_of_any_depth_is_whole(depth: int, colour: int) -> None:
    row = bytes(-(-11 * depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour] // 8))
    palette = [chunk(b"PLTE", bytes(3))] if colour == 3 else []
    whole = png([row] * 5, (5, 11), depth, colour, *palette)
    assert decode(whole, DecodeOptions(alpha="black")).image.tolist() == [[[0, 0, 0]] * 11] * 5
    assert code_of(png([row] * 4, (5, 11), depth, colour, *palette)) == "decode_truncated"


def test_a_flipped_bit_in_a_png_is_found_by_its_checksum() -> None:
    data = bytearray(WHOLE["png"])
    data[len(data) // 2] ^= 1
    assert code_of(bytes(data)) == "decode_corrupt"


# Limits


def test_a_bomb_is_refused_before_its_memory_is_spent() -> None:
    """20,000 x 20,000: 400 MB as grey. Peak memory is the process's own, so a process of its own."""
    program = """
import resource, struct, zlib, sys
from visioncli.errors import DecodeError
from visioncli.io.decode import DecodeOptions, decode
chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
packer = zlib.compressobj(1)
body = b"".join(packer.compress(bytes(20001)) for _ in range(20000)) + packer.flush()
header = struct.pack(">IIBBBBB", 20000, 20000, 8, 0, 0, 0, 0)
bomb = b"\\x89PNG\\r\\n\\x1a\\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    decode(bomb, DecodeOptions())
except DecodeError as error:
    unit = 1 if sys.platform == "darwin" else 1024
    print(error.code, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit < 50_000_000)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("decode_too_many_pixels True\n", "")


def tiled(side: int) -> bytes:
    """One grey pixel of 7, in a tile of `side` x `side`."""
    tags = [(256, 1), (257, 1), (258, 8), (259, 1), (262, 1), (277, 1), (322, side), (323, side), (324, 134)]
    entries = [*tags, (325, side * side)]  # 8 + 2 + 10 * 12 + 4 = 134
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + bytes(4) + b"\7" * 256


def test_the_tiles_of_a_tiff_are_counted_for_they_are_decoded_whole() -> None:
    assert pixels(tiled(16)) == [[[7, 7, 7]]]
    assert pixels(tiled(16), DecodeOptions(max_pixels=256)) == [[[7, 7, 7]]]
    assert code_of(tiled(16), DecodeOptions(max_pixels=255)) == "decode_too_many_pixels"
    assert code_of(tiled(20_000)) == "decode_too_many_pixels"


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF"])
def test_max_pixels_counts_the_original(format: str) -> None:
    data = encode(SMOOTH, format)
    assert code_of(data, DecodeOptions(max_pixels=40 * 56 - 1)) == "decode_too_many_pixels"
    assert decode(data, DecodeOptions(max_pixels=40 * 56)).size == (40, 56)


@pytest.mark.parametrize(
    ("format", "limit"), [("JPEG", 9), ("PNG", 9), ("GIF", 9), ("BMP", 9), ("AVIF", 9), ("TIFF", 2000), ("WEBP", 2000)]
)
def test_the_limit_of_pillow_is_not_ours(format: str, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It warns above 89 million pixels and fails above twice that; here 2,240 pixels are above."""
    data = encode(SMOOTH, format)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode(data, JOB).size == (40, 56)


# Scaled decoding


@pytest.mark.parametrize(
    ("size", "target", "decoded"),
    [
        ((1600, 1200), (100, 100), (400, 300)),  # 1/8 would leave 150 < 200
        ((1600, 1600), (100, 100), (200, 200)),
        ((1600, 1200), (300, 300), (800, 600)),
        ((1600, 1200), (301, 301), (1600, 1200)),
        ((1604, 1204), (100, 100), (401, 301)),
        ((1602, 1204), (100, 100), (801, 602)),  # 1/4 of 1602 is no whole pixel
        ((1601, 1204), (100, 100), (1601, 1204)),
        ((1600, 1200), None, (1600, 1200)),
    ],
)
def test_a_jpeg_is_scaled_while_both_sides_stay_whole_and_twice_the_target(
    size: tuple[int, int], target: tuple[int, int] | None, decoded: tuple[int, int]
) -> None:
    data = encode(Image.new("RGB", size[::-1], (90, 120, 40)), "JPEG")
    answer = decode(data, JOB, target)
    assert answer.image.shape == (*decoded, 3)
    assert answer.size == size
    assert decode(data, DecodeOptions(exact=True), target).image.shape == (*size, 3)


def test_the_target_of_a_turned_jpeg_is_upright() -> None:
    """Stored 400 x 1600, upright 1600 x 400: 1/2 keeps 800 x 200 over twice 300 x 100."""
    data = encode(Image.new("RGB", (1600, 400)), "JPEG", exif=oriented(6))
    answer = decode(data, JOB, target=(300, 100))
    assert answer.image.shape == (800, 200, 3)
    assert answer.size == (1600, 400)
    assert decode(data, JOB, target=(100, 300)).image.shape == (1600, 400, 3)


# Whatever comes


def test_threads_share_nothing() -> None:
    with ThreadPoolExecutor(4) as threads:
        for name, data in WHOLE.items():
            alone = decode(data, JOB).image
            for image in threads.map(lambda data: decode(data, JOB).image, [data] * 8):
                np.testing.assert_array_equal(image, alone, err_msg=name)


def test_pixels_can_be_written_and_belong_to_nobody_else() -> None:
    image = decode(WHOLE["png"], JOB).image
    assert (image.dtype, image.flags.writeable, image.flags.c_contiguous) == (np.uint8, True, True)


def survives(data: bytes) -> None:
    with suppress(DecodeError):
        decode(data, DecodeOptions(max_pixels=10_000), target=(8, 8))


MAGICS = [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\0\0\0\0WEBP", b"II*\0", b"\0\0\0\x18ftypavif"]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(MAGICS), st.binary(max_size=300))
def test_random_bytes_raise_nothing_but_decode_errors(magic: bytes, data: bytes) -> None:
    survives(magic + data)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(WHOLE)), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=8))
def test_random_damage_raises_nothing_but_decode_errors(name: str, damage: list[tuple[int, int]]) -> None:
    data = bytearray(WHOLE[name])
    for place, value in damage:
        data[place % len(data)] = value
    survives(bytes(data))
