"""Bytes -> upright RGB: the only decoder, for jobs and requests alike.

The format is sniffed from the bytes and its Pillow plugin is opened directly: a name lies, `Image.open` would try
plugins that start other programs (EPS), and its own bomb check warns and fails by process-wide state. Pixels are
counted before they are paid for. A file that ends too early fails; nothing is padded.

Known limits: a transparent colour of a 16-bit truecolour PNG is compared by its high bytes; damage in the middle of a
file is found where the format has a checksum (PNG) or its decoder stumbles, else decoded as it stands; Pillow's own
limit of 179 million pixels stays for WebP and TIFF, whatever --max-pixels says.

Knows nothing of where bytes come from, nor of models. `except Exception` stands here because Pillow's plugins raise
anything, even SyntaxError.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from io import BytesIO
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, features
from PIL.Image import Transpose
from PIL.ImageFile import ImageFile

from visioncli.errors import DecodeError, UsageError
from visioncli.io import formats
from visioncli.io.exif import read_exif, read_orientation
from visioncli.tables import look_up

ValueT = TypeVar("ValueT")

PLUGINS: dict[str, str] = {
    "JPEG": "PIL.JpegImagePlugin:JpegImageFile",
    "PNG": "PIL.PngImagePlugin:PngImageFile",
    "GIF": "PIL.GifImagePlugin:GifImageFile",
    "WEBP": "PIL.WebPImagePlugin:WebPImageFile",
    "BMP": "PIL.BmpImagePlugin:BmpImageFile",
    "TIFF": "PIL.TiffImagePlugin:TiffImageFile",
    "AVIF": "PIL.AvifImagePlugin:AvifImageFile",
    "HEIC": "pillow_heif:HeifImageFile",
}

UPRIGHT: dict[int, Transpose] = {  # EXIF 2.32, 4.6.4 A: orientation -> what turns the stored rows upright
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}

_PILLOW_WARNINGS: tuple[object, ...] = ("ignore", None, Warning, re.compile(r"PIL\."), 0)
_TIFF_BITS_PER_SAMPLE, _TIFF_PHOTOMETRIC, _TIFF_WHITE_IS_ZERO = 258, 262, 0
_TIFF_TILE_WIDTH, _TIFF_TILE_LENGTH = 322, 323


@dataclass(frozen=True, slots=True)
class DecodeOptions:
    max_pixels: int = 100_000_000  # of the original, before any scaled decoding
    alpha: str = "white"  # white | black | drop | #RRGGBB: what shows through where the picture is transparent
    exact: bool = False  # never decode a JPEG at reduced scale
    upright: bool = True  # apply EXIF orientation; False leaves the pixels as Pillow opens them

    def __post_init__(self) -> None:
        if not re.fullmatch(r"white|black|drop|#[0-9A-Fa-f]{6}", self.alpha):
            raise UsageError(f"alpha is white, black, drop or #RRGGBB, not {self.alpha!r}")


@dataclass(frozen=True, slots=True)
class Decoded:
    image: NDArray[np.uint8]  # (H, W, 3) RGB, writable; for a scaled decoding `size` by 2, 4 or 8
    size: tuple[int, int]  # (height, width) of the original, in the frame of `image`
    exif: Mapping[str, object] | None  # see exif.read_exif; the orientation as the file says it


def decode(data: bytes, options: DecodeOptions, target: tuple[int, int] | None = None) -> Decoded:
    """Decode a picture's first frame to RGB.

    `target` is the (height, width) that a model will see: a JPEG may then come at 1/2, 1/4 or 1/8 of its size, where
    both sides can be divided by that and stay at least twice the target. Any thread. Raises DecodeError.
    """
    return _opened(data, options, lambda image, format: _read(image, format, data, options, target))


def measure(data: bytes, options: DecodeOptions) -> tuple[int, int]:
    """Return (height, width) as the file has them, from its header alone. Any thread. Raises DecodeError."""
    return _opened(data, options, lambda image, format: _size(image, options))


def _opened(data: bytes, options: DecodeOptions, use: Callable[[ImageFile, str], ValueT]) -> ValueT:
    format = _known_format(data)
    _ignore_pillow_warnings()
    try:
        if format == "WEBP":
            _check_pixels(formats.webp_size(data) or (1, 1), options)
        with closing(_open(format, data)) as image:
            return use(image, format)
    except DecodeError:
        raise
    except MemoryError as error:
        raise DecodeError("out_of_memory", "there was not enough memory to decode the picture") from error
    except Exception as error:
        raise _translated(error, format, data) from error


def _known_format(data: bytes) -> str:
    if not data:
        raise DecodeError("empty_file", "the file has no bytes")
    format = formats.sniff(data)
    if format is None:
        raise DecodeError("decode_not_an_image", f"no known picture format begins with {data[:16]!r}")
    return format


def _ignore_pillow_warnings() -> None:
    """Odd EXIF is not worth a line on standard error, and pixels are counted here.

    Process-wide, but of Pillow alone and the same at each call, so safe in threads; catch_warnings is not.
    """
    if _PILLOW_WARNINGS not in warnings.filters:
        warnings.filterwarnings("ignore", category=Warning, module=r"PIL\.")


def _open(format: str, data: bytes) -> ImageFile:
    """Read the header. No pixels are decoded and none allocated."""
    if format in ("AVIF", "WEBP") and not features.check(format.lower()):
        raise DecodeError("decode_unsupported_format", f"this Pillow was built without {format}")
    try:
        plugin = look_up(PLUGINS, format, "picture format")
    except ImportError as error:
        raise DecodeError("decode_unsupported_format", "HEIC needs the package pillow-heif") from error
    image: ImageFile = plugin(BytesIO(data))
    return image


def _read(
    image: ImageFile, format: str, data: bytes, options: DecodeOptions, target: tuple[int, int] | None
) -> Decoded:
    width, height = image.size
    _check_pixels((height, width), options)
    if format == "TIFF":
        _check_pixels(_tile(image), options)
    if format == "PNG":
        _load_png(image, data)
    exif = _unless_damaged(read_exif, image, None)
    if format == "JPEG" and target and not options.exact:
        _scale_down(image, target, is_turned=options.upright and _turn(image) >= 5)
    image.load()
    turn = _turn(image) if options.upright else 1  # asked after loading: a TIFF has then been turned by Pillow
    rgb = _to_rgb(image, formats.png_depth(data) if format == "PNG" else 8, options.alpha)
    if turn in UPRIGHT:
        rgb = rgb.transpose(UPRIGHT[turn])
    return Decoded(np.array(rgb), (width, height) if turn >= 5 else (height, width), exif)


def _size(image: ImageFile, options: DecodeOptions) -> tuple[int, int]:
    width, height = image.size
    _check_pixels((height, width), options)
    return height, width


def _check_pixels(size: tuple[int, int], options: DecodeOptions) -> None:
    height, width = size
    if height * width > options.max_pixels:
        message = f"{width} x {height} are {height * width} pixels, more than the {options.max_pixels} allowed"
        raise DecodeError("decode_too_many_pixels", message)


def _tile(image: ImageFile) -> tuple[int, int]:
    """(height, width) of a TIFF's tiles, which are decoded whole, however little of them the picture shows."""
    tags = getattr(image, "tag_v2", {})
    height, width = (int(np.max(tags.get(tag, 0))) for tag in (_TIFF_TILE_LENGTH, _TIFF_TILE_WIDTH))
    return height, width


def _load_png(image: ImageFile, data: bytes) -> None:
    """Decode the pixels before anyone asks for EXIF: Pillow would then, and their damage would pass for EXIF's."""
    if fault := formats.png_fault(data):
        raise DecodeError(f"decode_{fault}", f"the PNG file is {fault}")
    image.load()
    bounds = image.getbbox(alpha_only=False)  # of what is not zero, as rows are that never came
    is_whole = bounds is not None and bounds[3] == image.height and not formats.png_is_interlaced(data)
    if not is_whole and formats.png_is_short(data):
        raise DecodeError("decode_truncated", "the PNG file's pixels end before its last row")


def _unless_damaged(read: Callable[[Image.Image], ValueT], image: Image.Image, otherwise: ValueT) -> ValueT:
    try:
        return read(image)
    except Exception:  # noqa: BLE001  # damaged EXIF raises anything, and is no EXIF
        return otherwise


def _turn(image: Image.Image) -> int:
    return _unless_damaged(read_orientation, image, 1)


def _scale_down(image: ImageFile, target: tuple[int, int], *, is_turned: bool) -> None:
    """Let libjpeg decode at 1/2, 1/4 or 1/8: both sides stay whole, and at least twice the target's.

    It would round a side up, and all that is told in pixels of the original would be off by what is not there.
    """
    height, width = target[::-1] if is_turned else target
    room = min(image.width // (2 * width), image.height // (2 * height))
    whole = (scale for scale in (8, 4, 2) if scale <= room and image.width % scale == image.height % scale == 0)
    if scale := next(whole, None):
        image.draft(image.mode, (image.width // scale, image.height // scale))


def _to_rgb(image: Image.Image, depth: int, alpha: str) -> Image.Image:
    """Convert any 8- or 16-bit mode to RGB over the `alpha` colour; `depth` is that of a PNG's samples."""
    if image.mode in ("I", "F"):
        raise DecodeError("decode_unsupported_mode", f"mode {image.mode} has no exact 8-bit meaning")
    mask = _colour_key_mask(image, depth)
    if mask is not None:
        image.info.pop("transparency")
    if image.mode.startswith("I;16"):
        image = _high_byte(image)
    if mask is None and image.has_transparency_data:
        image = image.convert("RGBA")
        mask = image.getchannel("A")
    rgb = image.convert("RGB")
    if mask is None or alpha == "drop":
        return rgb
    ground = Image.new("RGB", rgb.size, ImageColor.getrgb(alpha))
    ground.paste(rgb, mask=mask)  # rounds (a * colour + (255 - a) * ground) / 255 to the nearest
    return ground


def _colour_key_mask(image: Image.Image, depth: int) -> Image.Image | None:
    """Opacity (mode L) where a PNG's tRNS or a GIF makes one grey or one colour transparent, else None.

    Pillow keeps the key as stored, while it widens samples of 2 and 4 bits and narrows those of 16.
    """
    key = image.info.get("transparency")
    if key is None or image.mode not in ("1", "L", "RGB", "I;16"):
        return None
    if image.mode == "RGB":
        wanted = np.array(key) >> (8 if depth == 16 else 0)
        is_clear = (np.asarray(image) == wanted).all(axis=-1)
    elif image.mode == "L":
        is_clear = np.asarray(image) == key * 255 // (2**depth - 1)
    else:
        is_clear = np.asarray(image.convert("L") if image.mode == "1" else image) == key
    return Image.fromarray(np.where(is_clear, 0, 255).astype(np.uint8))


def _high_byte(image: Image.Image) -> Image.Image:
    """16-bit grey -> L by value >> 8; of a 12-bit TIFF >> 4, and white-is-zero inverted, which Pillow leaves."""
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_TIFF_BITS_PER_SAMPLE, (16,))[0]
    grey = (np.asarray(image) >> (bits - 8)).astype(np.uint8)
    if tags.get(_TIFF_PHOTOMETRIC) == _TIFF_WHITE_IS_ZERO:
        grey = 255 - grey
    return Image.fromarray(grey)


def _translated(error: Exception, format: str, data: bytes) -> DecodeError:
    """Pillow says what is wrong in words alone."""
    words = f"{format}: {str(error) or type(error).__name__}"
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return DecodeError("decode_too_many_pixels", words)
    if "pixel mode" in words or "not supported" in words.lower():
        return DecodeError("decode_unsupported_mode", words)
    if "truncated" in words.lower() or formats.is_cut_short(format, data):
        return DecodeError("decode_truncated", words)
    return DecodeError("decode_corrupt", words)
