"""Point clouds, read back by trimesh and by hand: where the points are, which there are, what is told of them."""

from __future__ import annotations

import io
import json
import struct
from math import tan
from typing import Any

import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray

from visioncli.io.clouds import glb, ply
from visioncli.tasks.depth import DepthMap

Points = NDArray[np.float32]  # (N, 3)
CAMERA = np.array([[50, 0, 32], [0, 40, 24], [0, 0, 1]], np.float32)  # of a map of 48 × 64


def grey(height: int, width: int, level: int = 128) -> NDArray[np.uint8]:
    return np.full((height, width, 3), level, np.uint8)


def read_glb(data: bytes) -> tuple[Points, NDArray[np.uint8], dict[str, Any]]:
    """By glTF 2.0's own text: a header, a JSON chunk, a binary chunk."""
    magic, version, length, size, kind = struct.unpack("<4sIII4s", data[:20])
    assert (magic, version, length, kind) == (b"glTF", 2, len(data), b"JSON")
    tree = json.loads(data[20 : 20 + size])
    binary, kind = struct.unpack("<I4s", data[20 + size : 28 + size])
    assert (binary, kind) == (len(data) - 28 - size, b"BIN\x00")
    (primitive,) = tree["meshes"][0]["primitives"]
    assert primitive["mode"] == 0  # points
    found = []
    for name, dtype, width in (("POSITION", "<f4", 3), ("COLOR_0", "u1", 4)):
        accessor = tree["accessors"][primitive["attributes"][name]]
        start = 28 + size + tree["bufferViews"][accessor["bufferView"]]["byteOffset"]
        found.append(np.frombuffer(data, dtype, accessor["count"] * width, start).reshape(-1, width))
    return found[0], found[1], tree["scenes"][0]["extras"]["visioncli"]


def read_ply(data: bytes) -> tuple[Points, NDArray[np.uint8], dict[str, Any]]:
    """By the format's own text: a header of lines, then the vertices."""
    header, body = data.split(b"end_header\n", 1)
    lines = header.decode("ascii").splitlines()
    kinds = {"float": "<f4", "uchar": "u1"}
    fields = [(line.split()[2], kinds[line.split()[1]]) for line in lines if line.startswith("property")]
    table = np.frombuffer(body, fields)
    assert f"element vertex {len(table)}" in lines
    (told,) = [line.removeprefix("comment visioncli ") for line in lines if line.startswith("comment visioncli ")]
    points = np.stack([table[name] for name in "xyz"], axis=1)
    return points, np.stack([table[name] for name in ("red", "green", "blue")], axis=1), json.loads(told)


READERS = {"glb": (glb, read_glb), "ply": (ply, read_ply)}
both = pytest.mark.parametrize("kind", READERS)


def cloud_of(kind: str, depth_map: DepthMap, image: NDArray[np.uint8]) -> tuple[Points, NDArray[np.uint8], Any]:
    write, read = READERS[kind]
    points, colours, told = read(write(depth_map, image))
    return points + np.array(told["origin"]), colours[:, :3], told  # in the camera's frame, glTF's axes


@both
def test_a_tilted_plane_stays_that_plane(kind: str) -> None:
    """On n·p = 2 in the camera's frame (x right, y down, z forward), the ray r through a pixel has depth 2 / n·r."""
    normal = np.array([0.2, -0.3, 0.9])
    u, v = np.meshgrid(np.arange(64) + 0.5, np.arange(48) + 0.5)
    rays = np.stack([u, v, np.ones_like(u)], axis=-1) @ np.linalg.inv(CAMERA.astype(float)).T
    depth = (2 / (rays @ normal)).astype(np.float32)
    points, _, told = cloud_of(kind, DepthMap(depth, True, intrinsics=CAMERA), grey(48, 64))
    np.testing.assert_allclose(points * [1, -1, -1] @ normal, 2, atol=1e-5)
    np.testing.assert_allclose(points * [1, -1, -1], (rays * depth[..., None]).reshape(-1, 3), atol=1e-5)
    assert told["intrinsics"] == [50, 40, 32, 24]
    assert told["metric"] is True
    assert "assumed_fov_deg" not in told


@both
def test_what_is_right_and_up_in_the_picture_is_right_and_up_in_the_cloud(kind: str) -> None:
    image = grey(40, 60)
    image[0, 59] = 255, 0, 0
    points, colours, _ = cloud_of(kind, DepthMap(np.full((40, 60), 3, np.float32), False), image)
    ((x, y, z),) = points[(colours == [255, 0, 0]).all(axis=1)].tolist()
    assert x == points[:, 0].max() > 0
    assert y == points[:, 1].max() > 0
    assert z == pytest.approx(-3)


@both
def test_trimesh_reads_the_same_points(kind: str) -> None:
    depth = np.random.default_rng(0).uniform(1, 5, (30, 20)).astype(np.float32)
    data = READERS[kind][0](DepthMap(depth, False), grey(30, 20))
    loaded = trimesh.load(io.BytesIO(data), file_type=kind)
    cloud = next(iter(loaded.geometry.values())) if kind == "glb" else loaded
    points, colours, _ = READERS[kind][1](data)
    np.testing.assert_array_equal(cloud.vertices.astype(np.float32), points)
    np.testing.assert_array_equal(cloud.colors[:, :3], colours[:, :3])
    np.testing.assert_allclose(np.median(points, axis=0), 0, atol=1e-6)


@pytest.mark.parametrize(("size", "focal"), [((40, 60), 30), ((60, 40), 30), ((1, 1), 0.5)])
@both
def test_without_intrinsics_sixty_degrees_are_assumed_and_told(kind: str, size: tuple[int, int], focal: float) -> None:
    points, _, told = cloud_of(kind, DepthMap(np.full(size, 2, np.float32), False), grey(*size))
    assert told["assumed_fov_deg"] == 60
    assert told["intrinsics"] == pytest.approx([focal / tan(np.pi / 6)] * 2 + [size[1] / 2, size[0] / 2])
    span = 2 * tan(np.pi / 6) * 2 * (1 - 1 / max(size))  # from the first pixel's centre to the last's
    assert np.ptp(points, axis=0).max() == pytest.approx(span, abs=1e-5)


@both
def test_sky_and_the_least_sure_four_tenths_are_no_points(kind: str) -> None:
    depth = np.arange(1, 1001, dtype=np.float32).reshape(20, 50)
    sky = depth > 900
    confidence = np.where(sky, 1, depth + 1).astype(np.float32)  # the surer, the farther
    points, _, _ = cloud_of(kind, DepthMap(depth, False, confidence, sky=sky), grey(20, 50))
    assert np.rint(-points[:, 2]).astype(int).tolist() == list(range(361, 901))  # 540 of 900


@pytest.mark.parametrize(
    ("least", "most", "share"),  # of confidences that lie evenly between: the share that is kept
    [(1.00, 1.10, 0.5), (1.00, 1.04, 0.1), (1.00, 1.0525, 0.1), (1.04, 1.29, 0.6)],
)
def test_a_confidence_below_the_least_sure_is_no_point_but_a_tenth_stays(
    least: float, most: float, share: float
) -> None:
    confidence = np.linspace(least, most, 1000, dtype=np.float32).reshape(20, 50)
    points, _, _ = read_ply(ply(DepthMap(np.full((20, 50), 2, np.float32), False, confidence), grey(20, 50)))
    assert len(points) == pytest.approx(1000 * share, abs=1)


@both
def test_a_sure_map_keeps_all_and_a_map_of_sky_alone_too(kind: str) -> None:
    depth, ones = np.full((6, 7), 2, np.float32), np.ones((6, 7), np.float32)
    assert len(cloud_of(kind, DepthMap(depth, False, ones), grey(6, 7))[0]) == 42
    assert len(cloud_of(kind, DepthMap(depth, False, sky=ones > 0), grey(6, 7))[0]) == 42


def test_of_more_than_a_million_pixels_a_million_stay_the_same_ones_each_time() -> None:
    depth = np.arange(1_210_000, dtype=np.float32).reshape(1100, 1100) + 1
    image = grey(3, 3)
    first = ply(DepthMap(depth, False), image)
    points, _, told = read_ply(first)
    assert len(points) == 1_000_000
    assert ply(DepthMap(depth, False), image) == first
    counts = np.histogram(-(points[:, 2] + told["origin"][2]), 11, (0, 1_210_000))[0]  # from near to far
    assert np.abs(counts - 1_000_000 / 11).max() < 1000


def test_a_ply_has_the_pictures_colours_and_a_glb_the_same_in_linear_light() -> None:
    image = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    depth_map = DepthMap(np.ones((16, 16), np.float32), False)
    _, colours, _ = read_ply(ply(depth_map, image))
    _, linear, _ = read_glb(glb(depth_map, image))
    np.testing.assert_array_equal(colours, image.reshape(-1, 3))
    assert (linear[:, 3] == 255).all()
    assert {n: int(linear[n, 0]) for n in (0, 55, 128, 188, 255)} == {0: 0, 55: 10, 128: 55, 188: 128, 255: 255}


@both
def test_a_picture_of_another_size_colours_the_map(kind: str) -> None:
    image = grey(300, 200, 0)
    image[:, 100:] = 255
    points, colours, _ = cloud_of(kind, DepthMap(np.ones((30, 20), np.float32), False), image)
    assert (colours[points[:, 0] > 0.06] == 255).all()
    assert (colours[points[:, 0] < -0.06] == 0).all()
