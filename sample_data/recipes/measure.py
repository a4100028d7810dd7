"""Zero-shot top-1: which prompt fits each image best."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase, SiglipModel

CHUNK = 125  # images per forward


@torch.inference_mode()
def best_prompts(
    model: SiglipModel, tokenizer: PreTrainedTokenizerBase, images: torch.Tensor, prompts: list[str]
) -> NDArray[np.int64]:
    """The index of the best prompt for each image, (N,); images are (N, 3, H, W) as the image processor makes them."""
    ids = tokenizer(prompts, padding="max_length", truncation=True, return_tensors="pt").input_ids  # to its own length
    chunks = (model(input_ids=ids, pixel_values=chunk).logits_per_image for chunk in images.split(CHUNK))
    return torch.cat([logits.argmax(1) for logits in chunks]).numpy()


def top1(
    model: SiglipModel,
    tokenizer: PreTrainedTokenizerBase,
    images: torch.Tensor,
    prompts: list[str],
    right: NDArray[np.int64],
) -> float:
    """The share of images whose best prompt is the right one, 0..1."""
    return float((best_prompts(model, tokenizer, images, prompts) == right).mean())
