"""The SAM 3 before its training: stock architecture, small sizes, first weights that spare it what is known already.

What is meant by the first weights, each to save hours on two cores:

- the vision tower starts as the bundled SigLIP's, whose layers have the same shape: it tells the 75 concepts apart. Its
  8 x 8 tokens were a whole picture; here they are each of four windows, so its positions are tiled;
- the encoder's image tokens look for words with the projection that the words are keyed by, so that a token attends to
  the word it resembles and to the start mark otherwise;
- the queries' reference boxes are a grid over the picture, and the box head starts at no correction.

Knows nothing of scenes, losses or files.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import Sam3Config, Sam3Model, SiglipVisionModel
from transformers.models.sam3.modeling_sam3 import Sam3Attention

SIDE = 128  # pixels, the model's square
PATCH = 8  # pixels; a picture is 16 x 16 tokens
LENGTH = 16  # tokens of a prompt
WIDTH = 96  # of everything behind the towers
VISION = {"hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 4, "num_attention_heads": 4}
TEXT = {"hidden_size": 96, "intermediate_size": 192, "num_hidden_layers": 1, "num_attention_heads": 4}
SCALES = [2.0, 1.0, 0.5]  # of the neck's levels; SAM 3 drops the last, so masks have 32 x 32 pixels
GRID = 5  # queries to a side
ANCHOR = 0.3  # width and height of a query's first box, as fractions of the picture: a middling sprite
ATTENDED = 3.0  # about the logit with which a token attends to the word it resembles


def make_config(vocabulary: int, start: int, end: int) -> Sam3Config:
    """Every size; `start` and `end` are the ids of the text's marks, and `end` pads."""
    side = SIDE // PATCH
    backbone = {
        **VISION,
        "model_type": "sam3_vit_model",
        "hidden_act": "gelu_pytorch_tanh",  # SigLIP's
        "image_size": SIDE,
        "patch_size": PATCH,
        "pretrain_image_size": SIDE,
        "window_size": side // 2,  # tokens: SigLIP's whole picture
        "global_attn_indexes": [1, 3],
    }
    levels = [[round(side * scale)] * 2 for scale in SCALES]
    layers = {"hidden_size": WIDTH, "num_attention_heads": 4, "intermediate_size": 192, "dropout": 0.0}
    return Sam3Config(
        vision_config={
            "backbone_config": backbone,
            "fpn_hidden_size": WIDTH,
            "backbone_feature_sizes": levels,
            "scale_factors": SCALES,
        },
        text_config={
            **TEXT,
            "model_type": "clip_text_model",
            "vocab_size": vocabulary,
            "max_position_embeddings": LENGTH,
            "projection_dim": WIDTH,
            "hidden_act": "gelu",
            "bos_token_id": start,
            "eos_token_id": end,
            "pad_token_id": end,
        },
        geometry_encoder_config={**layers, "num_layers": 1, "roi_size": 3},
        detr_encoder_config={**layers, "num_layers": 2},
        detr_decoder_config={**layers, "num_layers": 2, "num_queries": GRID * GRID},
        mask_decoder_config={"hidden_size": WIDTH, "num_attention_heads": 4, "num_upsampling_stages": 1},
    )
