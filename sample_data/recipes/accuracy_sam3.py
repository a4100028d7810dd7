"""Measure the demo SAM 3 on landscapes it was not trained on, through plain transformers.

400 held-out landscapes at the sizes of real files, half of them through JPEG; the protocol stands in `sam3_measure`.
Exits 1 below a recall of 0.8 or a mean mask IoU of 0.75.

Usage: python accuracy_sam3.py [CHECKPOINT]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from concepts import CONCEPTS
from landscapes import LANDSCAPES, render_landscape
from PIL import Image
from pool import through_jpeg
from sam3_checkpoint import DEMO
from sam3_measure import Tally, Truth, count, draw_prompts, find
from sam3_start import SIDE
from start import normalise
from transformers import AutoTokenizer, PreTrainedTokenizerBase, Sam3Model

COUNT = 400
REQUIRED = {"recall": 0.8, "mean_iou": 0.75}


def held_out_image(seed: int) -> tuple[Image.Image, Truth]:
    """One held-out landscape as a file would hold it, and its truth."""
    rng = np.random.default_rng([seed, 31])
    size = int(rng.integers(240, 481)), int(rng.integers(320, 641))
    landscape = render_landscape(seed, size)
    image = Image.fromarray(landscape.pixels)
    worn = through_jpeg(image, 85) if rng.random() < 0.5 else image
    return worn, Truth([thing.concept for thing in landscape.things], landscape.instances)


def prepare(image: Image.Image) -> torch.Tensor:
    """The picture as SAM 3's image processor makes it, (3, 128, 128)."""
    return normalise(np.array(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR))[None])[0]


def measure(model: Sam3Model, tokenizer: PreTrainedTokenizerBase, seeds: range) -> dict[str, float]:
    """The figures on the landscapes of `seeds`."""
    tally = Tally()
    for seed in seeds:
        image, truth = held_out_image(seed)
        asked = draw_prompts(seed, truth.concepts)
        names = [CONCEPTS[concept] for concept in asked]
        count(tally, asked, find(model, tokenizer, prepare(image), names, truth.instances.shape), truth)
    return tally.figures()


def main(folder: Path = DEMO) -> int:
    """Print the figures; 0 if good enough, else 1."""
    model = Sam3Model.from_pretrained(folder, dtype=torch.float32, local_files_only=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    figures = measure(model, tokenizer, LANDSCAPES["held_out"][:COUNT])
    print(json.dumps(figures))
    return 0 if all(figures[name] >= least for name, least in REQUIRED.items()) else 1


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:2])))
