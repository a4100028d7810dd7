"""The loss of the decoder's queries: each object of a picture is answered for by one query, all others say nothing.

The stock loss (`GroundingDinoForObjectDetectionLoss`) with two differences: its part for the encoder is left to
`grounding_dense`, and objects choose their queries greedily, the best pair first, which for six objects at most is as
good as the best assignment and needs no scipy.
"""

from __future__ import annotations

import torch
from grounding_dense import CLASS_WEIGHT, NAME_WEIGHT, Truth, box_loss, corners, dense_loss, focal_loss, name_loss
from grounding_start import LEVELS
from grounding_text import Prompts
from torch import Tensor
from transformers import GroundingDinoForObjectDetection
from transformers.loss.loss_for_object_detection import generalized_box_iou
from transformers.models.grounding_dino.modeling_grounding_dino import GroundingDinoObjectDetectionOutput

CLASS_COST, L1_COST, GIOU_COST = 2.0, 5.0, 2.0  # all but the first (1.0) as in GroundingDinoConfig
IDLE_WEIGHT = 2.0
TAKEN = 1e6  # a cost above all others


def name_costs(logits: Tensor, right: Tensor) -> Tensor:
    """What it would cost each query (Q, T) to say each object (N, T), (Q, N); as in the stock matcher."""
    chance = logits.sigmoid().clamp(1e-8, 1 - 1e-8)
    saying = 0.25 * (1 - chance) ** 2 * -chance.log() - 0.75 * chance**2 * -(1 - chance).log()
    return saying @ (right / right.sum(1, keepdim=True).clamp(min=1)).T


@torch.no_grad()
def choose(logits: Tensor, boxes: Tensor, right: Tensor, true_boxes: Tensor) -> Tensor:
    """For each of one picture's N objects its query, (N,); logits (Q, T), boxes (Q, 4), right (N, T)."""
    giou = generalized_box_iou(corners(boxes), corners(true_boxes))
    costs = CLASS_COST * name_costs(logits, right) + L1_COST * torch.cdist(boxes, true_boxes, p=1) - GIOU_COST * giou
    chosen = torch.zeros(len(true_boxes), dtype=torch.long)
    for _ in range(len(true_boxes)):
        query, thing = divmod(int(costs.argmin()), costs.shape[1])
        chosen[thing] = query
        costs[query], costs[:, thing] = TAKEN, TAKEN
    return chosen


def set_loss(
    logits: Tensor, boxes: Tensor, proposed: Tensor, truth: Truth, owned: Tensor, shown: Tensor
) -> dict[str, Tensor]:
    """The losses of one decoder layer; logits (B, Q, T), boxes (B, Q, 4), `owned` and `shown` (B, T).

    A query that answers for nothing leaves its box where the encoder `proposed` it, (B, Q, 4): else it would move to
    the object it is part of, and the next layer would see that object there once more.
    """
    target, idle = torch.zeros_like(logits), torch.ones(boxes.shape[:2], dtype=torch.bool)
    said, found, rights = [], [], []
    for n, (concepts, true_boxes) in enumerate(zip(truth.concepts, truth.boxes, strict=True)):
        right = (owned[n] == torch.from_numpy(concepts)[:, None]).float()  # (N, T)
        chosen = choose(logits[n], boxes[n], right, true_boxes)
        target[n, chosen], idle[n, chosen] = right, False
        said.append(logits[n, chosen].masked_fill(owned[n] < 0, -1e4))
        found.append(boxes[n, chosen])
        rights.append(right)
    count = max(1, sum(map(len, truth.boxes)))
    right = torch.cat(rights)
    return {
        "class": CLASS_WEIGHT * (focal_loss(logits, target) * shown[:, None]).sum() / count,
        "name": NAME_WEIGHT * name_loss(torch.cat(said), right, torch.ones_like(right, dtype=torch.bool)),
        "box": box_loss(torch.cat(found), torch.cat(truth.boxes)),
        "idle": IDLE_WEIGHT * (boxes - proposed).abs().sum(2)[idle].mean(),
    }


def decoder_answers(
    detector: GroundingDinoForObjectDetection, out: GroundingDinoObjectDetectionOutput
) -> list[tuple[Tensor, Tensor]]:
    """Logits (B, Q, T) and boxes (B, Q, 4) of every decoder layer; the stock model hands out the last one's alone."""
    answers = []
    words = out.encoder_last_hidden_state_text
    for layer, queries in enumerate(out.intermediate_hidden_states.unbind(1)):
        before = out.init_reference_points if layer == 0 else out.intermediate_reference_points[:, layer - 1]
        boxes = (detector.bbox_embed[layer](queries) + torch.logit(before, eps=1e-5)).sigmoid()
        answers.append((queries @ words.transpose(1, 2), boxes))
    return answers


def whole_loss(
    detector: GroundingDinoForObjectDetection,
    out: GroundingDinoObjectDetectionOutput,
    prompts: Prompts,
    truth: Truth,
) -> dict[str, Tensor]:
    """The dense losses and every decoder layer's, by name; to be added up."""
    owned, shown = torch.from_numpy(prompts.concepts), prompts.attention_mask.float()
    proposed = out.enc_outputs_class[..., : owned.shape[1]].masked_fill(shown[:, None] == 0, -20.0)
    dense = dense_loss(proposed, out.enc_outputs_coord_logits, truth, owned, LEVELS, strict=True)
    losses = {f"dense {name}": loss for name, loss in dense.items()}
    for layer, (logits, boxes) in enumerate(decoder_answers(detector, out)):
        losses |= {
            f"{layer} {k}": v
            for k, v in set_loss(logits, boxes, out.init_reference_points, truth, owned, shown).items()
        }
    return losses
