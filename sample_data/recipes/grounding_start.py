"""The untrained detector, started so that it learns within an hour on one core, and the decoder's warm start.

Grounding DINO's score of a token is a plain dot product of a picture's feature and a word's feature, with no bias and
no scale. So both ends begin as layer norms with a small gain, and with biases along the one direction that a norm with
equal gains never uses, (1, 1, ... 1): there they make the bias that a focal loss wants to begin with. Words begin
orthogonal, and everything between their embedding and their score begins as nearly the identity.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from concepts import SYNONYMS
from grounding_text import LENGTH, build_vocabulary
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import BertConfig, GroundingDinoConfig, GroundingDinoForObjectDetection, ResNetBackbone, ResNetConfig

SIDE = 128  # pixels, the model's square
WIDTH = 128  # of picture and word features
STAGES = ["stage3", "stage4"]  # strides 16 and 32
LEVELS = [(SIDE // 16, SIDE // 16), (SIDE // 32, SIDE // 32)]  # height and width of their maps
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # as in grounding-dino-tiny/preprocessor_config.json
BACKBONE = {
    "embedding_size": 32,
    "hidden_sizes": [32, 64, 128, 192],
    "depths": [1, 2, 3, 1],
    "layer_type": "basic",
    "out_features": STAGES,
}
TEXT = {
    "hidden_size": WIDTH,
    "intermediate_size": WIDTH,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "max_position_embeddings": LENGTH,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
LAYERS = {
    "d_model": WIDTH,
    "num_queries": 16,
    "num_feature_levels": len(STAGES),
    "encoder_layers": 2,
    "encoder_attention_heads": 4,
    "encoder_ffn_dim": 192,
    "encoder_n_points": 2,
    "decoder_layers": 2,
    "decoder_attention_heads": 4,
    "decoder_ffn_dim": 160,
    "decoder_n_points": 4,
    "max_text_len": LENGTH,
}
NO_DROPOUT = {"dropout": 0.0, "fusion_droppath": 0.0}  # far from learning by heart
FIRST_LOGIT = -math.log(99)  # of every token at every place: 1 %, as in section 4.1 of RetinaNet's paper
GAIN = 0.33  # of both ends: features of 128 numbers that agree fully score 128 * 0.33 ** 2 = 14
KINSHIP = 0.8  # how far a synonym begins from its concept's word: the cosine


def normalise(pixels: NDArray[np.uint8]) -> Tensor:
    """Bytes (N, H, W, 3) to floats (N, 3, H, W), as the image processor does."""
    values = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    return (values - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def make_config() -> GroundingDinoConfig:
    """The detector; stock parts with small numbers."""
    return GroundingDinoConfig(
        backbone_config=ResNetConfig(**BACKBONE),
        text_config=BertConfig(**TEXT, vocab_size=len(build_vocabulary())),
        **LAYERS,
        **NO_DROPOUT,
    )


def word_vectors(size: int) -> torch.Tensor:
    """First embeddings, (size, WIDTH): words orthogonal, synonyms near their concept, the rest at random."""
    vocabulary = build_vocabulary()
    vectors = torch.nn.functional.normalize(torch.randn(size, WIDTH), dim=1)
    apart = [vocabulary[token] for token in ("[CLS]", "[SEP]", ".")] + list(range(vocabulary["cat"], size))
    vectors[apart] = torch.linalg.qr(torch.randn(WIDTH, WIDTH)).Q[: len(apart)]
    for concept, others in SYNONYMS.items():
        for other in others:
            if " " not in concept + other:
                kin = math.sqrt(1 - KINSHIP**2) * vectors[vocabulary[other]]
                vectors[vocabulary[other]] = KINSHIP * vectors[vocabulary[concept]] + kin
    return vectors * math.sqrt(WIDTH)


def set_end(norm: nn.LayerNorm, sign: int) -> None:
    """Make the norm one of the two ends of the scores; the bias is shared between the end of sign 1 and that of -1."""
    norm.weight.fill_(GAIN)
    norm.bias.fill_(sign * math.sqrt(-FIRST_LOGIT / WIDTH))


def enliven(detector: GroundingDinoForObjectDetection) -> None:
    """Give the layers that pictures pass through weights that keep the size of what passes.

    transformers draws them with a deviation of 0.02, which at this width lets a box head see next to nothing.
    """
    model = detector.model
    pictures = [*(layer.deformable_layer for layer in model.encoder.layers), model.encoder_output_bbox_embed]
    for part in (*pictures, model.enc_output, model.decoder, detector.bbox_embed):
        for name, layer in part.named_modules():
            aims = "sampling_offsets" in name or "attention_weights" in name
            if isinstance(layer, nn.Linear) and layer.out_features > 4 and not aims:
                nn.init.xavier_uniform_(layer.weight)
    model.encoder_output_bbox_embed.layers[0].weight.div_(GAIN)
    detector.bbox_embed[0].layers[0].weight.div_(GAIN)


@torch.no_grad()
def build_detector() -> GroundingDinoForObjectDetection:
    """The untrained detector."""
    detector = GroundingDinoForObjectDetection(make_config())
    enliven(detector)
    model = detector.model
    embeddings = model.text_backbone.embeddings.word_embeddings
    embeddings.weight.copy_(word_vectors(len(embeddings.weight)))
    model.text_projection.weight.copy_(torch.eye(WIDTH))
    set_end(model.encoder.layers[-1].text_enhancer_layer.layer_norm_after, 1)
    set_end(model.enc_output_norm, -1)
    set_end(model.decoder.layer_norm, -1)
    return detector


@torch.no_grad()
def warm_decoder(detector: GroundingDinoForObjectDetection) -> None:
    """Let the decoder begin by repeating what the encoder says near the centre of each box, and nothing else.

    Its layers see through the encoder's own projection, drown what else a query holds at first, and begin without their
    other sublayers. Their own norms take the encoder's scale: the stock decoder moves its boxes by what it holds before
    `decoder.layer_norm` and answers by what it holds after, through one box head, so the two had better be alike.
    """
    model, fresh = detector.model, build_detector()
    model.decoder.load_state_dict(fresh.model.decoder.state_dict())
    detector.bbox_embed.load_state_dict(fresh.bbox_embed.state_dict())
    end = model.enc_output_norm
    model.decoder.layer_norm.load_state_dict(end.state_dict())
    for layer in model.decoder.layers:
        layer.encoder_attn.value_proj.load_state_dict(model.enc_output.state_dict())
        layer.encoder_attn.output_proj.weight.copy_(2 * torch.eye(WIDTH))
        layer.encoder_attn.sampling_offsets.bias.mul_(0.25)
        layer.final_layer_norm.weight.fill_(end.weight.mean())
        layer.final_layer_norm.bias.fill_(end.bias.mean())
        for silent in (layer.self_attn.out_proj, layer.encoder_attn_text.out_proj, layer.fc2):
            nn.init.zeros_(silent.weight)
    model.decoder.layers[0].encoder_attn_text_layer_norm.weight.fill_(GAIN)


def unfreeze_statistics(detector: GroundingDinoForObjectDetection) -> None:
    """Put a backbone whose batch norms learn in the place of the frozen one; its weights have the same names."""
    place = detector.model.backbone.conv_encoder
    live = ResNetBackbone(detector.config.backbone_config)
    live.load_state_dict(place.model.state_dict(), strict=False)  # the count of batches is not kept
    place.model = live


def freeze_statistics(detector: GroundingDinoForObjectDetection) -> GroundingDinoForObjectDetection:
    """A copy with stock frozen batch norms: what is written to a checkpoint."""
    stock = GroundingDinoForObjectDetection(detector.config)
    weights = {name: value for name, value in detector.state_dict().items() if not name.endswith("num_batches_tracked")}
    stock.load_state_dict(weights)
    return stock
