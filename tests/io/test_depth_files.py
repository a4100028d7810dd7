"""Depth maps as files, read back by Pillow and numpy: half a step, the scale, every array, the colours."""

from __future__ import annotations

import io
import time
import zipfile

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from visioncli.io.depth_files import PREVIEW_SIDE, npz, npz_of, png16, preview
from visioncli.tasks.depth import DepthMap

Map = NDArray[np.float32]
INFERNO = {0: (0, 0, 4), 64: (87, 16, 110), 128: (188, 55, 84), 200: (251, 157, 7), 255: (252, 255, 164)}  # matplotlib


def noise(height: int, width: int, low: float = 0.3, high: float = 80.0) -> Map:
    return np.random.default_rng(height).uniform(low, high, (height, width)).astype(np.float32)


def pixels(png: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


MAPS = {
    "noise": noise(61, 47),
    "one pixel": noise(1, 1),
    "one row": noise(1, 5000),
    "one column": noise(3000, 1),
    "negative": noise(20, 30, -5.0, -4.0),
    "far from zero": noise(20, 30, 1e6, 1e6 + 1),
    "tiny": noise(20, 30, 1e-38, 3e-38),
    "all that float32 holds": np.array([[-3.4e38, 0, 1], [3.4e38, 1e30, -1e30]], np.float32),
    "two neighbours": np.array([[1, np.nextafter(np.float32(1), np.float32(2))]], np.float32),
}


@pytest.mark.parametrize("depth", MAPS.values(), ids=MAPS)
def test_a_png_gives_the_depth_back_within_half_a_step(depth: Map) -> None:
    png, near, far = png16(depth)
    picture = Image.open(io.BytesIO(png))
    values = np.asarray(picture).astype(np.float64)
    assert picture.mode == "I;16"
    assert (near, far) == (float(depth.min()), float(depth.max()))
    decoded = near + values / 65535 * (far - near)
    assert np.abs(decoded - depth).max() <= (far - near) / 65535 * 0.5 * (1 + 1e-9) + 1e-300


def test_the_nearest_is_0_and_the_farthest_65535() -> None:
    depth = np.array([[5, 1, 3], [2, 9, 1]], np.float32)
    values = np.asarray(Image.open(io.BytesIO(png16(depth)[0])))
    assert values.tolist() == [[32768, 0, 16384], [8192, 65535, 0]]


def test_a_constant_map_is_all_0_and_says_its_depth_twice() -> None:
    png, near, far = png16(np.full((4, 3), 0.1, np.float32))
    assert (near, far) == (float(np.float32(0.1)), float(np.float32(0.1)))
    assert not np.asarray(Image.open(io.BytesIO(png))).any()


def test_the_scale_in_the_file_gives_the_same_float32() -> None:
    png, near, far = png16(noise(8, 8, 0.1, 0.7))
    told = Image.open(io.BytesIO(png)).text
    assert np.float32(told["visioncli:depth_min"]) == np.float32(near) == near
    assert np.float32(told["visioncli:depth_max"]) == np.float32(far) == far
    assert told["visioncli:depth"].startswith("depth = depth_min + v / 65535 * (depth_max - depth_min)")
    assert png.index(b"tEXtvisioncli:depth_min\x00") < png.index(b"IDAT")


def test_a_twelve_megapixel_map_is_written_quickly_and_small() -> None:
    depth = np.asarray(Image.fromarray(noise(36, 48)).resize((4000, 3000), Image.Resampling.BILINEAR))
    started = time.thread_time()
    png, _, _ = png16(depth)
    assert time.thread_time() - started < 3  # 0.6 s on an idle core; the rest is for a busy one
    assert len(png) < 14e6  # of 24e6


def test_an_npz_holds_all_that_is_there_bit_for_bit() -> None:
    arrays = {
        "depth": noise(7, 9),
        "conf": noise(7, 9, 1, 2),
        "intrinsics": noise(3, 3),
        "extrinsics": noise(3, 4),
        "sky": noise(7, 9) > 40,
    }
    depth, conf, intrinsics, extrinsics, sky = arrays.values()
    found = np.load(io.BytesIO(npz(DepthMap(depth, True, conf, intrinsics, extrinsics, sky))))
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
    assert list(np.load(io.BytesIO(npz(DepthMap(depth, False))))) == ["depth"]


def test_an_npz_has_the_same_bytes_at_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = {"tokens": noise(5, 4), "mask": np.ones((2, 3), np.bool_), "turned": noise(5, 4).T}
    first = npz_of(arrays)
    monkeypatch.setattr(time, "localtime", lambda *_: time.struct_time((2038, 1, 19, 3, 14, 7, 1, 19, 0)))
    assert npz_of(arrays) == first
    assert {entry.date_time for entry in zipfile.ZipFile(io.BytesIO(first)).infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert zipfile.ZipFile(io.BytesIO(first)).testzip() is None


@pytest.mark.parametrize("depth", [np.linspace(1, 9, 500), np.linspace(-4, 4, 500)], ids=["positive", "through zero"])
def test_the_nearer_the_brighter(depth: NDArray[np.float64]) -> None:
    picture = pixels(preview(DepthMap(np.tile(depth.astype(np.float32), (3, 1)), False)))
    light = picture[1].astype(np.float64) @ [0.2126, 0.7152, 0.0722]
    assert picture.shape == (3, 500, 3)
    assert (np.diff(light) <= 1).all()
    assert light[0] > 240
    assert light[-1] < 25


def test_the_colours_are_the_published_ones() -> None:
    disparity = np.arange(256)  # linear in share from 0.1, the farthest that is no sky, to 1
    depth = -np.tile(np.linspace(0.1, 1, 256), (20, 1))
    low, high = np.percentile(-depth, (2, 98))
    shares = 0.1 + 0.9 * np.clip((np.linspace(0.1, 1, 256) - low) / (high - low), 0, 1)
    picture = pixels(preview(DepthMap(depth.astype(np.float32), False)))[0]
    for level, colour in list(INFERNO.items())[1:]:
        nearest = disparity[np.abs(shares * 255 - level).argmin()]
        assert np.abs(picture[nearest].astype(int) - colour).max() <= 4  # a level is up to 4 away from the next


def test_one_wild_pixel_does_not_darken_the_rest() -> None:
    depth = np.tile(np.linspace(1, 9, 100, dtype=np.float32), (100, 1))
    tame = pixels(preview(DepthMap(depth, False))).astype(int)
    depth[0, :3] = 1e-6, 1e9, 1e-3
    wild = pixels(preview(DepthMap(depth, False))).astype(int)
    assert np.abs(tame[1:] - wild[1:]).max() <= 3


def test_the_sky_is_black_and_what_is_farthest_is_not() -> None:
    depth = np.tile(np.linspace(1, 9, 50, dtype=np.float32), (40, 1))
    sky = np.zeros(depth.shape, np.bool_)
    sky[:20] = True
    picture = pixels(preview(DepthMap(depth, False, sky=sky)))
    assert set(map(tuple, picture[:20].reshape(-1, 3).tolist())) == {INFERNO[0]}
    assert picture[20:, -1, 2].min() > 25
    assert pixels(preview(DepthMap(depth, False, sky=np.ones_like(sky)))).max() <= 4


@pytest.mark.parametrize("size", [(1, 1), (2, 70_000), (3001, 1), (120, 4000)])
def test_a_preview_fits_a_screen(size: tuple[int, int]) -> None:
    picture = pixels(preview(DepthMap(noise(*size), False)))
    shrink = min(1, PREVIEW_SIDE / max(size))
    assert picture.shape == (max(1, round(size[0] * shrink)), max(1, round(size[1] * shrink)), 3)
    constant = pixels(preview(DepthMap(np.ones(size, np.float32), False)))
    assert len(np.unique(constant.reshape(-1, 3), axis=0)) == 1
