"""The bundled models on the committed scenes, beside what the scenes are known to show (sample_data/README.md).

Floors, a little below what was measured: they hold the whole way from a file to its answer, not the models' training.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import visioncli
from tests.acceptance.test_scenes import FOLDER, TRUTH, overlap, refs
from visioncli.tasks.objects import Objects, Rle

SCENES = TRUTH[:12]
CONCEPTS = tuple(dict.fromkeys(thing["concept"] for scene in SCENES for thing in scene["things"]))


def answered(task: str, options: Any) -> list[Any]:
    predictor = visioncli.load(task, "demo", device="cpu", dtype="float32", batch_size=4)
    outcomes = visioncli.answer(refs([FOLDER / scene["file"] for scene in SCENES]), predictor, options)
    return [outcome.result for outcome in outcomes if isinstance(outcome, visioncli.Answer)]


def box_overlap(one: NDArray[np.float32], other: list[float]) -> float:
    """Intersection over union of two x0 y0 x1 y1."""
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    shared = np.prod(np.maximum(high - low, 0))
    return float(shared / (np.prod(one[2:] - one[:2]) + np.prod(np.subtract(other[2:], other[:2])) - shared))


def fits(found: Objects, thing: dict[str, Any]) -> float:
    """The best overlap of what was found under a thing's name with it: of masks, else of boxes."""
    alike = [number for number, label in enumerate(found.labels) if label == thing["concept"]]
    if found.masks is None:
        return max((box_overlap(found.boxes[number], thing["box"]) for number in alike), default=0.0)
    mask = Rle(tuple(thing["mask"]["size"]), thing["mask"]["counts"])
    return max((overlap(found.masks[number], mask) for number in alike), default=0.0)


@pytest.mark.parametrize(
    ("task", "options", "recall", "mean_overlap", "strangers"),  # measured: 0.842, 0.804, 0; 0.921, 0.806, 0.15
    [
        ("detect", visioncli.DetectOptions(CONCEPTS), 0.78, 0.76, 0.05),
        ("segment", visioncli.SegmentOptions(CONCEPTS), 0.86, 0.76, 0.25),
    ],
)
def test_what_the_scenes_show_is_found_where_it_is(
    task: str, options: Any, recall: float, mean_overlap: float, strangers: float
) -> None:
    results = answered(task, options)
    overlaps = [fits(found, thing) for found, scene in zip(results, SCENES, strict=True) for thing in scene["things"]]
    met = [share for share in overlaps if share >= 0.5]
    assert len(met) / len(overlaps) > recall
    assert np.mean(met) > mean_overlap
    shown = [{thing["concept"] for thing in scene["things"]} for scene in SCENES]
    wrong = [label not in names for found, names in zip(results, shown, strict=True) for label in found.labels]
    assert np.mean(wrong) < strangers


def test_depth_is_the_scenes_own_up_to_a_scale() -> None:
    errors = []
    for found, scene in zip(answered("depth", visioncli.DepthOptions()), SCENES, strict=True):
        told = scene["depth"]
        with Image.open(FOLDER / told["file"]) as picture:
            true = told["min"] + np.asarray(picture).astype(np.float64) / 65535 * (told["max"] - told["min"])
        scaled = found.depth * (np.median(true) / np.median(found.depth))
        errors.append(np.mean(np.abs(scaled - true) / true))
    assert np.mean(errors) < 0.115  # measured: 0.101
