"""Train the demo model: a SigLIP of 1.2 million parameters, from scratch, on rendered scenes.

Loss: the sigmoid loss of SigLIP (https://arxiv.org/abs/2303.15343, eq. 1) over all captions of a step, where a pair
is positive iff the caption is true of the image; so many pairs of a batch are. Beside it two linear classifiers of the
image's embedding, thrown away afterwards: they tell the image tower the classes before the text tower can.

Two rounds, each with its own scenes and its own rise and fall of the learning rate; the second starts from the files of
the first, which reached 94.9 % on the held-out scenes, short of the 95 % required.

Usage: python train_siglip.py [--round 1|2] [--start DIR] [--out DIR]
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from captions import Caption, draw_captions, truth
from checkpoint import DEMO, save_checkpoint
from concepts import COLOUR_NAMES, CONCEPTS
from measure import top1
from numpy.typing import NDArray
from pool import Pictures, render_pictures
from scenes import SPLITS
from start import VISION, build_model, normalise
from text import LENGTH, build_tokenizer
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerFast, SiglipModel


@dataclass(frozen=True)
class Recipe:
    """The numbers of one training run."""

    scenes: range = SPLITS["train"][:40_000]
    steps: int = 2_000
    batch: int = 64
    pairs: int = 24  # captions of a step that state concept and colour together
    peak: float = 1.5e-3  # learning rate
    floor: float = 1e-5
    warmup: int = 150  # steps
    decay: float = 0.05  # weight decay, on matrices only
    seed: int = 7
    check_every: int = 250  # steps between two looks at the tune split


ROUNDS = (
    Recipe(),
    Recipe(scenes=SPLITS["train"][40_000:72_000], steps=1_500, peak=7e-4, warmup=75, seed=8),
)


class Classifiers(nn.Module):
    """Concept and colour straight from the image's embedding (N, 128); for training alone."""

    def __init__(self) -> None:
        super().__init__()
        self.concept = nn.Linear(VISION["hidden_size"], len(CONCEPTS))
        self.colour = nn.Linear(VISION["hidden_size"], len(COLOUR_NAMES))

    def loss(self, embedded: Tensor, concepts: NDArray[np.int64], colours: NDArray[np.int64]) -> Tensor:
        """The two cross-entropies, added."""
        return F.cross_entropy(self.concept(embedded), torch.from_numpy(concepts)) + F.cross_entropy(
            self.colour(embedded), torch.from_numpy(colours)
        )


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW that decays matrices and leaves biases, norms, scale and bias alone."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": recipe.decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=recipe.peak, betas=(0.9, 0.98))


def learning_rate(step: int, recipe: Recipe) -> float:
    """Linear warm-up, then half a cosine down to the floor."""
    if step < recipe.warmup:
        return recipe.peak * (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return recipe.floor + (recipe.peak - recipe.floor) * 0.5 * (1 + math.cos(math.pi * done))


def vary(images: Tensor) -> Tensor:
    """Shift, stretch, mirror, brighten and roughen each image a little, (N, 3, H, W) to the same."""
    count = len(images)
    zoom = torch.empty(count, 2).uniform_(0.95, 1.1)
    mirror = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    matrix = torch.zeros(count, 2, 3)
    matrix[:, 0, 0], matrix[:, 1, 1] = zoom[:, 0] * mirror, zoom[:, 1]
    matrix[:, :, 2] = torch.empty(count, 2).uniform_(-0.06, 0.06)
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    gain = torch.empty(count, 1, 1, 1).uniform_(0.95, 1.05)
    noise = torch.randn_like(moved) * torch.empty(count, 1, 1, 1).uniform_(0, 0.03)
    return (moved * gain + noise).clamp(-1, 1)


def batches(pictures: Pictures, recipe: Recipe, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Endless index arrays (batch,), every picture once before any comes again."""
    while True:
        order = rng.permutation(len(pictures.pixels))
        yield from (order[i : i + recipe.batch] for i in range(0, len(order) - recipe.batch + 1, recipe.batch))


def tokenize(tokenizer: PreTrainedTokenizerFast, captions: list[Caption]) -> Tensor:
    """Token ids, (T, LENGTH)."""
    texts = [caption.text for caption in captions]
    return tokenizer(texts, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt").input_ids


def sigmoid_loss(logits: Tensor, true: NDArray[np.bool_]) -> Tensor:
    """The mean over images of the summed pair losses; both are (N, T)."""
    signs = torch.from_numpy(true).float() * 2 - 1
    return -F.logsigmoid(signs * logits).sum() / len(logits)


@dataclass(frozen=True)
class Course:
    """What one training run moves: the model, its throw-away classifiers, and what they are fed."""

    model: SiglipModel
    tokenizer: PreTrainedTokenizerFast
    classifiers: Classifiers
    pictures: Pictures
    recipe: Recipe

    def loss(self, index: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        """The loss of one batch of pictures."""
        concepts, colours = self.pictures.concepts[index], self.pictures.colours[index]
        captions = draw_captions(rng, concepts, colours, self.recipe.pairs)
        images = vary(normalise(self.pictures.pixels[index]))
        out = self.model(input_ids=tokenize(self.tokenizer, captions), pixel_values=images)
        direct = self.classifiers.loss(out.vision_model_output.pooler_output, concepts, colours)
        return sigmoid_loss(out.logits_per_image, truth(captions, concepts, colours)) + direct

    def run(self) -> Iterator[int]:
        """Train, and hand over the number of steps done each `check_every` steps and at the end."""
        rng, recipe = np.random.default_rng(self.recipe.seed), self.recipe
        moved = nn.ModuleList([self.model, self.classifiers]).train()
        optimizer = make_optimizer(moved, recipe)
        for step, index in zip(range(recipe.steps), batches(self.pictures, recipe, rng), strict=False):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, recipe)
            loss = self.loss(index, rng)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(moved.parameters(), 1.0)
            optimizer.step()
            if (step + 1) % 25 == 0:
                print(f"{step + 1} loss {loss.item():.3f}", flush=True)
            if (step + 1) % recipe.check_every == 0 or step + 1 == recipe.steps:
                yield step + 1


def check(model: SiglipModel, tokenizer: PreTrainedTokenizerFast, pictures: Pictures) -> dict[str, float]:
    """Top-1 on `pictures` with one plain prompt for each concept and colour."""
    model.eval()
    images = normalise(pictures.pixels)
    concept = top1(model, tokenizer, images, [f"a photo of a {name}" for name in CONCEPTS], pictures.concepts)
    colour = top1(model, tokenizer, images, [f"a {name} background" for name in COLOUR_NAMES], pictures.colours)
    model.train()
    return {"concept": concept, "colour": colour}


def first_model(start: Path | None, tokenizer: PreTrainedTokenizerFast, pictures: Pictures) -> SiglipModel:
    """The model of the checkpoint `start`, in float32, or an untrained one."""
    if start is None:
        return build_model(len(tokenizer), pictures.pixels[:2_000])
    return SiglipModel.from_pretrained(start, local_files_only=True).float()  # not dtype=: it would be saved


def train(recipe: Recipe, out: Path, start: Path | None = None) -> None:
    """Render, train one round and write the checkpoint to `out`, also at each check: a broken run leaves one."""
    torch.manual_seed(recipe.seed)
    began = time.monotonic()
    pictures = render_pictures(recipe.scenes)
    tune = render_pictures(SPLITS["tune"][:750])
    tokenizer = build_tokenizer()
    model = first_model(start, tokenizer, pictures)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters; rendered in {time.monotonic() - began:.0f} s")
    for step in Course(model, tokenizer, Classifiers(), pictures, recipe).run():
        figures = {"step": step, "seconds": round(time.monotonic() - began), **check(model, tokenizer, tune)}
        print(json.dumps(figures), flush=True)
        save_checkpoint(model, tokenizer, out)


def train_rounds(out: Path) -> None:
    """Both rounds, from nothing to the checkpoint in `out`."""
    train(ROUNDS[0], out)
    train(ROUNDS[1], out, start=out)


def main() -> None:
    """Read the flags and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--round", type=int, choices=(1, 2), help="this round alone; the second needs --start")
    parser.add_argument("--start", type=Path, help="the checkpoint a single round starts from")
    parser.add_argument("--out", type=Path, default=DEMO)
    flags = parser.parse_args()
    if flags.round is None:
        train_rounds(flags.out)
    else:
        train(ROUNDS[flags.round - 1], flags.out, flags.start)


if __name__ == "__main__":
    main()
