"""Where pictures are found, how they are drawn and how large they become; and where vectors lie."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.report.outputs import classified, failed, pictures, seen, written
from tests.report.test_page import made
from visioncli.errors import FetchError
from visioncli.report.album import Album
from visioncli.report.overlays import depth_colours, with_objects
from visioncli.report.thumbnails import Frame, encoded
from visioncli.report.vectors import plane


@pytest.mark.parametrize(
    ("id", "source"),
    [
        ("b/c.jpg", "/old/b/c.jpg"),
        ("b/c.jpg#2", "/old/x.jpg"),
        ("sku 7", "/old/a/b/c.jpg"),
        ("../../x", "/gone/b/c.jpg"),
    ],
)
def test_a_moved_picture_is_found_by_its_id_or_the_end_of_its_source(tmp_path: Path, id: str, source: str) -> None:
    (tmp_path / "root" / "b").mkdir(parents=True)
    (tmp_path / "root" / "b" / "c.jpg").write_bytes(b"here")
    with Album(tmp_path / "root") as album:
        assert album.read(source, id) == b"here"


@pytest.mark.parametrize("id", ["../secret.jpg", "/{}/secret.jpg", "b/../../secret.jpg"])
def test_an_id_never_leads_out_of_root(tmp_path: Path, id: str) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    with Album(tmp_path / "root") as album, pytest.raises(FetchError, match="No such file"):
        album.read("/gone/picture.jpg", id.format(tmp_path))


def test_a_name_that_is_no_utf8_is_found_by_how_it_shows(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"here")
    (tmp_path / "as\\xe9written.jpg").write_bytes(b"there")
    with Album() as album:
        assert album.read(f"{tmp_path}/caf\\xe9.jpg", "1") == b"here"
        assert album.read(f"{tmp_path}/as\\xe9written.jpg", "2") == b"there"


def test_urls_are_not_asked_for_unless_that_is_said() -> None:
    with Album() as album, pytest.raises(FetchError, match="URLs are not asked for; --fetch does"):
        album.read("http://127.0.0.1:9/a.jpg", "1")


@pytest.mark.parametrize("count", [1, 500, 2000, 9000])
def test_a_thumbnail_of_noise_keeps_within_its_bytes(count: int) -> None:
    frame = Frame.of(count)
    noise = np.random.default_rng(0).integers(0, 256, (frame.side, frame.side, 3), np.uint8)
    data = encoded(Image.fromarray(noise), frame.most)
    assert len(data) <= frame.most
    assert Image.open(io.BytesIO(data)).format == "WEBP"
    assert count != 2000 or count * frame.most * 4 / 3 < 19e6


def test_a_box_is_drawn_in_the_pixels_of_the_thumbnail() -> None:
    row = {"objects": [seen("cat", 0.9, 320, 240, 640, 480)], "height": 480, "width": 640}
    drawn = np.asarray(with_objects(np.full((120, 160, 3), 128, np.uint8), row, Path()))
    changed = (drawn != 128).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (60, 119, 80, 159)
    assert not changed[70:110, 90:150].any()


def test_what_is_near_is_bright_and_what_is_far_is_dark(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 65535, 90).astype(np.uint16), (40, 1))  # v = 0 is the nearest
    Image.fromarray(ramp).save(tmp_path / "d.png")
    colours = depth_colours({"depth_path": "d.png", "depth_min": 1.0, "depth_max": 9.0, "metric": True}, tmp_path)
    assert colours is not None
    light = np.asarray(colours.convert("L")).mean(axis=0)
    assert light[0] > 200 > 60 > light[-1] and (np.diff(light) <= 1).all()


def test_a_picture_that_changed_or_lost_its_depth_says_so(tmp_path: Path) -> None:
    pictures(tmp_path, 2)
    rows = [{"depth_min": 1.0, "depth_max": 2.0, "metric": False, "depth_path": "no.png"}]
    page = made(written(tmp_path / "a.parquet", "depth", rows))
    assert page.cards[0].thumbnail.undrawn == "No such file or directory"
    assert page.notices[-1] == "1 picture is shown without what was found: No such file or directory."
    page = made(written(tmp_path / "b.parquet", "classify", [classified("cat", 0.5, sha256="0" * 64), failed("x")]))
    assert page.cards[0].thumbnail.note == "the picture has changed since the run"


def test_the_map_has_the_axes_of_largest_variance() -> None:
    points = np.random.default_rng(0).normal(size=(200, 6)) * [9, 1, 1, 4, 1, 1]
    places, shares = plane(points.astype(np.float32))
    centred = points.astype(np.float32).astype(np.float64) - points.astype(np.float32).mean(axis=0, dtype=np.float64)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(np.abs(places), np.abs(left[:, :2] * values[:2]), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(shares, (values**2 / (values**2).sum())[:2], rtol=1e-9)


def test_every_near_duplicate_on_the_map_is_red(tmp_path: Path) -> None:
    rows = [{"embedding": [1.0, 0, n * 1e-4, 0]} for n in range(60)] + [{"embedding": [0, 1.0, 0, 0]}]
    page = made(written(tmp_path / "a.parquet", "embed", rows))
    assert page.map is not None and [point.row for point in page.map.points if not point.grouped] == [60]
    assert [(len(group.rows), group.size) for group in page.groups] == [(24, 60)]


def test_rows_without_a_direction_are_in_no_statistic(tmp_path: Path) -> None:
    kinds = [[1.0, 0, 0, 0], [1.0, 0.01, 0, 0], [0.0] * 4, [float("inf")] * 4, [float("nan")] * 4, [3e38] * 4, None]
    page = made(written(tmp_path / "a.parquet", "embed", [{"embedding": one} for one in kinds]))
    assert page.groups_note.startswith("1 group among the 3 rows with a vector, ")
    assert [card.score is None for card in page.cards] == [False, False, True, True, True, False, True]


def test_planted_duplicates_are_a_group_with_cards_even_in_a_sample(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(300, 4)) * [1, 1, 1, 0]
    vectors[[40, 170, 299]] = [[0, 0, 0.1, 5], [0, 0.1, 0, 5], [0.1, 0, 0, 5]]
    rows = [{"embedding": vector} for vector in vectors]
    page = made(written(tmp_path / "a.parquet", "embed", rows), sample=20, min_score=0.9995)
    assert [sorted(group.rows) for group in page.groups if 40 in group.rows] == [[40, 170, 299]]
    assert page.map is not None and len(page.map.points) == len(page.cards) == 20
    assert {point.row for point in page.map.points if point.grouped} >= {40, 170, 299}
