"""Measure the detector's checkpoint on landscapes it was not trained on, through plain transformers.

Every landscape is asked for all 75 concepts in one text. A query is one detection: its box, under the concept whose own
words score best, with that score. Mean average precision at an intersection over union of 0.5 by COCO's own evaluation;
recall and precision at the usual box threshold beside it. Exits 1 below the precision required.

Usage: python grounding_accuracy.py [CHECKPOINT] [--split held_out|tune] [--count 500]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
from collections.abc import Iterator
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import numpy as np
import torch
from concepts import CONCEPTS
from grounding_checkpoint import DETECTOR
from landscape_pool import worn
from landscapes import LANDSCAPES, Thing, render_landscape
from numpy.typing import NDArray
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from transformers import (
    AutoImageProcessor,
    AutoModelForZeroShotObjectDetection,
    AutoTokenizer,
    GroundingDinoForObjectDetection,
    GroundingDinoProcessor,
)

REQUIRED = 0.80
SHORTER, LONGER = (200, 481), (1.0, 1.6)  # pixels; times the shorter side
LEAST = 0.01  # score; what scores less is no detection
BOX_THRESHOLD = 0.4  # the usual one
CHUNK = 25  # pictures per forward
OVERLAP = 0.5  # intersection over union that a detection needs

Found = dict[str, Any]  # one detection or one object as COCO's files have it


def picture(seed: int) -> tuple[Image.Image, tuple[Thing, ...]]:
    """One landscape as a file would hold it, at a size of its own, and what is in it."""
    rng = np.random.default_rng([seed, 30])
    shorter = int(rng.integers(*SHORTER))
    longer = int(shorter * rng.uniform(*LONGER))
    landscape = render_landscape(seed, (shorter, longer) if rng.random() < 0.6 else (longer, shorter))
    return worn(rng, landscape.pixels), landscape.things


def spans(input_ids: list[int], processor: GroundingDinoProcessor) -> list[list[int]]:
    """The positions of each phrase's tokens in a text of phrases that end with dots."""
    dot = processor.tokenizer.convert_tokens_to_ids(".")
    ends = [n for n, token in enumerate(input_ids) if token == dot]
    return [list(range(first + 1, end)) for first, end in zip([0, *ends[:-1]], ends, strict=True)]


def as_coco(number: int, concept: int, box: NDArray[np.float64]) -> Found:
    """The fields of an object at x0 y0 x1 y1."""
    corner = [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])]
    return {"image_id": number, "category_id": concept, "bbox": corner, "area": corner[2] * corner[3], "iscrowd": 0}


def detections(number: int, size: tuple[int, int], scores: torch.Tensor, boxes: torch.Tensor) -> Iterator[Found]:
    """One picture's queries; size width, height; scores (Q, concepts), boxes (Q, 4) centre and size as shares."""
    corners = torch.cat([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], 1).double().numpy()
    best = scores.max(1)
    for score, concept, box in zip(best.values.tolist(), best.indices.tolist(), corners.clip(0, 1), strict=True):
        if score >= LEAST:
            yield {**as_coco(number, concept, box * [*size, *size]), "score": score}


@torch.inference_mode()
def detect(
    model: GroundingDinoForObjectDetection, processor: GroundingDinoProcessor, images: list[Image.Image]
) -> Iterator[Found]:
    """Every query of every image as a detection, in pixels."""
    for first in range(0, len(images), CHUNK):
        chunk = images[first : first + CHUNK]
        inputs = processor(images=chunk, text=[list(CONCEPTS)] * len(chunk), return_tensors="pt")
        out = model(**inputs)
        words = spans(inputs.input_ids[0].tolist(), processor)
        scores = torch.stack([out.logits[..., span].sigmoid().amax(-1) for span in words], -1)  # (B, Q, concepts)
        for n, image in enumerate(chunk):
            yield from detections(first + n, image.size, scores[n], out.pred_boxes[n])


def average_precision(objects: list[Found], found: list[Found], count: int) -> tuple[float, NDArray[np.float64]]:
    """COCO's mean average precision at OVERLAP over the concepts that occur, and each concept's (75,), -1: absent."""
    truth, silence = COCO(), io.StringIO()
    images = [{"id": number} for number in range(count)]
    categories = [{"id": number, "name": name} for number, name in enumerate(CONCEPTS)]
    objects = [{**one, "id": number} for number, one in enumerate(objects, 1)]
    truth.dataset = {"images": images, "categories": categories, "annotations": objects}
    with contextlib.redirect_stdout(silence):
        truth.createIndex()
        judge = COCOeval(truth, truth.loadRes(found), "bbox")
        judge.params.iouThrs = np.array([OVERLAP])
        judge.evaluate()
        judge.accumulate()
    precision = judge.eval["precision"][0, :, :, 0, -1]  # (recalls, concepts), all areas, 100 detections
    each: NDArray[np.float64] = precision.mean(0)
    return float(each[each >= 0].mean()), each


def overlap(one: list[float], other: list[float]) -> float:
    """Intersection over union of two boxes, both x y width height."""
    sides = [min(one[n] + one[n + 2], other[n] + other[n + 2]) - max(one[n], other[n]) for n in (0, 1)]
    shared = max(0.0, sides[0]) * max(0.0, sides[1])
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)


def right_ones(objects: list[Found], found: list[Found]) -> int:
    """How many detections, best first, meet an object of their picture and concept that none has met before."""
    free = dict(enumerate(objects))
    right = 0
    for detection in sorted(found, key=lambda one: -one["score"]):
        for number, one in free.items():
            same = all(one[field] == detection[field] for field in ("image_id", "category_id"))
            if same and overlap(one["bbox"], detection["bbox"]) >= OVERLAP:
                del free[number]
                right += 1
                break
    return right


def load(folder: Path) -> tuple[GroundingDinoForObjectDetection, GroundingDinoProcessor]:
    """The checkpoint in float32 and its processor, the image side by Pillow."""
    model = AutoModelForZeroShotObjectDetection.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    images = AutoImageProcessor.from_pretrained(folder, backend="pil", local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return model.eval(), GroundingDinoProcessor(images, tokenizer)


def measure(folder: Path, split: str, count: int) -> dict[str, Any]:
    """The figures of the checkpoint in `folder` on the first `count` landscapes of the split."""
    model, processor = load(folder)
    with Pool(2) as processes:
        pictures = processes.map(picture, LANDSCAPES[split][:count], chunksize=25)
    things = [(n, thing) for n, (_, things) in enumerate(pictures) for thing in things]
    objects = [as_coco(n, thing.concept, np.array(thing.box)) for n, thing in things]
    found = list(detect(model, processor, [image for image, _ in pictures]))
    precision, each = average_precision(objects, found, count)
    sure = [one for one in found if one["score"] > BOX_THRESHOLD]
    right = right_ones(objects, sure)
    worst = {CONCEPTS[n]: round(float(each[n]), 2) for n in np.argsort(each) if each[n] >= 0}
    return {
        "map50": precision,
        "recall": right / len(objects),
        "precision": right / max(1, len(sure)),
        "objects": len(objects),
        "concepts": int((each >= 0).sum()),
        "worst": dict(list(worst.items())[:8]),
    }


def main() -> int:
    """Print the figures; 0 if good enough, else 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, nargs="?", default=DETECTOR)
    parser.add_argument("--split", choices=("held_out", "tune"), default="held_out")
    parser.add_argument("--count", type=int, default=500)
    flags = parser.parse_args()
    figures = measure(flags.checkpoint, flags.split, flags.count)
    print(f"{figures['objects']:,} objects of {figures['concepts']} concepts in {flags.count} landscapes")
    print(f"mAP at {OVERLAP}: {figures['map50']:.3f} (required: {REQUIRED})")
    print(f"at a score of {BOX_THRESHOLD}: recall {figures['recall']:.3f}, precision {figures['precision']:.3f}")
    print("worst:", figures["worst"])
    return 0 if figures["map50"] >= REQUIRED else 1


if __name__ == "__main__":
    sys.exit(main())
