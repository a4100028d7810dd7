"""Train the demo depth: a Depth Anything 3 of 2 million parameters, on rendered landscapes.

It starts with the vision tower of the bundled SigLIP (`depth_start`), so it can tell sprites from ground. From scratch,
with patches of 14 pixels, it stood at an AbsRel of 0.19 after 300 steps of 8, which is little better than a ramp.

Loss, all in the logarithm of depth: the absolute error with the picture's mean error taken out, that mean error itself
at a lower weight (any-view depth has no scale), and the errors' differences between neighbouring pixels at three scales
(after MiDaS, https://arxiv.org/abs/1907.01341, eq. 11). The confidence c of a pixel whose error is e is trained as
DUSt3R's (https://arxiv.org/abs/2312.14132, eq. 4), c e - 0.2 log c, without a say in the depth itself. The camera
learns the true field of view, and to stand where the picture was taken from.

Two rounds: small pictures first, which ended at an AbsRel of 0.109 on the tune split, then the size the checkpoint is
for, which ended at 0.097. Both fell to the end: more steps would still help.

Usage: python train_depth.py POOL [--round 1|2] [--start DIR] [--out DIR]      (POOL: see landscape_pool.py)
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accuracy_depth import DEMO, relative_errors
from depth_pool import PROCESS_SIZE, TRAINED_SIZE, Batch, Shaped
from depth_start import build_network, load_network, save
from grounds import Size
from landscape_pool import load_pool
from landscapes import LANDSCAPES
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from train_siglip import learning_rate, make_optimizer

SCALE_SHARE, SLOPE_SHARE, CONFIDENCE_SHARE, CAMERA_SHARE = 0.3, 0.5, 0.1, 0.2  # weights beside the depth's own 1
CONFIDENCE_PRICE = 0.2  # DUSt3R's alpha
SCALES = 3
FILTERS = ("area", "bilinear", "bicubic")


@dataclass(frozen=True)
class Recipe:
    """The numbers of one round."""

    longest: int = TRAINED_SIZE  # pixels of a picture's longest side
    steps: int = 900
    batch: int = 16
    peak: float = 1e-3  # learning rate
    floor: float = 1e-5
    warmup: int = 60  # steps
    decay: float = 0.05  # weight decay, on matrices only
    seed: int = 13
    check_every: int = 100  # steps between two looks at the tune split


ROUNDS = (Recipe(), Recipe(longest=PROCESS_SIZE, steps=800, batch=8, peak=8e-4, warmup=30, seed=14))


def vary(batch: Batch) -> Batch:
    """The landscapes, mirrored or not, brightened and roughened."""
    count = len(batch.images)
    mirror = torch.rand(count) < 0.5
    images = torch.where(mirror[:, None, None, None], batch.images.flip(3), batch.images)
    depth = torch.where(mirror[:, None, None], batch.depth.flip(2), batch.depth)
    gain = torch.empty(count, 3, 1, 1).uniform_(0.85, 1.15)
    noise = torch.randn_like(images) * torch.empty(count, 1, 1, 1).uniform_(0, 0.08)
    return Batch(images * gain + noise, depth, batch.view)


def slopes(error: Tensor) -> Tensor:
    """The mean absolute difference between neighbours of (N, h, w), at each scale half as fine, added."""
    total = error.new_zeros(())
    for _ in range(SCALES):
        total = total + error.diff(dim=1).abs().mean() + error.diff(dim=2).abs().mean()
        error = F.avg_pool2d(error, 2)
    return total


def depth_loss(depth: Tensor, confidence: Tensor, truth: Tensor) -> Tensor:
    """Of depth (N, h, w) and log truth (N, h, w)."""
    error = depth.log() - truth
    offset = error.mean((1, 2), keepdim=True)
    off = (error - offset).abs()
    unsure = (confidence * off.detach() - CONFIDENCE_PRICE * confidence.log()).mean()
    return off.mean() + SCALE_SHARE * offset.abs().mean() + SLOPE_SHARE * slopes(error) + CONFIDENCE_SHARE * unsure


def camera_loss(extrinsics: Tensor, intrinsics: Tensor, view: Tensor, size: tuple[int, int]) -> Tensor:
    """Of world to camera (N, 3, 4), which should be none, and the focal lengths' logarithms."""
    truth = torch.tensor(size) / 2 / (view / 2).tan()  # (N, 2), pixels, vertical and horizontal
    focal = torch.stack([intrinsics[:, 1, 1], intrinsics[:, 0, 0]], 1)
    return (focal.log() - truth.log()).abs().mean() + (extrinsics - torch.eye(3, 4)).abs().mean()


def batches(shaped: Shaped, recipe: Recipe, rng: np.random.Generator) -> Iterator[tuple[NDArray[np.int64], Size]]:
    """Endless batches of one size, every picture once before any comes again; a size's rest is left out."""
    while True:
        cut = [
            (order[i : i + recipe.batch], shape)
            for shape, numbers in shaped.groups.items()
            for order in [rng.permutation(numbers)]
            for i in range(0, len(order) - recipe.batch + 1, recipe.batch)
        ]
        yield from (cut[i] for i in rng.permutation(len(cut)))


def batch_loss(network: nn.Module, batch: Batch) -> Tensor:
    """The loss of one batch."""
    seen = network(batch.images)
    camera = camera_loss(seen.extrinsics, seen.intrinsics, batch.view, batch.images.shape[2:])
    return depth_loss(seen.depth, seen.confidence, batch.depth.log()) + CAMERA_SHARE * camera


@torch.inference_mode()
def check(network: nn.Module, tune: Shaped) -> float:
    """The mean AbsRel after each picture's median was aligned."""
    network.eval()
    errors = []
    for shape, numbers in tune.groups.items():
        for part in np.array_split(numbers, max(1, len(numbers) // 64)):
            batch = tune.batch(part, shape, "area")
            errors += relative_errors(network(batch.images).depth.numpy(), batch.depth.numpy())
    network.train()
    return float(np.mean(errors))


def take_steps(network: nn.Module, shaped: Shaped, recipe: Recipe) -> Iterator[int]:
    """Train, and hand over the number of steps done each `check_every` steps and at the end."""
    rng, optimizer = np.random.default_rng(recipe.seed), make_optimizer(network, recipe)
    for step, (numbers, shape) in zip(range(recipe.steps), batches(shaped, recipe, rng), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, recipe)
        loss = batch_loss(network, vary(shaped.batch(numbers, shape, FILTERS[rng.integers(len(FILTERS))])))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % 25 == 0:
            print(f"{step + 1} loss {loss.item():.3f}", flush=True)
        if (step + 1) % recipe.check_every == 0 or step + 1 == recipe.steps:
            yield step + 1


def train(recipe: Recipe, pool: Path, out: Path, start: Path | None = None) -> None:
    """Train one round and write the checkpoint to `out`, also at each check: a broken run leaves one."""
    torch.manual_seed(recipe.seed)
    began = time.monotonic()
    train_pool, tune_pool = load_pool(pool / "train"), load_pool(pool / "tune")
    shaped = Shaped(train_pool, LANDSCAPES["train"][: len(train_pool.pixels)], recipe.longest)
    tune = Shaped(tune_pool, LANDSCAPES["tune"][: len(tune_pool.pixels)], recipe.longest)
    network = (load_network(start) if start else build_network()).train()
    print(f"{sum(p.numel() for p in network.parameters()):,} parameters")
    for step in take_steps(network, shaped, recipe):
        figures = {"step": step, "seconds": round(time.monotonic() - began), "AbsRel": round(check(network, tune), 4)}
        print(json.dumps(figures), flush=True)
        save(network, out)


def train_rounds(pool: Path, out: Path) -> None:
    """All rounds, from SigLIP's tower to the checkpoint in `out`."""
    for number, recipe in enumerate(ROUNDS):
        train(recipe, pool, out, start=out if number else None)


def main() -> None:
    """Read the flags and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pool", type=Path)
    parser.add_argument("--round", type=int, choices=(1, 2), help="this round alone; the second needs --start")
    parser.add_argument("--start", type=Path, help="the checkpoint a single round starts from")
    parser.add_argument("--out", type=Path, default=DEMO)
    flags = parser.parse_args()
    torch.set_num_threads(1)
    if flags.round is None:
        train_rounds(flags.pool, flags.out)
    else:
        train(ROUNDS[flags.round - 1], flags.pool, flags.out, flags.start)


if __name__ == "__main__":
    main()
