"""The whole model's questions: is the prompt there, which queries are it, their boxes and masks.

The towers' questions are asked on beside them: they teach all the concepts of a picture at once, three prompts only
three. Knows nothing of rates or rounds.
"""

from __future__ import annotations

import torch
from sam3_forward import Answers
from sam3_losses import layer_loss, mask_loss, pair_up
from sam3_start import PATCH, SIDE, WIDTH
from sam3_towers import Asking, TowerQuestions
from sam3_truth import Asked, Batch
from torch import Tensor, nn
from torch.nn import functional as F

Losses = dict[str, Tensor]


class WholeQuestions(nn.Module):
    """The losses; one head, thrown away, asks each token after the encoder whether the prompt means it."""

    def __init__(self, asking: Asking, drawing: float) -> None:
        super().__init__()
        self.drawing = drawing
        self.meant = nn.Linear(WIDTH, 1)
        self.towers = TowerQuestions(asking)

    def forward(self, answers: Answers, anchors: Tensor, batch: Batch, asked: Asked) -> Losses:
        """All losses of one batch; queries answer in every layer for the things they are paired with in the last."""
        count = len(asked.texts) // len(batch.images)
        boxes, covered = batch.boxes.repeat_interleave(count, 0), batch.covered[:, 1:].repeat_interleave(count, 0)
        present = asked.present
        pairs = pair_up(answers.layers[-1], anchors, boxes, asked.wanted)
        losses: Losses = {}
        for layer in answers.layers:
            for name, value in layer_loss(layer, pairs, boxes, present).items():
                losses[name] = losses.get(name, torch.zeros(())) + value / len(answers.layers)
        row = present.cumsum(0)[pairs.prompt] - 1  # of the present prompts, which alone have masks
        losses["mask"] = self.drawing * mask_loss(answers.masks[row, pairs.query], covered[pairs.prompt, pairs.thing])
        union = (covered * asked.wanted[..., None, None]).sum(1)  # (N, 32, 32)
        losses["union"] = 0.5 * mask_loss(answers.union, union[present])
        meant = F.avg_pool2d(union, union.shape[-1] // (SIDE // PATCH)).flatten(1)
        told = self.meant(F.layer_norm(answers.encoded, (WIDTH,))).squeeze(-1)
        return {**losses, "meant": 4 * F.binary_cross_entropy_with_logits(told, meant)}
