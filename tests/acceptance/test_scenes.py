"""segment, detect and depth with the bundled models, on the committed scenes: the same answer whatever is beside it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pycocotools import mask as coco

import visioncli
from tests.children import Nursery
from visioncli.samples import ImageRef
from visioncli.tasks.objects import Objects

FOLDER = Path(__file__).parents[2] / "sample_data/scenes"
SCENES = sorted(FOLDER.glob("*.[jp][pn]g"))
TRUTH = [json.loads(line) for line in (FOLDER / "truth.jsonl").read_text().splitlines()]
PROMPTS = tuple(dict.fromkeys(thing["concept"] for scene in TRUTH[:8] for thing in scene["things"]))
OPTIONS: dict[str, Any] = {
    "detect": visioncli.DetectOptions(PROMPTS, box_threshold=0.25),
    "segment": visioncli.SegmentOptions(PROMPTS),
    "depth": visioncli.DepthOptions(),
}
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:pycocotools")  # its decode, under numpy 2.4
TASKS = pytest.mark.parametrize("task", OPTIONS)
# Inverse of what Pillow's exif_transpose does: how an upright picture is stored under each orientation.
STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def opened(path: Path) -> Image.Image:
    """The picture, read, its file closed."""
    with Image.open(path) as picture:
        picture.load()
    return picture


def refs(paths: list[Path]) -> list[ImageRef]:
    return [ImageRef(n, path.name, bytes(path.absolute())) for n, path in enumerate(paths)]


def results(task: str, paths: list[Path], batch_size: int) -> list[Any]:
    predictor = visioncli.load(task, "demo", device="cpu", dtype="float32", batch_size=batch_size)
    outcomes = list(visioncli.answer(refs(paths), predictor, OPTIONS[task]))
    assert all(isinstance(outcome, visioncli.Answer) for outcome in outcomes), outcomes
    return [outcome.result for outcome in outcomes if isinstance(outcome, visioncli.Answer)]


def refuse_difference(one: Any, other: Any) -> None:
    """Fail unless two results are the same within what the issue of neighbours allows."""
    if not isinstance(one, Objects):
        np.testing.assert_allclose(one.depth, other.depth, rtol=1e-4)
        return
    assert one.labels == other.labels
    np.testing.assert_allclose(one.boxes, other.boxes, atol=0.5)
    np.testing.assert_allclose(one.scores, other.scores, atol=1e-3)
    for mask, same in zip(one.masks or (), other.masks or (), strict=True):
        assert overlap(mask, same) >= 0.999


def overlap(one: Any, other: Any) -> float:
    """Intersection over union of two masks; 1 where both are empty."""
    first, second = ({"size": mask.size, "counts": mask.counts.encode()} for mask in (one, other))
    if coco.area(first) == coco.area(second) == 0:
        return 1.0
    return float(coco.iou([first], [second], [0])[0, 0])


@pytest.fixture(scope="module")
def alone() -> dict[str, list[Any]]:
    """Each of eight scenes by itself."""
    return {task: results(task, SCENES[:8], batch_size=1) for task in OPTIONS}


@TASKS
def test_the_scenes_show_something(alone: dict[str, list[Any]], task: str) -> None:
    if task == "depth":
        assert all(result.depth.max() > 1.5 * result.depth.min() for result in alone[task])
    else:
        assert sum(len(result.labels) for result in alone[task]) >= 8


@TASKS
@pytest.mark.parametrize("batch_size", [2, 5, 8])
def test_an_answer_does_not_depend_on_its_neighbours(alone: dict[str, list[Any]], task: str, batch_size: int) -> None:
    assert len({opened(path).size for path in SCENES[:8]}) > 2
    for one, other in zip(alone[task], results(task, SCENES[:8], batch_size), strict=True):
        refuse_difference(one, other)


@pytest.fixture(scope="module")
def turned(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One scene stored eight ways, each with the orientation that makes it upright again."""
    folder, upright = tmp_path_factory.mktemp("turned"), opened(SCENES[0]).convert("RGB")
    return list(_turned(folder, upright))


def _turned(folder: Path, upright: Image.Image, suffix: str = ".png", **how: Any) -> Iterator[Path]:
    for orientation in range(1, 9):
        stored = upright.transpose(STORED[orientation]) if orientation in STORED else upright
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored.save(folder / f"{orientation}{suffix}", exif=exif, **how)
        yield folder / f"{orientation}{suffix}"


@TASKS
def test_all_eight_orientations_give_the_same(turned: list[Path], task: str) -> None:
    first, *others = results(task, turned, batch_size=1)
    for other in others:
        refuse_difference(first, other)


@pytest.mark.parametrize("size", [(1923, 1201), (1926, 1204)], ids=str)  # width, height: as it is, and at 1/2
def test_all_eight_orientations_of_a_large_jpeg_give_what_its_own_pixels_give(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    upright = opened(SCENES[4]).convert("RGB").resize(size)  # nothing in it is near a threshold
    (tmp_path / "turned").mkdir()
    upright.save(tmp_path / "whole.png", compress_level=1)  # never decoded at a reduced size
    turned = list(_turned(tmp_path / "turned", upright, ".jpg", quality=97, subsampling=0))
    for task in OPTIONS:
        whole, *others = results(task, [tmp_path / "whole.png", *turned], batch_size=1)
        for other in others:
            refuse_shift(whole, other)


def refuse_shift(one: Any, other: Any) -> None:
    """Fail where a box is more than a pixel of a large picture away, of which the model sees a fifteenth."""
    if not isinstance(one, Objects):
        assert np.mean(np.abs(one.depth / other.depth - 1)) < 1e-3
        return
    assert sorted(one.labels) == sorted(other.labels)
    for n, m in zip(by_label(one), by_label(other), strict=True):
        np.testing.assert_allclose(one.boxes[n], other.boxes[m], atol=1)
        assert one.masks is None or other.masks is None or overlap(one.masks[n], other.masks[m]) > 0.99


def by_label(found: Objects) -> list[int]:
    """Numbers of the objects, by label: equal scores may change places."""
    return sorted(range(len(found.labels)), key=lambda n: (found.labels[n], found.boxes[n].tolist()))


# Through the command line


def test_masks_as_run_lengths_files_and_outlines_are_the_same(nursery: Nursery, tmp_path: Path) -> None:
    rows = {}
    for masks in ("rle", "png", "polygons"):
        output = tmp_path / f"{masks}.parquet"
        command = ["segment", *map(str, SCENES[:4]), "--model", "demo", "--prompts", ",".join(PROMPTS)]
        assert nursery.command([*command, "--masks", masks, "-o", str(output)]).wait().code == 0
        rows[masks] = [found for row in pq.read_table(output)["objects"].to_pylist() for found in row]
    assert len(rows["rle"]) > 0
    for rle, png, polygons in zip(rows["rle"], rows["png"], rows["polygons"], strict=True):
        truth = coco.decode(rle["mask"])
        np.testing.assert_array_equal(np.asarray(opened(tmp_path / png["mask_path"])) > 0, truth > 0)
        assert np.mean(filled(polygons["polygons"], truth.shape) == truth) > 0.999


def filled(rings: list[list[float]], size: tuple[int, int]) -> Any:
    """The pixels whose centres are inside an odd number of rings: a ray to the left crosses an odd number of edges."""
    inside = np.zeros(size, bool)
    columns = np.arange(size[1]) + 0.5
    for ring in rings:
        points = np.reshape(ring, (-1, 2))
        for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
            for row in range(size[0]):
                if (y0 <= row + 0.5) != (y1 <= row + 0.5):
                    inside[row] ^= columns > x0 + (row + 0.5 - y0) / (y1 - y0) * (x1 - x0)
    return inside


def test_depth_files_hold_what_the_columns_say(nursery: Nursery, tmp_path: Path) -> None:
    output = tmp_path / "depth.parquet"
    command = ["depth", *map(str, SCENES[:3]), "--model", "demo", "--export", "png16,npz,preview,glb,ply"]
    assert nursery.command([*command, "-o", str(output)]).wait().code == 0
    for row in pq.read_table(output).to_pylist():
        levels = np.asarray(opened(tmp_path / row["depth_path"])).astype(np.float64)
        assert levels.shape == (row["height"], row["width"])
        depth = row["depth_min"] + levels / 65535 * (row["depth_max"] - row["depth_min"])
        arrays = np.load(tmp_path / row["depth_npz_path"])
        np.testing.assert_allclose(depth, arrays["depth"], atol=(row["depth_max"] - row["depth_min"]) / 65535)
        assert all((tmp_path / row[f"depth_{kind}_path"]).stat().st_size > 1000 for kind in ("preview", "glb", "ply"))


def test_files_that_no_row_names_any_more_go(nursery: Nursery, tmp_path: Path) -> None:
    output, command = tmp_path / "depth.parquet", ["depth", "--model", "demo", "-o", str(tmp_path / "depth.parquet")]
    assert nursery.command([*command, *map(str, SCENES[:3])]).wait().code == 0
    (tmp_path / "depth.parquet.files/mine.txt").write_text("not theirs")
    assert nursery.command([*command, *map(str, SCENES[1:2]), "--overwrite"]).wait().code == 0
    left = {str(path.relative_to(tmp_path)) for path in output.with_name("depth.parquet.files").rglob("*.*")}
    assert left == {*pq.read_table(output)["depth_path"].to_pylist(), "depth.parquet.files/mine.txt"}


@pytest.mark.parametrize("task", ["detect", "segment"])
def test_an_overlay_is_drawn_for_every_picture(
    nursery: Nursery, tmp_path: Path, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # which is where paths on standard output begin
    command = [task, *map(str, SCENES[:3]), "--model", "demo", "--prompts", ",".join(PROMPTS), "-o", "-"]
    ended = nursery.command([*command, "--overlay", str(tmp_path / "seen")]).wait()
    assert (ended.code, len(ended.out.splitlines())) == (0, 3)
    drawn = [tmp_path / json.loads(line)["overlay_path"] for line in ended.out.splitlines()]
    assert sorted(drawn) == sorted((tmp_path / "seen").iterdir())
    assert [opened(path).size for path in drawn] == [opened(path).size for path in SCENES[:3]]


def test_files_beside_standard_output_are_refused(nursery: Nursery) -> None:
    ended = nursery.command(["depth", str(SCENES[0]), "--model", "demo", "-o", "-"]).wait()
    assert (ended.code, ended.err) == (
        2,
        "visioncli: depth writes files beside its output, and -o - has no place beside it; name a file\n",
    )


# Killed and begun again


@pytest.mark.parametrize("task", ["segment", "depth"])
def test_a_run_killed_three_times_gives_the_same_table_and_files(nursery: Nursery, tmp_path: Path, task: str) -> None:
    found = []
    for name in ("whole", "killed"):
        output = tmp_path / name / "out.parquet"
        policy = visioncli.Policy(part_rows=4)
        options = visioncli.SegmentOptions(PROMPTS[:4]) if task == "segment" else OPTIONS[task]
        job = visioncli.Job(task, options, str(output), (str(FOLDER),), model="demo", policy=policy)
        for parts in (1, 4, 7) if name == "killed" else ():
            child = nursery.job(job)
            wait_until(lambda output=output, parts=parts: len(list(output.parent.glob("*.run/part-*"))) >= parts)
            child.kill(9)
            assert child.wait().code == -9
        assert nursery.job(job).wait().code == 0
        files = {path.relative_to(tmp_path / name): path.read_bytes() for path in output.parent.glob("*.files/*/*")}
        found.append((pq.read_table(output), files))
    (whole, files), (killed, again) = found
    assert len(whole) == 40
    assert killed.equals(whole)
    assert (len(files) == 40) == (task == "depth")
    assert again == files


def wait_until(is_so: Callable[[], bool], within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.002)
