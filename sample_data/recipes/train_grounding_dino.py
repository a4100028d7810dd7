"""Train the detector's demo: a Grounding DINO of 3.0 million parameters, from scratch, on rendered landscapes.

Rounds, each with its own rise and fall of the learning rate, the later ones from the files of the one before:

1. to 3. the backbone, the encoder and the words alone, with the dense loss of `grounding_dense`, all 75 concepts asked
   of every picture; the decoder neither runs nor learns; the third round strictly, one place for each object;
4. the whole stock model, its decoder warmed by `grounding_start.warm_decoder`, with the dense loss and the loss of
   `grounding_losses` (without its part for idle queries, which came after), each picture asked for its own choice of
   concepts;
5. the same on twice as many landscapes, for long: after the fourth round 82 % of the objects were named rightly, and
   hardly more (84 %) of those it had learnt from, so time was what it lacked.

Usage: python train_grounding_dino.py POOL [--round N] [--start DIR] [--out DIR]
POOL is the folder `landscape_pool.py POOL --train 32000` wrote.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from concepts import CONCEPTS
from grounding_checkpoint import DETECTOR, save_detector
from grounding_dense import Truth, dense_step
from grounding_losses import whole_loss
from grounding_start import (
    build_detector,
    freeze_statistics,
    normalise,
    unfreeze_statistics,
    warm_decoder,
)
from grounding_text import Speaker, build_tokenizer
from landscape_pool import Landscapes, load_pool
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from transformers import GroundingDinoForObjectDetection

SLOW = ("sampling_offsets",)  # a tenth of the rate, as in Deformable DETR


@dataclass(frozen=True)
class Recipe:
    """The numbers of one training round."""

    steps: int
    peak: float  # learning rate
    whole: bool  # with the decoder
    seed: int
    warm: bool = False  # the decoder starts from what the encoder has learnt
    scenes: range = range(16_000)  # of the pool
    span: int | None = None  # steps the rate would take to fall, where not `steps`
    stretch: bool = True  # vary pictures beyond their mirror image
    strict: bool = False  # one place for each object; in whole rounds it always is
    batch: int = 16
    floor: float = 1e-5
    warmup: int = 100  # steps
    decay: float = 0.02  # weight decay, on matrices only
    clip: float = 5.0  # of the gradient's norm


ROUNDS = (
    Recipe(steps=2_000, peak=1.5e-3, whole=False, seed=7),
    Recipe(steps=1_500, peak=1.2e-3, whole=False, seed=8),
    Recipe(steps=1_500, peak=1e-3, whole=False, strict=True, seed=9),
    Recipe(steps=900, span=1_500, peak=8e-4, whole=True, warm=True, stretch=False, seed=10),
    Recipe(steps=10_000, peak=1e-3, whole=True, stretch=False, scenes=range(32_000), seed=11),
)
ALL_SHARE = 0.25  # of the batches ask for every concept
FEWEST, MOST = 4, 40  # concepts in the prompts of the others
SAVE_EVERY = 300  # steps
LEAST_LEFT = 0.5  # of a box's area after zooming; less is not an object any more


def mirror(pixels: Tensor, truth: Truth, rng: np.random.Generator) -> tuple[Tensor, Truth]:
    """Turn every other picture (B, 3, H, W) left to right, and its boxes with it."""
    turned = torch.from_numpy(rng.random(len(pixels)) < 0.5)
    pixels = torch.where(turned[:, None, None, None], pixels.flip(3), pixels)
    pairs = zip(truth.boxes, turned.tolist(), strict=True)
    boxes = [torch.cat([1 - box[:, :1], box[:, 1:]], 1) if turn else box for box, turn in pairs]
    return pixels, Truth(truth.concepts, boxes)


def vary(pixels: Tensor, truth: Truth, rng: np.random.Generator) -> tuple[Tensor, Truth]:
    """Mirror, stretch and shift each picture (B, 3, H, W) a little, and its boxes with it."""
    count = len(pixels)
    zoom = torch.from_numpy(rng.uniform(0.85, 1.2, (count, 2)).astype(np.float32))
    shift = torch.from_numpy(rng.uniform(-0.08, 0.08, (count, 2)).astype(np.float32))
    mirror = torch.from_numpy(rng.choice(np.array([-1.0, 1.0], np.float32), count))
    matrix = torch.zeros(count, 2, 3)  # from the new picture to the old, in -1..1
    matrix[:, 0, 0], matrix[:, 1, 1], matrix[:, :, 2] = zoom[:, 0] * mirror, zoom[:, 1], shift
    grid = F.affine_grid(matrix, list(pixels.shape), align_corners=False)
    moved = F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
    scale = torch.stack([zoom[:, 0] * mirror, zoom[:, 1]], 1)
    pairs = [move_boxes(*one) for one in zip(truth.concepts, truth.boxes, scale, shift, strict=True)]
    return moved, Truth([concepts for concepts, _ in pairs], [boxes for _, boxes in pairs])


def move_boxes(
    concepts: NDArray[np.int64], boxes: Tensor, scale: Tensor, shift: Tensor
) -> tuple[NDArray[np.int64], Tensor]:
    """One picture's objects after `old = scale * new + shift` in -1..1, cut at the edges; those cut too much go."""
    centre = ((2 * boxes[:, :2] - 1 - shift) / scale + 1) / 2
    half = boxes[:, 2:] / scale.abs() / 2
    low, high = (centre - half).clamp(0, 1), (centre + half).clamp(0, 1)
    left = (high - low).prod(1) / (4 * half.prod(1)) > LEAST_LEFT
    return concepts[left.numpy()], torch.cat([(low + high) / 2, high - low], 1)[left]


def ask(rng: np.random.Generator, truth: Truth) -> tuple[list[NDArray[np.int64]], Truth]:
    """For each picture the concepts of its prompt in random order, and the objects they ask for."""
    most = len(CONCEPTS) if rng.random() < ALL_SHARE else int(rng.integers(FEWEST, MOST))
    lists, concepts, boxes = [], [], []
    for mine, mine_boxes in zip(truth.concepts, truth.boxes, strict=True):
        there = rng.permutation(np.unique(mine))
        others = rng.permutation(np.setdiff1d(np.arange(len(CONCEPTS)), there))
        asked = rng.permutation(np.concatenate([there, others])[:most])
        kept = np.isin(mine, asked)
        lists.append(asked)
        concepts.append(mine[kept])
        boxes.append(mine_boxes[torch.from_numpy(kept)])
    return lists, Truth(concepts, boxes)


def make_optimizer(detector: GroundingDinoForObjectDetection, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW in four groups; matrices decay, and what aims the deformable attention goes slowly."""
    groups = defaultdict(list)
    for name, parameter in detector.named_parameters():
        slow = any(part in name for part in SLOW)
        groups[recipe.decay if parameter.ndim >= 2 else 0.0, 0.1 if slow else 1.0].append(parameter)
    return torch.optim.AdamW(
        [{"params": list_, "weight_decay": decay, "share": share} for (decay, share), list_ in groups.items()]
    )


def learning_rate(step: int, recipe: Recipe) -> float:
    """Linear warm-up, then half a cosine down to the floor."""
    if step < recipe.warmup:
        return recipe.peak * (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / ((recipe.span or recipe.steps) - recipe.warmup)
    return recipe.floor + (recipe.peak - recipe.floor) * 0.5 * (1 + math.cos(math.pi * done))


@dataclass(frozen=True)
class Course:
    """What one round moves: the detector, and what it is fed."""

    detector: GroundingDinoForObjectDetection
    speaker: Speaker
    pool: Landscapes
    recipe: Recipe

    def batches(self, rng: np.random.Generator) -> Iterator[tuple[Tensor, Truth]]:
        """Endless pictures (B, 3, H, W) and their objects, every picture once before any comes again."""
        while True:
            order = rng.permutation(self.recipe.scenes)
            for i in range(0, len(order) - self.recipe.batch + 1, self.recipe.batch):
                numbers = order[i : i + self.recipe.batch]
                pixels = normalise(np.stack([self.pool.pixels[n] for n in numbers]))
                change = vary if self.recipe.stretch else mirror
                moved, truth = change(pixels, true_objects(self.pool, numbers), rng)
                yield moved.to(memory_format=torch.channels_last), truth

    def losses(self, pixels: Tensor, truth: Truth, rng: np.random.Generator) -> dict[str, Tensor]:
        """The losses of one batch by name, to be added up."""
        if not self.recipe.whole:
            prompts = self.speaker.say(rng, [rng.permutation(len(CONCEPTS))])
            return dense_step(self.detector, pixels, prompts, truth, self.recipe.strict)
        lists, asked = ask(rng, truth)
        prompts = self.speaker.say(rng, lists)
        out = self.detector(pixel_values=pixels, **prompts.inputs)
        return whole_loss(self.detector, out, prompts, asked)

    def run(self) -> Iterator[int]:
        """Train, and hand over the number of steps done each SAVE_EVERY steps and at the end."""
        rng, recipe = np.random.default_rng(self.recipe.seed), self.recipe
        began, seen = time.monotonic(), defaultdict(float)
        optimizer = make_optimizer(self.detector, recipe)
        self.detector.train()
        for step, (pixels, truth) in zip(range(recipe.steps), self.batches(rng), strict=False):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, recipe) * group["share"]
            losses = self.losses(pixels, truth, rng)
            optimizer.zero_grad()
            sum(losses.values()).backward()
            torch.nn.utils.clip_grad_norm_(self.detector.parameters(), recipe.clip)
            optimizer.step()
            for name, loss in losses.items():
                seen[name] += loss.item() / 50
            if (step + 1) % 50 == 0:
                told = ", ".join(f"{name} {loss:.3f}" for name, loss in seen.items())
                print(f"{step + 1} {time.monotonic() - began:.0f} s: {told}", flush=True)
                seen.clear()
            if (step + 1) % SAVE_EVERY == 0 or step + 1 == recipe.steps:
                yield step + 1


def true_objects(pool: Landscapes, numbers: NDArray[np.int64]) -> Truth:
    """The objects of these landscapes."""
    things = [pool.things(n) for n in numbers]
    boxes = [torch.from_numpy(np.array(pool.boxes[rows])) for rows in things]  # x0 y0 x1 y1
    centred = [torch.cat([(b[:, :2] + b[:, 2:]) / 2, b[:, 2:] - b[:, :2]], 1) for b in boxes]
    return Truth([np.array(pool.concepts[rows]) for rows in things], centred)


def first_detector(recipe: Recipe, start: Path | None) -> GroundingDinoForObjectDetection:
    """The detector of the checkpoint `start`, in float32, or an untrained one."""
    if start is None:
        return build_detector()
    return GroundingDinoForObjectDetection.from_pretrained(start, local_files_only=True).float()


def train(recipe: Recipe, pool: Landscapes, out: Path, start: Path | None = None) -> None:
    """Train one round and write the checkpoint to `out`, also on the way: a broken run leaves one."""
    torch.manual_seed(recipe.seed)
    tokenizer = build_tokenizer()
    detector = first_detector(recipe, start)
    if recipe.warm:
        warm_decoder(detector)
    unfreeze_statistics(detector)
    detector.model.backbone.to(memory_format=torch.channels_last)  # a fifth faster on CPU
    print(f"{sum(p.numel() for p in detector.parameters()):,} parameters", flush=True)
    for _ in Course(detector, Speaker(tokenizer), pool, recipe).run():
        save_detector(freeze_statistics(detector), tokenizer, out)


def main() -> None:
    """Read the flags and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pool", type=Path)
    parser.add_argument(
        "--round", type=int, choices=range(1, len(ROUNDS) + 1), help="this round alone; all but the first need --start"
    )
    parser.add_argument("--start", type=Path, help="the checkpoint a single round starts from")
    parser.add_argument("--out", type=Path, default=DETECTOR)
    flags = parser.parse_args()
    torch.set_num_threads(1)
    pool = load_pool(flags.pool / "train")
    for number in [flags.round] if flags.round else range(1, len(ROUNDS) + 1):
        start = flags.start if flags.round else (flags.out if number > 1 else None)
        train(ROUNDS[number - 1], pool, flags.out, start)


if __name__ == "__main__":
    main()
