"""The first stage's questions to every token of a picture: what it shows, where that is, and what is no ground.

The likeness of a token and a word is what the encoder's attention will look for later. The three linear heads are
thrown away afterwards. Knows nothing of queries.
"""

from __future__ import annotations

import torch
from concepts import CONCEPTS
from sam3_forward import Words
from sam3_start import ANCHOR, PATCH, SIDE, WIDTH
from sam3_truth import GROUND, Batch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.sam3.modeling_sam3 import Sam3VisionEncoderOutput

TOKENS = SIDE // PATCH  # to a side
NAMING = 2.0  # of the loss; telling the concepts apart is what takes longest
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


class TowerQuestions(nn.Module):
    """The heads and the loss of the first stage.

    `absolute`: a token tells its thing's box in the picture, not from its own place on. What a query reads of the tokens
    are their values, without their places, so only the former lets it know where the box is.
    """

    def __init__(self, absolute: bool) -> None:
        super().__init__()
        middle = torch.full((TOKENS**2, 2), 0.5) if absolute else centres()
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
        rarity = (MIDDLING / shares.sum(-1).clamp(min=3)).sqrt().gather(1, thing)  # a small thing is a thing too
        weight = share * torch.where(thing == 0, GROUND_WEIGHT, rarity)
        named = F.cross_entropy(self.name_logits(tokens, words).flatten(0, 1), concepts.flatten(), reduction="none")
        boxes = torch.cat([torch.zeros(len(thing), 1, 4), batch.boxes], 1)
        box = boxes.gather(1, thing[..., None].expand(-1, -1, 4))  # (B, 256, 4)
        told = self.box(F.layer_norm(tokens, (WIDTH,))) + self.prior
        inside = (thing > 0) * share
        return {
            "name": NAMING * (named * weight.flatten()).sum() / weight.sum(),
            "place": 5 * ((told - box).abs().sum(-1) * inside).sum() / inside.sum(),
            **self.fine_losses(seen.fpn_hidden_states[0], batch),
        }

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
