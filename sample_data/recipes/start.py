"""The untrained model, started so that it learns within an hour on two cores.

Two choices of the first weights are meant for that: patches are whitened (by the components of real patches, after
https://arxiv.org/abs/2404.00498), or their mean colour would drown their edges; and positions start as sines of the row
and column, or the model would first have to find out which patches are neighbours. They came in at one time with
the classifiers of `train_siglip`, larger sprites, a higher rate and milder variation: before, the concept top-1 was at
chance after 400 steps; after, it was 30 % at 500. Which of them did it was not measured.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from pool import SIDE
from text import LENGTH
from torch import Tensor
from torch.nn import functional as F
from transformers import SiglipConfig, SiglipModel

PATCH = 8  # pixels; an image is 64 tokens
VISION = {"hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 4, "num_attention_heads": 4}
TEXT = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4}
FAINTEST = 0.05  # variance added before whitening, so that noise is not blown up to the size of edges


def normalise(pixels: NDArray[np.uint8]) -> Tensor:
    """Bytes (N, H, W, 3) to floats (N, 3, H, W) in -1..1, as the image processor does."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1


def make_config(vocabulary: int) -> SiglipConfig:
    """The two towers, with the ends the tokenizer uses."""
    ends = {"bos_token_id": None, "eos_token_id": 1, "pad_token_id": 1}
    lengths = {"max_position_embeddings": LENGTH, "projection_size": VISION["hidden_size"]}
    return SiglipConfig(
        text_config={**TEXT, **ends, **lengths, "vocab_size": vocabulary},
        vision_config={**VISION, "image_size": SIDE, "patch_size": PATCH},
    )


def whitening(images: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Filters (width, 3, 8, 8) and biases (width,) whose outputs on patches of `images` are uncorrelated."""
    patches = F.unfold(images, PATCH, stride=PATCH).transpose(1, 2).reshape(-1, 3 * PATCH * PATCH)
    mean = patches.mean(0)
    variances, directions = torch.linalg.eigh(torch.cov((patches - mean).T))
    filters = (directions / (variances + FAINTEST).sqrt()).T.flip(0)[:width]
    return filters.reshape(width, 3, PATCH, PATCH), -filters @ mean


def positions(side: int, width: int) -> Tensor:
    """Sines and cosines of row and column, (side * side, width)."""
    rates = math.pi * 2.0 ** torch.linspace(-1, 2.5, width // 4)
    waves = torch.arange(side)[:, None] / side * rates
    line = torch.cat([waves.sin(), waves.cos()], 1)  # (side, width / 2)
    return torch.cat([line.repeat_interleave(side, 0), line.repeat(side, 1)], 1)


@torch.no_grad()
def build_model(vocabulary: int, examples: NDArray[np.uint8]) -> SiglipModel:
    """The untrained model; `examples` (N, 64, 64, 3) are what patches are whitened by."""
    model = SiglipModel(make_config(vocabulary))
    model.logit_scale.fill_(math.log(10))  # both as in section 3 of the SigLIP paper
    model.logit_bias.fill_(-10)
    embeddings = model.vision_model.embeddings
    filters, biases = whitening(normalise(examples), VISION["hidden_size"])
    embeddings.patch_embedding.weight.copy_(filters)
    embeddings.patch_embedding.bias.copy_(biases)
    embeddings.position_embedding.weight.copy_(0.5 * positions(SIDE // PATCH, VISION["hidden_size"]))
    return model
