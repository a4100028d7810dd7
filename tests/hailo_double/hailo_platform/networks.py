"""What the double computes: transformers' CLIP, or our network of CLIP's ResNets, with the normalisation inside.

A picture goes in as (H, W, 3) uint8; a text as (1, 77, W) float32 token embeddings, and comes out as wide.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch

MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])  # OpenAI's
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711])


class Network(NamedTuple):
    input_shape: tuple
    output_shape: tuple
    forward: object  # one frame's input -> its output, numpy


@lru_cache
def network(checkpoint, kind):
    made = resnet if (checkpoint / "open_clip_config.json").is_file() else transformer
    return made(checkpoint)[kind]()


def pictures(tower, side, dimension):
    """A module from (1, 3, H, W) to (1, D), fed with raw levels."""

    @torch.inference_mode()
    def forward(levels):
        pixels = (torch.from_numpy(levels.copy()) / 255 - MEAN) / STD
        return tower(pixels.permute(2, 0, 1)[None]).numpy()

    return Network((side, side, 3), (1, 1, dimension), forward)


def texts(states, length, width):
    """A function from (1, length, W) token embeddings without positions to as many states."""

    @torch.inference_mode()
    def forward(embedded):
        return states(torch.from_numpy(embedded.copy())).numpy().astype(np.float32)

    return Network((1, length, width), (1, length, width), forward)


def transformer(checkpoint):
    from transformers import CLIPModel
    from transformers.utils import logging

    logging.disable_progress_bar()

    def image():
        whole = CLIPModel.from_pretrained(checkpoint, local_files_only=True).eval()
        config = whole.config
        tower = lambda pixels: whole.visual_projection(whole.vision_model(pixel_values=pixels).pooler_output)  # noqa: E731
        return pictures(tower, config.vision_config.image_size, config.projection_dim)

    def text():
        whole = CLIPModel.from_pretrained(checkpoint, local_files_only=True).eval()
        config, tower = whole.config.text_config, whole.text_model

        def states(embedded):
            # The tower takes ids alone: its table of tokens is put out of the way for what came through it before.
            given = tower.embeddings.token_embedding.register_forward_hook(lambda *_: embedded)
            try:
                ids = torch.zeros(embedded.shape[:2], dtype=torch.long)
                return tower(input_ids=ids).last_hidden_state
            finally:
                given.remove()

        return texts(states, config.max_position_embeddings, config.hidden_size)

    return {"image": image, "text": text}


def resnet(checkpoint):
    from safetensors.torch import load_file

    from visioncli.models.clip_resnet.architecture import sizes_of
    from visioncli.models.clip_resnet.network import ImageTower, TextTower

    image_sizes, text_sizes = sizes_of(json.loads((checkpoint / "open_clip_config.json").read_text()))
    weights = load_file(checkpoint / "open_clip_model.safetensors")

    def image():
        tower = ImageTower(image_sizes).eval()
        tower.load_state_dict(
            {n.removeprefix("visual."): w.float() for n, w in weights.items() if n.startswith("visual.")}
        )
        return pictures(tower, image_sizes.image_size, image_sizes.dimension)

    def text():
        tower = TextTower(text_sizes).eval()
        names = tower.state_dict()
        tower.load_state_dict({n: w.float() for n, w in weights.items() if n in names})
        return texts(tower.states, text_sizes.length, text_sizes.width)

    return {"image": image, "text": text}
