"""What ten prompts cost in detect, against one: they share a text. Grounding DINO tiny at its real size, 800x1066.

Random weights, float32; CPU seconds of the whole process, so that a busy machine does not count. Also: a hundred
prompts, which take two texts: the backbone sees the picture once, the rest runs twice.

Usage: python -m tests.benchmarks.detect_prompts [--threads 1] [--repeats 2]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from visioncli import models
from visioncli.models.runtime import RuntimeRequest
from visioncli.provenance import Checkpoint
from visioncli.samples import Facts, ImageRef, Sample
from visioncli.tasks.detect import DetectOptions

LIMIT = 1.5  # times the cost of one prompt
WORDS = ("red car", "cat", "dog", "person", "traffic light", "tree", "house", "boat", "bird", "two hats")
MORE = tuple(f"{words} {letter}" for letter in "abcdefghij" for words in WORDS)  # a hundred, in two texts


def load(folder: Path) -> Any:
    """Return the predictor of a checkpoint with random weights."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
    import grounding_dino_checkpoints

    made = grounding_dino_checkpoints
    made.grounding_dino(folder, {"shortest_edge": 800, "longest_edge": 1333}, **made.TINY)
    return models.load(Checkpoint("random", folder, ""), "detect", RuntimeRequest("cpu", "float32"))


def seconds(predictor: Any, prompts: tuple[str, ...], repeats: int) -> float:
    """Return the least CPU seconds of preprocess, forward and postprocess of one picture."""
    options = DetectOptions(prompts, 0.25, 0.2)
    image = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    sample, spent = Sample(ImageRef(0, "0", None), Facts(size=(480, 640)), image), []
    for _ in range(repeats):
        started = time.process_time()
        outputs = predictor.forward([predictor.preprocess(sample, options)], options)
        predictor.postprocess(outputs, [sample], options)
        spent.append(time.process_time() - started)
    return min(spent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    with tempfile.TemporaryDirectory() as name:
        predictor = load(Path(name))
        found = {}
        for prompts in (WORDS[:1], WORDS, MORE):
            found[len(prompts)] = seconds(predictor, prompts, asked.repeats)
            times = found[len(prompts)] / found[1]
            print(f"{len(prompts):>4} prompts: {found[len(prompts)]:.1f} CPU s, {times:.2f} times one", flush=True)
    print(f"ten prompts cost {found[10] / found[1]:.2f} times one, at most {LIMIT} allowed")
    raise SystemExit(found[10] / found[1] > LIMIT)


if __name__ == "__main__":
    main()
