"""What the Vision Models API answers, beside what the tasks, transformers and the formats' own libraries say."""

from __future__ import annotations

import base64
import io
import zlib
from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco

import visioncli
from tests.models import dinov3_oracle
from tests.server.dialects.serving import ROOT
from tests.server.dialects.vision_serving import SCENES, Client, scene, serving, text
from visioncli.samples import ImageRef
from visioncli.tasks.depth import DepthMap

# pycocotools 2.0.11 asks numpy 2 for an array in numpy 1's way; its `decode` warns, its `encode` does not.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

PROMPTS = ("truck", "egg", "helicopter")
PICTURES = [text(scene(1)), text(scene(2))]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with serving(tmp_path_factory.mktemp("jobs") / "jobs.sqlite") as url:
        yield Client(url)


def of_task(task: str, options: Any) -> list[Any]:
    """The batch command's results for both pictures, decoded as requests are."""
    settings = visioncli.Settings(decode=visioncli.DecodeOptions(upright=False, alpha="drop", exact=True))
    predictor = visioncli.load(task, "demo", dtype="float32")
    refs = [ImageRef(n, str(n), bytes(SCENES / f"{n:02d}.jpg")) for n in (1, 2)]
    return [outcome.result for outcome in visioncli.answer(refs, predictor, options, settings)]  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def found() -> list[Any]:
    return of_task("segment", visioncli.SegmentOptions(PROMPTS))


def segmented(client: Client, **changes: Any) -> list[list[dict[str, Any]]]:
    """[picture][prompt]: the `result`."""
    body = {"images": PICTURES, "prompts": PROMPTS, **changes}
    answered = client.answer("/inference/sam3", body)["results"]
    return [[each["result"] for each in of_picture] for of_picture in answered]


def decoded(mask: dict[str, Any]) -> NDArray[np.uint8]:
    return np.asarray(coco.decode(mask | {"counts": mask["counts"].encode()}))


def unpacked(mask: dict[str, Any]) -> NDArray[np.uint8]:
    """The container, as the original's clients read it."""
    runs = np.frombuffer(zlib.decompress(base64.b64decode(mask["counts"])), "<u4")
    return np.repeat(np.arange(len(runs)) % 2, runs).reshape(mask["size"], order="F")


# sam3


def test_scores_and_boxes_are_the_tasks_by_prompt(client: Client, found: list[Any]) -> None:
    answered = segmented(client)
    assert sum(len(objects.labels) for objects in found) >= 3
    for objects, of_picture in zip(found, answered, strict=True):
        for prompt, result in zip(PROMPTS, of_picture, strict=True):
            mine = [place for place, label in enumerate(objects.labels) if label == prompt]
            np.testing.assert_allclose(result["scores"], objects.scores[mine], atol=1e-4)
            np.testing.assert_allclose(np.reshape(result["boxes"], (-1, 4)), objects.boxes[mine], atol=0.05)
            assert result["iou_scores"] == result["scores"]


def test_all_forms_of_a_mask_are_the_tasks_mask(client: Client, found: list[Any]) -> None:
    lengths, dense = segmented(client), segmented(client, output_format="dense")
    for objects, by_runs, by_pixels in zip(found, lengths, dense, strict=True):
        for prompt, one, other in zip(PROMPTS, by_runs, by_pixels, strict=True):
            mine = [objects.masks[place] for place, label in enumerate(objects.labels) if label == prompt]
            truth = [decoded({"size": mask.size, "counts": mask.counts}) for mask in mine]
            for shown in (map(decoded, one["masks_coco"]), map(unpacked, one["masks_rle"]), other["masks"]):
                for mask, true in zip(shown, truth, strict=True):
                    np.testing.assert_array_equal(mask, true)


def test_outlines_enclose_the_mask(client: Client) -> None:
    lengths, outlined = segmented(client), segmented(client, output_format="polygons")
    pairs = [
        (decoded(mask), contours)
        for one, other in zip(chain(*lengths), chain(*outlined), strict=True)
        for mask, contours in zip(one["masks_coco"], other["masks_polygon"], strict=True)
    ]
    for mask, contours in pairs:
        rings = [np.ravel(contour).tolist() for contour in contours]
        filled = coco.decode(coco.merge(coco.frPyObjects(rings, *mask.shape)))
        assert (filled & mask).sum() / (filled | mask).sum() > 0.9
    assert len(pairs) >= 3


def test_every_picture_may_have_prompts_of_its_own(client: Client) -> None:
    shared = segmented(client)
    own = segmented(client, prompts=[["egg"], ["helicopter", "truck"]])
    assert [len(each) for each in own] == [1, 2]
    for one, other in ((own[0][0], shared[0][1]), (own[1][0], shared[1][2]), (own[1][1], shared[1][0])):
        np.testing.assert_allclose(one["boxes"], other["boxes"], atol=0.05)


def test_a_prompt_that_repeats_is_answered_each_time(client: Client) -> None:
    first, _, again, once_more = segmented(client, prompts=["egg", "truck", "Egg", "egg"])[0]
    assert first == again == once_more
    assert len(first["scores"]) > 0


@pytest.mark.parametrize(("resolve", "priors"), [(True, (1, 1, 1)), ([0.01, 5, 1], (0.01, 5, 1))])
def test_a_shared_pixel_goes_to_the_best_score_times_prior(client: Client, resolve: Any, priors: Any) -> None:
    asked = {"prompts": ["truck", "car", "bus"], "threshold": 0.01, "output_format": "dense"}
    (plain, _), (own, _) = (segmented(client, resolve_overlaps=value, **asked) for value in (False, resolve))
    strengths = [score * prior for of, prior in zip(plain, priors, strict=True) for score in of["scores"]]
    before, after = (np.array([mask for of in each for mask in of["masks"]]) for each in (plain, own))
    assert before.sum(0).max() > 1
    owner = (before * np.reshape(strengths, (-1, 1, 1))).argmax(0)
    np.testing.assert_array_equal(after, before * (owner == np.arange(len(before))[:, None, None]))


def test_nothing_found_is_an_empty_result(client: Client) -> None:
    empty = {"scores": [], "iou_scores": [], "boxes": []}
    shown = {"rle": {"masks_rle": [], "masks_coco": []}, "dense": {"masks": []}, "polygons": {"masks_polygon": []}}
    for output_format, masks in shown.items():
        assert segmented(client, threshold=1, output_format=output_format)[0][0] == empty | masks


def test_in_the_original_fidelity_there_is_its_own_container_alone(tmp_path: Any) -> None:
    with serving(tmp_path / "jobs.sqlite", fidelity="original") as url:
        assert list(segmented(Client(url))[0][0]) == ["scores", "iou_scores", "boxes", "masks_rle"]
        (detected,) = Client(url).answer("/inference/grounding-dino", DETECT)["results"]
    assert all(len(box) == 4 and all(isinstance(edge, float) for edge in box) for box in detected["boxes"])
    assert detected["labels"] == detected["text_labels"] != []


# grounding-dino

DETECT = {"images": PICTURES[:1], "prompts": ["Truck", "egg", "truck"]}


def test_boxes_are_the_tasks_with_their_prompts(client: Client) -> None:
    (detected,) = client.answer("/inference/grounding-dino", DETECT)["results"]
    objects, _ = of_task("detect", visioncli.DetectOptions(("Truck", "egg")))
    assert (detected["labels"], detected["text_labels"]) == (list(objects.labels), list(objects.phrases))
    np.testing.assert_allclose([box["box"] for box in detected["boxes"]], objects.boxes, atol=0.05)
    np.testing.assert_allclose(detected["scores"], objects.scores, atol=1e-4)
    for box, score, label in zip(detected["boxes"], detected["scores"], detected["labels"], strict=True):
        corners = dict(zip(("x1", "y1", "x2", "y2"), box["box"], strict=True))
        assert box == {"score": score, "label": label, "box": box["box"], **corners}


# depth-anything


@pytest.fixture(scope="module")
def maps() -> list[DepthMap]:
    return of_task("depth", visioncli.DepthOptions(size="model"))


def estimated(client: Client, export_format: str, count: int = 1) -> tuple[dict[str, Any], bytes]:
    body = client.answer("/inference/depth-anything", {"images": PICTURES[:count], "export_format": export_format})
    return body, base64.b64decode(body["export_data"])


def test_the_png_and_its_scale_give_the_depth_back(client: Client, maps: list[DepthMap]) -> None:
    body, _ = estimated(client, "npz")
    with Image.open(io.BytesIO(base64.b64decode(body["depth_data"]))) as picture:
        assert (picture.format, picture.mode) == ("PNG", "L")
        values = np.asarray(picture)
    low, high = body["metadata"]["depth_min"], body["metadata"]["depth_max"]
    half_a_level = (high - low) / 255 / 2
    np.testing.assert_allclose(low + values / 255 * (high - low), maps[0].depth, atol=half_a_level + 1e-3)
    assert (body["format"], body["metadata"]["direction"]) == ("png_base64", "larger is farther")


def test_the_cameras_are_the_models(client: Client, maps: list[DepthMap]) -> None:
    metadata = estimated(client, "npz", count=2)[0]["metadata"]
    assert metadata["shape"] == [2, *maps[0].depth.shape]
    np.testing.assert_allclose(metadata["intrinsics"], [each.intrinsics for each in maps], rtol=1e-4)
    np.testing.assert_allclose(metadata["extrinsics"], [each.extrinsics for each in maps], atol=1e-4)


def test_further_images_are_beside_the_first(client: Client, maps: list[DepthMap]) -> None:
    (other,) = estimated(client, "npz", count=2)[0]["others"]
    assert other["metadata"]["shape"] == list(maps[1].depth.shape)
    with np.load(io.BytesIO(base64.b64decode(other["export_data"]))) as arrays:
        np.testing.assert_allclose(arrays["depth"], maps[1].depth, rtol=1e-4)


def test_the_npz_holds_the_map_and_its_camera(client: Client, maps: list[DepthMap]) -> None:
    with np.load(io.BytesIO(estimated(client, "npz")[1])) as arrays:
        assert set(arrays) == {"depth", "conf", "intrinsics", "extrinsics"}
        np.testing.assert_allclose(arrays["depth"], maps[0].depth, rtol=1e-4)


@pytest.mark.parametrize("export_format", ["glb", "ply"])
def test_a_cloud_has_a_point_for_each_confident_pixel(client: Client, maps: list[DepthMap], export_format: str) -> None:
    body, data = estimated(client, export_format)
    cloud = trimesh.load(io.BytesIO(data), file_type=export_format)
    points = cloud.geometry["points"] if export_format == "glb" else cloud
    assert body["export_format"] == export_format
    assert len(points.vertices) == pytest.approx(0.6 * maps[0].depth.size, abs=2)  # above the 40th percentile


# dinov3


def test_features_are_those_of_transformers(client: Client) -> None:
    from transformers import DINOv3ViTModel

    body = client.answer("/inference/dinov3", {"images": PICTURES})["features"]
    folder = ROOT / "visioncli/models/demo/dinov3"
    model = DINOv3ViTModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32).eval()
    pictures = [np.array(Image.open(io.BytesIO(scene(n))).convert("RGB")) for n in (1, 2)]
    size = (model.config.image_size,) * 2
    with torch.inference_mode():
        truth = model(pixel_values=dinov3_oracle.pixels(pictures, size).float())
    for name in ("last_hidden_state", "pooler_output"):
        np.testing.assert_allclose(body[name], getattr(truth, name).numpy(), atol=2e-2)
        assert body[f"{name}_shape"] == list(getattr(truth, name).shape)
