import os
import runpy
from pathlib import Path

import pytest

from visioncli.errors import RowError
from visioncli.io.decode import DecodeOptions, decode
from visioncli.io.fetch import Fetched, FetchOptions, read

SAMPLE_DATA = Path(__file__).parents[2] / "sample_data"
EXPECTED: dict[str, tuple[int, int] | str] = {  # (height, width), or the code of its failure
    "alpha.png": (72, 96),
    "animated.gif": (72, 96),
    "bomb.png": "decode_too_many_pixels",
    "cmyk.jpg": (72, 96),
    "empty.jpg": "empty_file",
    "float.tif": "decode_unsupported_mode",
    "one_pixel.png": (1, 1),
    "page.jpg": "decode_not_an_image",
    "palette.png": (72, 96),
    "rotated_6.jpg": (72, 96),
    "sixteen_bit.png": (24, 32),
    "truncated.jpg": "decode_truncated",
    "ünï 猫.png": (72, 96),
}


def outcome(name: str) -> tuple[int, int] | str:
    try:
        fetched = read(os.fsencode(SAMPLE_DATA / "difficult" / name), FetchOptions())
        assert isinstance(fetched, Fetched)
        decoded = decode(fetched.data, DecodeOptions())
    except RowError as error:
        return error.code
    assert decoded.image.shape == (*decoded.size, 3)
    return decoded.size


def test_the_table_names_every_file() -> None:
    assert {path.name for path in (SAMPLE_DATA / "difficult").iterdir()} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_each_difficult_file_has_its_size_or_its_code(name: str) -> None:
    assert outcome(name) == EXPECTED[name]


def test_the_recipe_makes_the_lossless_files_again() -> None:
    """Only those whose bytes do not depend on the codec's version."""
    made = runpy.run_path(str(SAMPLE_DATA / "recipes" / "difficult.py"))["files"]()
    for name in ("empty.jpg", "page.jpg"):
        assert made[name] == (SAMPLE_DATA / "difficult" / name).read_bytes()
    assert set(made) == set(EXPECTED)
