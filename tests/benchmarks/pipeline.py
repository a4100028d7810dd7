"""Images/s of the whole job against transformers' zero-shot pipeline and against our own model alone, in one run.

SigLIP-B/16-224 with random weights, JPEGs of 1200×1200, every one different. The three are timed in turn, several
rounds; figures are medians, ratios are of the same round.

Usage: python -m tests.benchmarks.pipeline [--images 128] [--rounds 3] [--dtype auto]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

import visioncli
from tests.models.checkpoints import siglip
from visioncli.samples import Facts, Sample

LABELS = ("cat", "dog", "bird", "car", "plane", "person", "bag", "bicycle", "traffic light", "tree")
SIDE = 1200


def draw(folder: Path, count: int) -> list[Path]:
    """Write `count` different JPEGs of SIDE×SIDE: smooth colour with some grain, about as large as photographs."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(count):
        coarse = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)
        smooth = np.asarray(Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC)).astype(np.int16)
        grain = rng.integers(-12, 13, smooth.shape, dtype=np.int16)
        paths.append(folder / f"{number:04d}.jpg")
        Image.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8)).save(paths[-1], quality=88)
    return paths


def theirs(checkpoint: Path, paths: list[Path]) -> Callable[[], None]:
    """transformers' pipeline with its defaults, batches of 16."""
    from transformers import pipeline

    classify = pipeline("zero-shot-image-classification", model=str(checkpoint), batch_size=16)
    return lambda: list(classify([str(path) for path in paths], candidate_labels=list(LABELS))) and None


def ours(predictor: object, paths: list[Path]) -> Callable[[], None]:
    """The whole job but for writing: read, hash, decode, preprocess, forward, score, in order."""
    options = visioncli.ClassifyOptions(LABELS)

    def run() -> None:
        refs = (visioncli.ImageRef(number, path.name, bytes(path)) for number, path in enumerate(paths))
        outcomes = list(visioncli.answer(refs, predictor, options))
        assert all(isinstance(outcome, visioncli.Answer) for outcome in outcomes)

    return run


def model_alone(predictor: object, count: int) -> Callable[[], None]:
    """Our forward on prepared inputs, full batches."""
    options = visioncli.ClassifyOptions(LABELS)
    rng = np.random.default_rng(1)
    size = predictor.info.batch_size
    pictures = [rng.integers(0, 256, (224, 224, 3), dtype=np.uint8) for _ in range(size)]
    ref = visioncli.ImageRef(0, "", b"")
    inputs = [predictor.preprocess(Sample(ref, Facts(), picture), options) for picture in pictures]
    return lambda: [predictor.forward(inputs, options) for _ in range(count // size)] and None


def rate(run: Callable[[], None], count: int) -> float:
    started = time.perf_counter()
    run()
    return count / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", default="auto")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = siglip(Path(folder) / "siglip", 224)
        paths = draw(Path(folder), asked.images)
        predictor = visioncli.load("classify", str(checkpoint), dtype=asked.dtype)
        print({name: (choice.value, choice.reason) for name, choice in predictor.info.choices.items()})
        runs = {
            "transformers": theirs(checkpoint, paths),
            "visioncli": ours(predictor, paths),
            "model alone": model_alone(predictor, asked.images),
        }
        runs["model alone"]()  # the first pass of each kernel is slower
        rounds = [{name: rate(run, asked.images) for name, run in runs.items()} for _ in range(asked.rounds)]
    for name in runs:
        print(f"{name:>13}: {statistics.median(found[name] for found in rounds):.2f} images/s")
    for other in ("transformers", "model alone"):
        ratios = [found["visioncli"] / found[other] for found in rounds]
        print(f"visioncli / {other}: median {statistics.median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}")


if __name__ == "__main__":
    main()
