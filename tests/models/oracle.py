"""transformers' own processor and whole model: the truth that our recipes and towers are held to."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from visioncli.provenance import Checkpoint

PROMPTS = ("a photo of a cat", "a photo of a dog", "a photo of two red cars", "a photo of the sea")


def processor(checkpoint: Checkpoint) -> Any:
    from transformers import AutoImageProcessor

    return AutoImageProcessor.from_pretrained(checkpoint.directory, local_files_only=True)


def token_ids(checkpoint: Checkpoint, texts: tuple[str, ...], length: int) -> list[list[int]]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoint.directory, local_files_only=True)
    tokenizer.padding_side = "right"
    ids: list[list[int]] = tokenizer(list(texts), padding="max_length", truncation=True, max_length=length)["input_ids"]
    return ids


def answers(checkpoint: Checkpoint, pictures: list[NDArray[np.uint8]], length: int) -> dict[str, NDArray[Any]]:
    """`images` (N, D) and `logits` (N, L) for PROMPTS, both from the whole model in float32."""
    from transformers import AutoModel

    model = AutoModel.from_pretrained(checkpoint.directory, local_files_only=True, dtype=torch.float32).eval()
    # Pictures, not arrays: the processor would take (1, 1, 3) for one channel of 1x3 pixels.
    pixels = processor(checkpoint)([Image.fromarray(picture) for picture in pictures], return_tensors="pt")[
        "pixel_values"
    ]
    ids = torch.tensor(token_ids(checkpoint, PROMPTS, length))
    with torch.inference_mode():
        parts = [model(input_ids=ids, pixel_values=part) for part in pixels.split(4)]
    return {
        "pixels": pixels.numpy(),
        "images": torch.cat([part.image_embeds for part in parts]).numpy(),
        "logits": torch.cat([part.logits_per_image for part in parts]).numpy(),
    }
