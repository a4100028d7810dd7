"""Train the demo depth: a Depth Anything 3 of 2 million parameters, on rendered landscapes.

Its first four blocks start as the vision tower of the bundled SigLIP, which are the same up to the width of the feed
forward and an approximation of GELU: so it can tell sprites from ground. From scratch, with patches of 14 pixels, it
stood at an AbsRel of 0.19 after 300 steps of 8, which is little better than a ramp.

Loss, all in the logarithm of depth: the absolute error with the picture's mean error taken out, that mean error itself
at a lower weight (any-view depth has no scale), and the errors' differences between neighbouring pixels at three scales
(after MiDaS, https://arxiv.org/abs/1907.01341, eq. 11). The confidence c of a pixel whose error is e is trained as
DUSt3R's (https://arxiv.org/abs/2312.14132, eq. 4), c e - 0.2 log c, without a say in the depth itself. The camera
learns the true field of view, and to stand where the picture was taken from.

Two rounds: small pictures first, then at the size the checkpoint is for.

Usage: python train_depth.py POOL [--round 1|2] [--start DIR] [--out DIR]      (POOL: see landscape_pool.py)
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accuracy_depth import DEMO, relative_errors
from checkpoint import DEMO as SIGLIP
from checkpoint import write_json
from demo_files import write_whole
from depth_pool import PATCH, PROCESS_SIZE, TRAINED_SIZE, Batch, Shaped
from grounds import Size
from landscape_pool import load_pool
from landscapes import LANDSCAPES
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from train_dinov3 import start_patches
from train_siglip import learning_rate, make_optimizer
from transformers import SiglipModel

from visioncli.models.depth_anything3.architecture import BLOCK, Architecture
from visioncli.models.depth_anything3.network import build
from visioncli.models.depth_anything3.weights import PREFIX

CARD = Path(__file__).parent / "depth_card.md"
NAME = "da3-demo"
SIZES = Architecture(
    width=128,
    depth=8,
    heads=4,
    out_layers=(1, 3, 5, 7),
    features=32,
    out_channels=(24, 48, 96, 128),
    alternate_from=4,
    patch=PATCH,
    trained_size=TRAINED_SIZE,
    process_size=PROCESS_SIZE,
)
TYPICAL = 1.65  # logarithm of metres: about the middle of the landscapes' depth
TYPICAL_VIEW = 0.9  # radians
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


def start_block(block: nn.Module, layer: nn.Module) -> None:
    """A block that computes what SigLIP's layer does; the feed forward's further units start at no effect."""
    attention, units = layer.self_attn, layer.mlp.fc1.out_features
    block.norm1.load_state_dict(layer.layer_norm1.state_dict())
    block.norm2.load_state_dict(layer.layer_norm2.state_dict())
    parts = (attention.q_proj, attention.k_proj, attention.v_proj)
    block.attn.qkv.weight.copy_(torch.cat([part.weight for part in parts]))
    block.attn.qkv.bias.copy_(torch.cat([part.bias for part in parts]))
    block.attn.proj.load_state_dict(attention.out_proj.state_dict())
    block.mlp.fc1.weight[:units].copy_(layer.mlp.fc1.weight)
    block.mlp.fc1.bias[:units].copy_(layer.mlp.fc1.bias)
    block.mlp.fc2.weight.zero_()
    block.mlp.fc2.weight[:, :units].copy_(layer.mlp.fc2.weight)
    block.mlp.fc2.bias.copy_(layer.mlp.fc2.bias)


def start_camera(camera: nn.Module) -> None:
    """A camera that did not move and has the typical view."""
    for layer, says in (
        (camera.fc_t, [0, 0, 0]),
        (camera.fc_qvec, [0, 0, 0, 1]),
        (camera.fc_fov[0], [TYPICAL_VIEW] * 2),
    ):
        layer.weight.zero_()
        layer.bias.copy_(torch.tensor(says, dtype=torch.float32))


@torch.no_grad()
def build_network(start: Path = SIGLIP) -> nn.Module:
    """The network before training, the first blocks those of the SigLIP at `start`."""
    siglip = SiglipModel.from_pretrained(start, local_files_only=True, dtype=torch.float32).vision_model
    network = build([SIZES])
    backbone = network.backbone["pretrained"]
    start_patches(backbone.patch_embed.proj, siglip.embeddings.patch_embedding)
    backbone.pos_embed[0, 1:] = siglip.embeddings.position_embedding.weight
    for block, layer in zip(backbone.blocks, siglip.encoder.layers, strict=False):
        start_block(block, layer)
    for parameter in (backbone.cls_token, backbone.camera_token):
        nn.init.trunc_normal_(parameter, std=0.02)
    network.head.scratch["output_conv2"][2].bias.copy_(torch.tensor([TYPICAL, 1.0]))
    start_camera(network.cam_dec)
    return network


def load_network(folder: Path) -> nn.Module:
    """The network of a checkpoint that `save` wrote, in float32."""
    network = build([SIZES])
    tensors = load_file(folder / "model.safetensors")
    network.load_state_dict({name.removeprefix(PREFIX): tensor.float() for name, tensor in tensors.items()})
    return network


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


def save(network: nn.Module, out: Path) -> None:
    """The checkpoint in the layout of Depth Anything 3's, the weights in float16."""

    def write(folder: Path) -> None:
        tensors = {PREFIX + name: tensor.half().contiguous() for name, tensor in network.state_dict().items()}
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        write_json(folder / "config.json", {"model_name": NAME, BLOCK: dataclasses.asdict(SIZES)})

    write_whole(out, write, CARD)


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
    """Both rounds, from SigLIP's tower to the checkpoint in `out`."""
    train(ROUNDS[0], pool, out)
    train(ROUNDS[1], pool, out, start=out)


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
