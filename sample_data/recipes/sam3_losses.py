"""The losses of SAM 3's answers, which transformers has not, and who answers for which thing.

After the paper (https://arxiv.org/abs/2511.16719): a presence token says whether the picture shows the prompt at all,
and the queries are only asked which of them it is where it does; so the score is the product of the two. Boxes are
centre and size, fractions of the picture, unless a name says corners. Knows nothing of models.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Layer:
    """What one decoder layer answers to N prompts with Q queries."""

    logits: Tensor  # (N, Q)
    boxes: Tensor  # (N, Q, 4)
    presence: Tensor  # (N,) logits


@dataclass(frozen=True)
class Pairs:
    """Which query answers for which thing: three index arrays of one length."""

    prompt: Tensor
    query: Tensor
    thing: Tensor


def corners(boxes: Tensor) -> Tensor:
    """Centre and size to x0 y0 x1 y1."""
    return torch.cat([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], -1)


def generalized_iou(a: Tensor, b: Tensor) -> Tensor:
    """Of two arrays of boxes that broadcast, -1..1 (https://arxiv.org/abs/1902.09630)."""
    a, b = corners(a), corners(b)
    inner = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    outer = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - inner
    return inner / union.clamp(min=1e-6) - (outer - union) / outer.clamp(min=1e-6)


@torch.no_grad()
def pair_up(layer: Layer, anchors: Tensor, boxes: Tensor, wanted: Tensor) -> Pairs:
    """One query for each wanted thing, the cheapest pairs first.

    The distance from the query's anchor (Q, 2) decides while the answers are still alike; DETR's matching costs take
    over as they become different. `boxes` (N, K, 4) are the things', `wanted` (N, K) those that the prompt means.
    """
    theirs, ours = boxes[:, None], layer.boxes[:, :, None]  # broadcast to (N, Q, K, 4)
    distance = (anchors[None, :, None] - theirs[..., :2]).norm(dim=-1)
    cost = 2 * distance + 5 * (ours - theirs).abs().sum(-1) - 2 * generalized_iou(ours, theirs)
    cost = cost - 2 * layer.logits.sigmoid()[:, :, None]
    cost = cost.masked_fill(~wanted[:, None], torch.inf)
    pairs = []
    for _ in range(int(wanted.sum(1).max())):
        best, place = cost.flatten(1).min(1)
        prompt = torch.nonzero(best.isfinite()).flatten()
        query, thing = place[prompt] // cost.shape[2], place[prompt] % cost.shape[2]
        cost[prompt, query], cost[prompt, :, thing] = torch.inf, torch.inf
        pairs.append(torch.stack([prompt, query, thing]))
    return Pairs(*torch.cat(pairs, 1))


def layer_loss(layer: Layer, pairs: Pairs, boxes: Tensor, present: Tensor) -> dict[str, Tensor]:
    """The losses of one decoder layer's presence, scores and boxes."""
    target = torch.zeros_like(layer.logits)
    target[pairs.prompt, pairs.query] = 1
    ours, theirs = layer.boxes[pairs.prompt, pairs.query], boxes[pairs.prompt, pairs.thing]
    scores = F.binary_cross_entropy_with_logits(layer.logits[present], target[present], reduction="none")
    return {
        "presence": F.binary_cross_entropy_with_logits(layer.presence, present.float()),
        "score": scores.sum(1).mean(),
        "box": 5 * (ours - theirs).abs().sum(-1).mean(),  # DETR's weights
        "giou": 2 * (1 - generalized_iou(ours, theirs)).mean(),
    }


def mask_loss(logits: Tensor, covered: Tensor) -> Tensor:
    """Cross-entropy and dice (https://arxiv.org/abs/1606.04797) of M masks, both (M, h, w); `covered` are shares."""
    logits, covered = logits.flatten(1), covered.flatten(1)
    found = logits.sigmoid()
    dice = 1 - (2 * (found * covered).sum(1) + 1) / (found.square().sum(1) + covered.square().sum(1) + 1)
    return 5 * F.binary_cross_entropy_with_logits(logits, covered) + 2 * dice.mean()
