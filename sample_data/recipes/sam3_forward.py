"""SAM 3's forward in parts, for training: one look at a picture for several prompts, and every layer's answers.

The same modules in the same order as `Sam3Model.forward`, which hands out the last layer's answers alone; masks are
made for the prompts that are present only. Knows nothing of scenes or losses.
"""

from __future__ import annotations

from dataclasses import dataclass

from sam3_losses import Layer
from torch import Tensor
from transformers import PreTrainedTokenizerFast, Sam3Model
from transformers.models.sam3.modeling_sam3 import Sam3VisionEncoderOutput, inverse_sigmoid


@dataclass(frozen=True)
class Words:
    """N prompts as SAM 3 takes them."""

    features: Tensor  # (N, L, WIDTH)
    mask: Tensor  # (N, L) bool, True = a token of the prompt or its marks


@dataclass(frozen=True)
class Answers:
    """What the model says to N prompts; masks of the M prompts asked for."""

    layers: list[Layer]
    encoded: Tensor  # (N, 256, WIDTH), the picture's tokens after the encoder
    masks: Tensor  # (M, Q, 32, 32) logits
    union: Tensor  # (M, 32, 32) logits of all that the prompt means


def read_words(model: Sam3Model, tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> Words:
    """The prompts through the text tower, padded to the longest."""
    tokens = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    features = model.get_text_features(tokens.input_ids, tokens.attention_mask, return_dict=True).pooler_output
    return Words(features, tokens.attention_mask.bool())


def decode(
    model: Sam3Model, encoded: Tensor, places: Tensor, words: Words, shape: Tensor
) -> tuple[list[Layer], Tensor]:
    """Every layer's answers and the last one's queries (N, Q, WIDTH)."""
    out = model.detr_decoder(encoded, words.features, places, words.mask, shape)
    queries = out.intermediate_hidden_states
    boxes = (inverse_sigmoid(out.reference_boxes) + model.detr_decoder.box_head(queries)).sigmoid()
    logits = model.dot_product_scoring(queries, words.features, words.mask).squeeze(-1)
    layers = [Layer(*one) for one in zip(logits, boxes, out.presence_logits.squeeze(-1), strict=True)]
    return layers, queries[-1]


def first(seen: Sam3VisionEncoderOutput, count: int) -> Sam3VisionEncoderOutput:
    """What was seen in the first `count` pictures."""
    levels, places = seen.fpn_hidden_states, seen.fpn_position_encoding
    return Sam3VisionEncoderOutput(
        fpn_hidden_states=tuple(level[:count] for level in levels),
        fpn_position_encoding=tuple(place[:count] for place in places),
    )


def answer(model: Sam3Model, seen: Sam3VisionEncoderOutput, words: Words, masked: Tensor) -> Answers:
    """N / B prompts to each of the B pictures seen; masks where `masked` (N,)."""
    count = len(words.features) // len(seen.fpn_hidden_states[0])
    levels = [level.repeat_interleave(count, 0) for level in seen.fpn_hidden_states[:-1]]
    place = seen.fpn_position_encoding[-2].repeat_interleave(count, 0)
    encoder = model.detr_encoder([levels[-1]], words.features, [place], words.mask)
    encoded = encoder.last_hidden_state
    layers, queries = decode(model, encoded, encoder.pos_embeds_flattened, words, encoder.spatial_shapes)
    drawn = model.mask_decoder(
        queries[masked],
        [level[masked] for level in levels],
        encoded[masked],
        words.features[masked],
        words.mask[masked],
    )
    return Answers(layers, encoded, drawn.pred_masks, drawn.semantic_seg.squeeze(1))
