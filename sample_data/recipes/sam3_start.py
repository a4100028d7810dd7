"""The SAM 3 before its training: stock architecture, small sizes, first weights that spare it what is known already.

What is meant by the first weights, each to save hours on two cores:

- the vision tower starts as the bundled SigLIP's, whose layers have the same shape: it tells the 75 concepts apart. Its
  8 x 8 tokens were a whole picture; here they are each of four windows, so its positions are tiled;
- the encoder's image tokens look for words with the projection that the words are keyed by, so that a token attends to
  the word it resembles and to the start mark otherwise;
- the queries' reference boxes are a grid over the picture, the box head starts at no correction, and three of four
  heads look inside of the query's box.

Knows nothing of scenes, losses or files.
"""

from __future__ import annotations

import copy
import math
from pathlib import Path

import torch
from start import positions
from torch import Tensor, nn
from transformers import Sam3Config, Sam3Model, SiglipModel
from transformers.models.sam3.modeling_sam3 import Sam3Attention, Sam3DetrDecoder, Sam3DotProductScoring

SIDE = 128  # pixels, the model's square
PATCH = 8  # pixels; a picture is 16 x 16 tokens
LENGTH = 16  # tokens of a prompt
WIDTH = 64  # of everything behind the towers
VISION = {"hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 4, "num_attention_heads": 4}
TEXT = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 4}
SCALES = [2.0, 1.0, 0.5]  # of the neck's levels; SAM 3 drops the last, so masks have 32 x 32 pixels
GRID = 5  # queries to a side
ANCHOR = 0.3  # width and height of a query's first box, as fractions of the picture: a middling sprite
TYPICAL = 1.4  # standard deviation of the SigLIP's tokens before its first layer, measured
LAST = 5.0  # and after its last
SPREAD = 0.3  # of the positions over the whole picture, against 0.5 of the SigLIP's
FADING = 8.0  # logits of attention; a tenth of the picture outside of the box costs 2.3
DOUBT = -3.0  # logit of a score at the start, about 1 of 25 queries
ATTENDED = 3.0  # about the logit with which a token attends to the word it resembles


def make_config(vocabulary: int, start: int, end: int) -> Sam3Config:
    """Every size; `start` and `end` are the ids of the text's marks, and `end` pads."""
    side = SIDE // PATCH
    backbone = {
        **VISION,
        "model_type": "sam3_vit_model",
        "image_size": SIDE,
        "patch_size": PATCH,
        "pretrain_image_size": SIDE,
        "window_size": side // 2,  # tokens: SigLIP's whole picture
        "global_attn_indexes": [1, 3],
    }
    levels = [[round(side * scale)] * 2 for scale in SCALES]
    layers = {"hidden_size": WIDTH, "num_attention_heads": 4, "intermediate_size": 192, "dropout": 0.0}
    fusion = {**layers, "num_attention_heads": 2}  # few and wide: a head compares a token with a word in its part alone
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
        detr_encoder_config={**fusion, "num_layers": 2},
        detr_decoder_config={**layers, "num_layers": 3, "num_queries": GRID * GRID},
        mask_decoder_config={"hidden_size": WIDTH, "num_attention_heads": 4, "num_upsampling_stages": 1},
    )


@torch.no_grad()
def take_tower(model: Sam3Model, siglip: Path) -> None:
    """Start the vision tower as the SigLIP checkpoint's."""
    source = SiglipModel.from_pretrained(siglip, local_files_only=True).float().vision_model
    target = model.vision_encoder.backbone
    patches, side = source.embeddings, SIDE // PATCH
    target.embeddings.patch_embeddings.projection.weight.copy_(patches.patch_embedding.weight)
    tile = patches.position_embedding.weight + patches.patch_embedding.bias  # SAM 3's patches have no bias
    tile = tile.reshape(side // 2, side // 2, -1).tile(2, 2, 1)  # four of SigLIP's pictures
    target.embeddings.position_embeddings.copy_(tile.reshape(1, side * side, -1))
    target.layer_norm.weight.fill_(TYPICAL)
    names = {"self_attn": "attention", "out_proj": "o_proj"}
    for theirs, ours in zip(source.encoder.layers, target.layers, strict=True):
        renamed = {
            ".".join(names.get(part, part) for part in key.split(".")): value
            for key, value in theirs.state_dict().items()
        }
        ours.load_state_dict(renamed)


@torch.no_grad()
def spread_positions(model: Sam3Model) -> None:
    """Add sines over the whole picture to the tiled positions, which tell a token its place in its window alone."""
    embeddings = model.vision_encoder.backbone.embeddings.position_embeddings
    embeddings.add_(SPREAD * positions(SIDE // PATCH, VISION["hidden_size"]))


def without_windows(model: Sam3Model) -> Sam3Model:
    """The same weights, with every layer of the vision tower looking at the whole picture."""
    config = copy.deepcopy(model.config)
    config.vision_config.backbone_config.global_attn_indexes = list(range(VISION["num_hidden_layers"]))
    whole = Sam3Model(config).float()
    whole.load_state_dict(model.state_dict())
    return whole


def orthogonal(width: int, gain: float) -> Tensor:
    """A random rotation times `gain`, (width, width)."""
    return nn.init.orthogonal_(torch.empty(width, width), gain)


def loud(module: nn.Module) -> None:
    """Xavier's matrices (as DETR has, https://arxiv.org/abs/2005.12872) for transformers' faint ones, in place."""
    for part in module.modules():
        if isinstance(part, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


@torch.no_grad()
def align_words(attention: Sam3Attention) -> None:
    """Query and key by one rotation, so that alike attend to alike."""
    gain = math.sqrt(ATTENDED / attention.head_dim**0.5)
    rotation = orthogonal(attention.hidden_size, gain)
    attention.q_proj.weight.copy_(rotation)
    attention.k_proj.weight.copy_(rotation)


def place_queries(decoder: Sam3DetrDecoder) -> None:
    """Reference boxes on a grid, and a box head that leaves them there."""
    centres = (torch.arange(GRID) + 0.5) / GRID
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    boxes = torch.stack([x.flatten(), y.flatten(), *torch.full((2, GRID * GRID), ANCHOR)], 1)  # (25, 4) centre, size
    decoder.reference_points.weight.copy_(boxes.logit())
    decoder.query_embed.weight.normal_(std=0.5)
    decoder.presence_token.weight.normal_(std=0.5)
    decoder.box_head.layer3.weight.zero_()


def look_inside(decoder: Sam3DetrDecoder) -> None:
    """A bias of attention that fades outside of the query's box, in all heads but the last, which looks everywhere."""
    for bias in (decoder.box_rpb_embed_x, decoder.box_rpb_embed_y):
        bias.layer1.weight[:2] = torch.tensor([[-1.0, 0.0], [0.0, 1.0]])  # how far before its start, behind its end
        bias.layer2.weight.normal_(std=0.02)
        bias.layer2.weight[:-1, :2] = -FADING


def doubt(scoring: Sam3DotProductScoring) -> None:
    """Scores that start at the share of queries that are right, and without regard to the words."""
    direction = torch.randn(WIDTH)
    scoring.text_proj.weight.mul_(0.1)
    scoring.text_proj.bias.copy_(direction)
    scoring.query_proj.bias.copy_(DOUBT * direction / direction.square().sum() / scoring.scale)


@torch.no_grad()
def calm_neck(model: Sam3Model) -> None:
    """Make up for a tower that ends without a norm."""
    for level in model.vision_encoder.neck.fpn_layers:
        first = next(part for part in level.modules() if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d)))
        first.weight.div_(LAST)


def build_model(vocabulary: int, start: int, end: int, siglip: Path) -> Sam3Model:
    """The model before its training."""
    model = Sam3Model(make_config(vocabulary, start, end))
    for part in (
        model.detr_encoder,
        model.detr_decoder,
        model.mask_decoder,
        model.dot_product_scoring,
        model.vision_encoder.neck,
    ):
        loud(part)
    take_tower(model, siglip)
    nn.init.normal_(model.text_encoder.text_model.embeddings.token_embedding.weight, std=0.5)
    for layer in model.detr_encoder.layers:
        align_words(layer.cross_attn)
    with torch.no_grad():
        model.text_projection.weight.copy_(orthogonal(WIDTH, 1.0))
        place_queries(model.detr_decoder)
        look_inside(model.detr_decoder)
        doubt(model.dot_product_scoring)
    calm_neck(model)
    return model
