"""Measure the committed checkpoint on scenes it was not trained on, through plain transformers.

1,000 held-out scenes, every concept equally often, at the sizes of real files, half of them through JPEG. Exits 1 below
95 % for the concept or for the colour. Also reports, without a threshold, the committed sample images.

Usage: python accuracy.py [CHECKPOINT]
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import torch
from checkpoint import DEMO
from concepts import COLOUR_NAMES, CONCEPTS
from measure import top1
from PIL import Image
from pool import through_jpeg
from scenes import SPLITS, Scene, render_scene
from transformers import (
    AutoImageProcessor,
    AutoModel,
    AutoTokenizer,
    BaseImageProcessor,
    PreTrainedTokenizerBase,
    SiglipModel,
)

COUNT = 1_000
REQUIRED = 0.95
SAMPLE_DATA = Path(__file__).parents[1]


@dataclass(frozen=True)
class Demo:
    """The checkpoint as transformers loads it, in float32."""

    model: SiglipModel
    tokenizer: PreTrainedTokenizerBase
    image_processor: BaseImageProcessor

    @classmethod
    def load(cls, folder: Path) -> Demo:
        """Read the three parts from the folder, without the network."""
        model = AutoModel.from_pretrained(folder, dtype=torch.float32, local_files_only=True).eval()
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        image_processor = AutoImageProcessor.from_pretrained(folder, backend="pil", local_files_only=True)
        return cls(model, tokenizer, image_processor)

    def prepare(self, images: Iterable[Image.Image]) -> torch.Tensor:
        """The images as the model takes them, (N, 3, 64, 64)."""
        return torch.cat([self.image_processor(image, return_tensors="pt").pixel_values for image in images])

    def top1(self, pixel_values: torch.Tensor, template: str, names: tuple[str, ...], right: list[str]) -> float:
        """The share of images whose best name, put into the template, is the right one."""
        prompts = [template.format(name) for name in names]
        return top1(self.model, self.tokenizer, pixel_values, prompts, np.array([names.index(name) for name in right]))


def held_out_image(seed: int) -> tuple[Image.Image, Scene]:
    """One held-out scene as a file would hold it, and its truth."""
    rng = np.random.default_rng([seed, 2])
    size = int(rng.integers(240, 481)), int(rng.integers(320, 641))
    pixels, scene = render_scene(seed, size)
    image = Image.fromarray(pixels)
    return (through_jpeg(image, 85) if rng.random() < 0.5 else image), scene


def measure_held_out(demo: Demo) -> dict[str, float]:
    """Top-1 of the concept and of the ground's colour on the held-out scenes."""
    with Pool(2) as processes:
        images, scenes = zip(*processes.map(held_out_image, SPLITS["held_out"][:COUNT]), strict=True)
    pixel_values = demo.prepare(images)
    return {
        "concept": demo.top1(pixel_values, "a photo of a {}", CONCEPTS, [scene.concept for scene in scenes]),
        "colour": demo.top1(pixel_values, "a {} background", COLOUR_NAMES, [scene.colour for scene in scenes]),
    }


def measure_samples(demo: Demo) -> float:
    """Top-1 of the concept on the sample images of the catalog."""
    with (SAMPLE_DATA / "catalog.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    pixel_values = demo.prepare(Image.open(SAMPLE_DATA / row["image"]).convert("RGB") for row in rows)
    return demo.top1(pixel_values, "a photo of a {}", CONCEPTS, [row["truth"] for row in rows])


def main(folder: Path = DEMO) -> int:
    """Print the figures; 0 if good enough, else 1."""
    demo = Demo.load(folder)
    figures = measure_held_out(demo)
    for name, figure in figures.items():
        print(f"{name} top-1 on {COUNT:,} held-out scenes: {figure:.1%} (required: {REQUIRED:.0%})")
    if (SAMPLE_DATA / "catalog.csv").exists():
        print(f"concept top-1 on the sample images: {measure_samples(demo):.1%}")
    return 0 if min(figures.values()) >= REQUIRED else 1


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:2])))
