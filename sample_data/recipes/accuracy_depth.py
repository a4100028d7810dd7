"""Measure the committed depth demo on landscapes it was not trained on, through the package's own network.

240 held-out landscapes at the sizes and shapes of real files, most of them through JPEG. AbsRel is the mean over a
picture of |said - true| / true, after what was said is scaled so that both medians agree: at the network's resolution,
against the exact depth of the picture's pixel there. Exits 1 above 0.10.

Usage: python accuracy_depth.py [CHECKPOINT]
"""

from __future__ import annotations

import sys
from multiprocessing import Pool
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from checkpoint import DEMO as SIGLIP
from depth_pool import PATCH, PROCESS_SIZE, field_of_view, normalise
from landscape_pool import nearest, worn
from landscapes import LANDSCAPES, render_landscape
from numpy.typing import NDArray
from torch import nn

from visioncli.models.depth_anything3.architecture import architectures
from visioncli.models.depth_anything3.pixels import Recipe
from visioncli.models.depth_anything3.weights import load_network
from visioncli.models.weights import read_json
from visioncli.provenance import Checkpoint

DEMO = SIGLIP.with_name("depth_anything3")
MEASURED = LANDSCAPES["held_out"][:240]
REQUIRED = 0.10


class Seen(NamedTuple):
    """A landscape as the network sees it, and its truth."""

    pixels: NDArray[np.uint8]  # (h, w, 3)
    depth: NDArray[np.float32]  # (h, w), metres
    view: NDArray[np.float32]  # (2,), vertical and horizontal, radians


def relative_errors(said: NDArray[np.floating], true: NDArray[np.floating]) -> list[float]:
    """AbsRel of each picture, both (N, h, w), after its median is aligned."""
    true = true.astype(np.float64)
    scale = np.median(true, (1, 2)) / np.median(said, (1, 2))
    return [float(each) for each in (np.abs(said * scale[:, None, None] - true) / true).mean((1, 2))]


def see_held_out(seed: int) -> Seen:
    """One held-out landscape at the size of a real file, lying, standing or square, made ready by the package."""
    rng = np.random.default_rng([seed, 23])
    height, width = (int(side) for side in rng.integers(240, 641, 2))
    size = max(height, width * 4 // 7), max(width, height * 4 // 7)
    full = render_landscape(seed, size)
    pixels = Recipe(PROCESS_SIZE, PATCH).apply(np.asarray(worn(rng, full.pixels)))
    return Seen(pixels, full.depth[nearest(pixels.shape[:2], size)], field_of_view(full.camera.focal, size))


def view_errors(intrinsics: NDArray[np.float32], one: Seen) -> float:
    """How far the said focal lengths are off, as a share, on average over both axes."""
    true = np.array(one.pixels.shape[:2]) / 2 / np.tan(one.view / 2)
    return float(np.abs(intrinsics[0, [1, 0], [1, 0]] / true - 1).mean())


@torch.inference_mode()
def measure(network: nn.Module) -> dict[str, float]:
    """The mean AbsRel and its 95th percentile over pictures, and the focal length's mean relative error."""
    with Pool(2) as processes:
        pictures = processes.map(see_held_out, MEASURED, chunksize=10)
    said = [network(normalise(torch.from_numpy(one.pixels).permute(2, 0, 1)[None] / 255)) for one in pictures]
    pairs = zip(said, pictures, strict=True)
    errors = [relative_errors(seen.depth.numpy(), one.depth[None])[0] for seen, one in pairs]
    focal = [view_errors(seen.intrinsics.numpy(), one) for seen, one in zip(said, pictures, strict=True)]
    return {"AbsRel": np.mean(errors), "its 95th percentile": np.quantile(errors, 0.95), "focal error": np.mean(focal)}


def main(folder: Path = DEMO) -> int:
    """Print the figures; 0 if good enough, else 1."""
    checkpoint = Checkpoint("demo", folder, "")
    parts = architectures(read_json(checkpoint, "config.json"))
    figures = measure(load_network(parts, checkpoint, "cpu", "float32"))
    told = ", ".join(f"{name} {figure:.3f}" for name, figure in figures.items())
    print(f"{len(MEASURED)} held-out landscapes: {told} (AbsRel required: {REQUIRED:.2f})")
    return 0 if figures["AbsRel"] <= REQUIRED else 1


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:2])))
