"""What four prompts of one picture cost beside one: SAM 3 at its real size, 840 million random weights, 1008 pixels.

Seconds of the detector in float32, by the wall and by the processor's clock, which others on the machine disturb less.
Each call asks words that it has not asked before, so the text tower's time is in; a job's later pictures do not pay it.

Usage: python -m tests.benchmarks.segment_prompts [--repeats 1]
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import torch

from visioncli.models.dual_encoder import normaliser
from visioncli.models.preprocess import recipe_from
from visioncli.models.sam3 import PROCESSOR_DEFAULTS
from visioncli.models.sam3.detector import Detector
from visioncli.models.sam3.prompts import PromptReader
from visioncli.models.text import TextRecipe


def network() -> Any:
    """facebook/sam3's sizes; weights that keep numbers near 1."""
    from transformers import Sam3Config, Sam3Model
    from transformers.initialization import no_init_weights

    with no_init_weights():
        module = Sam3Model(Sam3Config()).eval().requires_grad_(False)
    for weight in module.parameters():
        weight.normal_(0, weight[0].numel() ** -0.5 if weight.dim() > 1 else 1)
    return module


def detector() -> Detector:
    module = network()
    letters = TextRecipe(str, lambda text: [ord(letter) for letter in text], (49406,), 49407, 49407, 32)
    recipe = recipe_from(PROCESSOR_DEFAULTS, "sam3")
    return Detector(lambda dtype: module, normaliser(recipe, "cpu"), PromptReader(letters, "cpu"), "cpu", "float32")


def segment_prompts(repeats: int = 1) -> dict[int, float]:
    """Print and return the least processor seconds for 1 and for 4 prompts."""
    asked = detector()
    picture = np.random.default_rng(0).integers(0, 256, (1008, 1008, 3), dtype=np.uint8)
    least: dict[int, float] = {}
    for repeat in range(repeats):
        for count in (1, 4):
            prompts = [f"thing {repeat} {count} {number}" for number in range(count)]
            wall, busy = time.perf_counter(), time.process_time()
            asked.found([picture], prompts, 0.5)
            wall, busy = time.perf_counter() - wall, time.process_time() - busy
            print(f"{count} prompts: {busy:6.1f} CPU s, {wall:6.1f} s", flush=True)
            least[count] = min(busy, least.get(count, busy))
    print(f"four prompts cost {least[4] / least[1]:.2f} times one; {torch.get_num_threads()} threads")
    return least


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=1)
    segment_prompts(parser.parse_args().repeats)


if __name__ == "__main__":
    main()
