"""Measure the committed DINOv3 demo on scenes it was not trained on, through plain transformers.

5-NN by cosine: each of 1,000 held-out scenes takes the concept that most of its five nearest neighbours have. The
gallery is 20 scenes of each concept from the train split, of seeds that no training used. All at the sizes of real
files, half of them through JPEG. Exits 1 below 85 %.

Usage: python accuracy_dinov3.py [CHECKPOINT]
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import torch
from accuracy import held_out_image
from checkpoint import DEMO as SIGLIP
from concepts import CONCEPTS
from numpy.typing import NDArray
from scenes import SPLITS
from torch import Tensor
from torch.nn import functional as F
from transformers import DINOv3ViTModel

DEMO = SIGLIP.with_name("dinov3")
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # preprocessor_config.json of the published
NEIGHBOURS = 5
GALLERY = SPLITS["train"][500_000 : 500_000 + 20 * len(CONCEPTS)]
QUERIES = SPLITS["held_out"][:1_000]
REQUIRED = 0.85


def nearest_share(gallery: Tensor, known: NDArray[np.int64], queries: Tensor, right: NDArray[np.int64]) -> float:
    """The share of queries (Q, C) whose five nearest of the gallery (G, C) mostly have the right class.

    Of classes with as many votes the one whose votes are nearer wins.
    """
    near = (F.normalize(queries, dim=1) @ F.normalize(gallery, dim=1).T).topk(NEIGHBOURS, dim=1)
    ballots = F.one_hot(torch.from_numpy(known)[near.indices], int(known.max()) + 1)  # (Q, 5, classes)
    votes = (ballots * (1 + near.values[:, :, None] / (2 * NEIGHBOURS))).sum(1)  # a cosine never outweighs a vote
    return float((votes.argmax(1).numpy() == right).mean())


def prepare(pixels: NDArray[np.uint8], side: int) -> Tensor:
    """(H, W, 3) as DINOv3's image processor, which needs torchvision, would make it: (1, 3, side, side)."""
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    image = F.interpolate(image, (side, side), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(each)[:, None, None] for each in (IMAGENET_MEAN, IMAGENET_STD))
    return (image - mean) / std


@torch.inference_mode()
def embed_scenes(model: DINOv3ViTModel, seeds: Sequence[int]) -> tuple[Tensor, NDArray[np.int64]]:
    """The pooled vectors of the scenes, (N, C), and their concepts."""
    with Pool(2) as processes:
        images, scenes = zip(*processes.map(held_out_image, seeds, chunksize=50), strict=True)
    pixels = torch.cat([prepare(np.array(image), model.config.image_size) for image in images])
    vectors = torch.cat([model(chunk).pooler_output for chunk in pixels.split(125)])
    return vectors, np.array([CONCEPTS.index(scene.concept) for scene in scenes])


def main(folder: Path = DEMO) -> int:
    """Print the figure; 0 if good enough, else 1."""
    model = DINOv3ViTModel.from_pretrained(folder, dtype=torch.float32, local_files_only=True).eval()
    gallery, known = embed_scenes(model, GALLERY)
    queries, right = embed_scenes(model, QUERIES)
    share = nearest_share(gallery, known, queries, right)
    print(f"5-NN accuracy on {len(right):,} held-out scenes, {len(known):,} in the gallery: {share:.1%}", end=" ")
    print(f"(required: {REQUIRED:.0%})")
    return 0 if share >= REQUIRED else 1


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:2])))
