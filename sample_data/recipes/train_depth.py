"""Train the demo depth: a Depth Anything 3 of 2 million parameters, from scratch, on rendered landscapes.

Loss, all in the logarithm of depth: the absolute error with the picture's mean error taken out, that mean error itself
at a lower weight (any-view depth has no scale), and the errors' differences between neighbouring pixels at three scales
(after MiDaS, https://arxiv.org/abs/1907.01341, eq. 11). The confidence c of a pixel whose error is e is trained as
DUSt3R's (https://arxiv.org/abs/2312.14132, eq. 4), c e - 0.2 log c, without a say in the depth itself. The camera
learns the true field of view, and to stand where the picture was taken from.

Usage: python train_depth.py [--out DIR]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accuracy_depth import DEMO, normalise, relative_errors
from checkpoint import write_json
from demo_files import write_whole
from depth_pool import PATCH, PROCESS_SIZE, Seen, see_all
from landscapes import LANDSCAPES
from safetensors.torch import save_file
from start import FAINTEST, positions
from torch import Tensor, nn
from torch.nn import functional as F
from train_siglip import learning_rate, make_optimizer

from visioncli.models.depth_anything3.architecture import BLOCK, Architecture
from visioncli.models.depth_anything3.network import build
from visioncli.models.depth_anything3.weights import PREFIX

CARD = Path(__file__).parent / "depth_card.md"
NAME = "da3-demo"
SIZES = Architecture(
    width=128,
    depth=8,
    heads=4,
    out_layers=(3, 5, 6, 7),
    features=32,
    out_channels=(24, 48, 96, 128),
    alternate_from=2,
    patch=PATCH,
    trained_size=PROCESS_SIZE,
    process_size=PROCESS_SIZE,
)
TYPICAL = 1.65  # logarithm of metres: about the middle of the landscapes' depth
TYPICAL_VIEW = 0.9  # radians
SCALE_SHARE, SLOPE_SHARE, CONFIDENCE_SHARE, CAMERA_SHARE = 0.3, 0.5, 0.1, 0.2  # weights beside the depth's own 1
CONFIDENCE_PRICE = 0.2  # DUSt3R's alpha
SCALES = 3


@dataclass(frozen=True)
class Recipe:
    """The numbers of the training run."""

    landscapes: range = LANDSCAPES["train"][:6_000]
    steps: int = 1_200
    batch: int = 8
    peak: float = 1e-3  # learning rate
    floor: float = 1e-5
    warmup: int = 80  # steps
    decay: float = 0.05  # weight decay, on matrices only
    seed: int = 13
    check_every: int = 100  # steps between two looks at the tune split


def start_patches(convolution: nn.Conv2d, examples: Tensor) -> None:
    """Filters whose outputs on patches of `examples` are uncorrelated: as in `start`, which tells why."""
    patches = F.unfold(examples, PATCH, stride=PATCH).transpose(1, 2).reshape(-1, 3 * PATCH * PATCH)
    mean = patches.mean(0)
    variances, directions = torch.linalg.eigh(torch.cov((patches - mean).T))
    filters = (directions / (variances + FAINTEST).sqrt()).T.flip(0)[: SIZES.width]
    convolution.weight.copy_(filters.reshape(convolution.weight.shape))
    convolution.bias.copy_(-filters @ mean)


@torch.no_grad()
def build_network(examples: Tensor) -> nn.Module:
    """The untrained network; it says the typical depth and view, and that the camera did not move."""
    network = build([SIZES])
    backbone = network.backbone["pretrained"]
    start_patches(backbone.patch_embed.proj, examples)
    backbone.pos_embed[0, 1:] = 0.5 * positions(PROCESS_SIZE // PATCH, SIZES.width)
    for parameter in (backbone.cls_token, backbone.camera_token):
        nn.init.trunc_normal_(parameter, std=0.02)
    last = network.head.scratch["output_conv2"][2]
    last.bias.copy_(torch.tensor([TYPICAL, 1.0]))
    camera = network.cam_dec
    for layer, says in ((camera.fc_t, 0), (camera.fc_qvec, [0, 0, 0, 1]), (camera.fc_fov[0], TYPICAL_VIEW)):
        layer.weight.zero_()
        layer.bias.copy_(torch.tensor(says, dtype=torch.float32).expand(layer.bias.shape))
    return network


def vary(pictures: Seen, index: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    """Some pictures, mirrored or not, brightened, roughened: pixels (N, 3, h, w), log depth (N, h, w), view (N, 2)."""
    images = normalise(pictures.pixels[index])
    depth = torch.from_numpy(pictures.depth[index]).float().log()
    mirror = torch.rand(len(index)) < 0.5
    images = torch.where(mirror[:, None, None, None], images.flip(3), images)
    depth = torch.where(mirror[:, None, None], depth.flip(2), depth)
    gain = torch.empty(len(index), 3, 1, 1).uniform_(0.85, 1.15)
    noise = torch.randn_like(images) * torch.empty(len(index), 1, 1, 1).uniform_(0, 0.08)
    return images * gain + noise, depth, torch.from_numpy(pictures.view[index])


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


def batches(groups: Sequence[Seen], recipe: Recipe, rng: np.random.Generator) -> Iterator[tuple[Seen, np.ndarray]]:
    """Endless batches, each of one group, every picture once before any comes again; a group's rest is left out."""
    while True:
        cut = [
            (group, order[i : i + recipe.batch])
            for group in groups
            for order in [rng.permutation(len(group.pixels))]
            for i in range(0, len(order) - recipe.batch + 1, recipe.batch)
        ]
        yield from (cut[i] for i in rng.permutation(len(cut)))


def step_loss(network: nn.Module, pictures: Seen, index: np.ndarray) -> Tensor:
    """The loss of one batch."""
    images, truth, view = vary(pictures, index)
    seen = network(images)
    camera = camera_loss(seen.extrinsics, seen.intrinsics, view, images.shape[2:])
    return depth_loss(seen.depth, seen.confidence, truth) + CAMERA_SHARE * camera


@torch.inference_mode()
def check(network: nn.Module, groups: Sequence[Seen]) -> float:
    """The mean AbsRel after each picture's median was aligned."""
    network.eval()
    errors = []
    for group in groups:
        for i in range(0, len(group.pixels), 64):
            part = slice(i, i + 64)
            errors += relative_errors(network(normalise(group.pixels[part])).depth.numpy(), group.depth[part])
    network.train()
    return float(np.mean(errors))


def save(network: nn.Module, out: Path) -> None:
    """The checkpoint in the layout of Depth Anything 3's, the weights in float16."""

    def write(folder: Path) -> None:
        tensors = {PREFIX + name: tensor.half().contiguous() for name, tensor in network.state_dict().items()}
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        write_json(folder / "config.json", {"model_name": NAME, BLOCK: dataclasses.asdict(SIZES)})

    write_whole(out, write, CARD)


def train(recipe: Recipe, out: Path) -> None:
    """Render, train and write the checkpoint to `out`, also at each check: a broken run leaves one."""
    torch.manual_seed(recipe.seed)
    began = time.monotonic()
    groups, tune = see_all(recipe.landscapes), see_all(LANDSCAPES["tune"][:400])
    network = build_network(normalise(groups[0].pixels[:500])).train()
    optimizer = make_optimizer(network, recipe)
    print(f"{sum(p.numel() for p in network.parameters()):,} parameters; rendered in {time.monotonic() - began:.0f} s")
    feed = batches(groups, recipe, np.random.default_rng(recipe.seed))
    for step, (pictures, index) in zip(range(recipe.steps), feed, strict=False):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, recipe)
        loss = step_loss(network, pictures, index)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % 25 == 0:
            print(f"{step + 1} loss {loss.item():.3f}", flush=True)
        if (step + 1) % recipe.check_every == 0 or step + 1 == recipe.steps:
            figures = {"step": step + 1, "seconds": round(time.monotonic() - began), "AbsRel": check(network, tune)}
            print(json.dumps(figures), flush=True)
            save(network, out)


def main() -> None:
    """Read the flags and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=DEMO)
    flags = parser.parse_args()
    torch.set_num_threads(1)
    train(Recipe(), flags.out)


if __name__ == "__main__":
    main()
