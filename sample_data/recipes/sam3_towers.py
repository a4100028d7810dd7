"""Questions to every token of a picture: what it shows, where that is, and what is no ground.

The likeness of a token and a word is what the encoder's attention will look for later. The three linear heads are
thrown away afterwards. Knows nothing of queries.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from concepts import CONCEPTS
from sam3_forward import Words
from sam3_start import ANCHOR, PATCH, SIDE, WIDTH
from sam3_truth import GROUND, Batch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.sam3.modeling_sam3 import Sam3VisionEncoderOutput

TOKENS = SIDE // PATCH  # to a side
MIDDLING = 12.0  # tokens of a thing
GROUND_WEIGHT = 0.3  # three quarters of the tokens show ground


def alike(features: Tensor, words: Tensor) -> Tensor:
    """Cosines after centring of (..., WIDTH) and (T, WIDTH): (..., T)."""
    return F.layer_norm(features, (WIDTH,)) @ F.layer_norm(words, (WIDTH,)).T / WIDTH


def pooled(words: Words) -> Tensor:
    """The mean of each prompt's tokens but the start mark, (T, WIDTH)."""
    kept = words.mask.clone()
    kept[:, 0] = False
    return (words.features * kept[..., None]).sum(1) / kept.sum(1, keepdim=True)


def centres() -> Tensor:
    """x, y of the tokens' centres, fractions of the picture, (256, 2)."""
    line = (torch.arange(TOKENS) + 0.5) / TOKENS
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], 1)


@dataclass(frozen=True)
class Asking:
    """How the towers are asked, which changed from round to round."""

    naming: float = 1.0  # weight of telling the concepts apart, which takes longest
    even: bool = False  # a small thing weighs more than its few tokens
    absolute: bool = False  # a token tells its thing's box in the picture, not from its own place on (see below)


class TowerQuestions(nn.Module):
    """The heads and the losses.

    Why `absolute`: what a query reads of the tokens are their values, without their places. While the values knew boxes
    from their tokens' places on alone, the queries' boxes hardly moved from the anchors.
    """

    def __init__(self, asking: Asking) -> None:
        super().__init__()
        self.asking = asking
        middle = torch.full((TOKENS**2, 2), 0.5) if asking.absolute else centres()
        self.prior = nn.Buffer(torch.cat([middle, torch.full_like(middle, ANCHOR)], 1), persistent=False)  # (256, 4)
        self.sharpness = nn.Parameter(torch.tensor(12.0))
        self.ground = nn.Linear(WIDTH, 1)
        self.box = nn.Linear(WIDTH, 4)
        self.fine = nn.Conv2d(WIDTH, 3, 1)  # of the finer level: is it a thing, and the way to its centre

    def name_logits(self, tokens: Tensor, words: Words) -> Tensor:
        """What each token shows, (B, 256, T + 1), the ground last."""
        named = self.sharpness * alike(tokens, pooled(words))
        return torch.cat([named, self.ground(F.layer_norm(tokens, (WIDTH,)))], -1)

    def forward(self, seen: Sam3VisionEncoderOutput, words: Words, batch: Batch) -> dict[str, Tensor]:
        """The losses of one batch; `words` are the prompts of all the concepts in their order."""
        tokens = seen.fpn_hidden_states[1].flatten(2).transpose(1, 2)  # (B, 256, WIDTH)
        shares = F.avg_pool2d(batch.covered, batch.covered.shape[-1] // TOKENS).flatten(2)  # (B, K + 1, 256)
        share, thing = shares.max(1)
        concepts = torch.cat([torch.full((len(thing), 1), GROUND), batch.concepts], 1).gather(1, thing)  # (B, 256)
        weight = share * self.weights(shares).gather(1, thing)
        named = F.cross_entropy(self.name_logits(tokens, words).flatten(0, 1), concepts.flatten(), reduction="none")
        boxes = torch.cat([torch.zeros(len(thing), 1, 4), batch.boxes], 1)
        box = boxes.gather(1, thing[..., None].expand(-1, -1, 4))  # (B, 256, 4)
        told = self.box(F.layer_norm(tokens, (WIDTH,))) + self.prior
        inside = (thing > 0) * share
        return {
            "name": self.asking.naming * (named * weight.flatten()).sum() / weight.sum(),
            "place": 5 * ((told - box).abs().sum(-1) * inside).sum() / inside.sum(),
            **self.fine_losses(seen.fpn_hidden_states[0], batch),
        }

    def weights(self, shares: Tensor) -> Tensor:
        """What one token of the ground and of each thing weighs, (B, K + 1), by the things' sizes in tokens."""
        sizes = shares.sum(-1)
        weights = (MIDDLING / sizes.clamp(min=3)).sqrt() if self.asking.even else torch.ones_like(sizes)
        weights[:, 0] = GROUND_WEIGHT
        return weights

    def fine_losses(self, level: Tensor, batch: Batch) -> dict[str, Tensor]:
        """What of the masks' pixels is no ground, and the way from there to the thing's centre."""
        out = self.fine(level)  # (B, 3, 32, 32)
        thing = batch.covered.argmax(1)
        side = thing.shape[-1]
        middles = torch.cat([torch.zeros(len(thing), 1, 2), batch.boxes[..., :2]], 1)
        middle = middles.gather(1, thing.flatten(1)[..., None].expand(-1, -1, 2)).unflatten(1, (side, side))
        line = (torch.arange(side) + 0.5) / side
        here = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1)
        away = (out[:, 1:].permute(0, 2, 3, 1) - (middle - here)).abs().sum(-1)
        inside = thing > 0
        return {
            "thing": F.binary_cross_entropy_with_logits(out[:, 0], 1 - batch.covered[:, 0]),
            "way": 5 * away[inside].mean(),
        }

    @torch.no_grad()
    def right(self, seen: Sam3VisionEncoderOutput, words: Words, batch: Batch) -> float:
        """The share of things whose tokens, added, name them."""
        tokens = seen.fpn_hidden_states[1].flatten(2).transpose(1, 2)
        names = self.name_logits(tokens, words)[..., : len(CONCEPTS)].log_softmax(-1)
        shares = F.avg_pool2d(batch.covered, batch.covered.shape[-1] // TOKENS).flatten(2)[:, 1:]  # (B, K, 256)
        best = (shares @ names).argmax(-1)
        real = batch.concepts >= 0
        return (best == batch.concepts)[real].float().mean().item()
