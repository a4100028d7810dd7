"""The detector without its decoder: what the encoder's proposals say of every place, and the loss that teaches them.

The first round trains this part alone. The words go through the text side once a step, for all pictures together; the
fusion of words and pictures is left out, which the stock model begins with too (its layer scales start at 1e-4).

Dense targets are set by hand: an object belongs to the place nearest to its centre on the level that fits its size.
Places beside it, and those on a level that fits nearly as well, learn its box but are asked nothing about its name.
Strictly, they are told that they show nothing and that their box is empty. So a second query for the same object looks
at a place of its own, where nothing is said, and the decoder need not find out that the two are alike: with boxes alike
its attention between queries had hardly begun to tell them apart after 1,500 steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from grounding_text import Prompts
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from transformers import GroundingDinoForObjectDetection
from transformers.loss.loss_for_object_detection import generalized_box_iou
from transformers.models.grounding_dino.modeling_grounding_dino import (
    GroundingDinoModel,
    generate_masks_with_special_tokens_and_transfer_map,
)

LEVEL_SIZES = (0.22, 0.44)  # the side an object has, as a share of the picture's, to fit a level best
NEARLY = 0.75  # octaves: a level off by less is not held against an object
BESIDE = 0.6  # cells from an object's centre: where a place is not asked for the name
EMPTY = (0.02, 0.06)  # the side of a box that is none, by level: so that the decoder can tell whose place it was
EMPTY_WEIGHT = 10.0  # heavy, for most places are far from any object
FOCAL = (0.25, 2.0)  # alpha and gamma of https://arxiv.org/abs/1708.02002, as in the stock loss
CLASS_WEIGHT, NAME_WEIGHT, L1_WEIGHT, GIOU_WEIGHT = 2.0, 2.0, 5.0, 2.0  # all but the second as in the stock loss


@dataclass(frozen=True)
class Truth:
    """The objects of B pictures, each picture's own in a pair of arrays."""

    concepts: list[NDArray[np.int64]]  # (N,), index into CONCEPTS
    boxes: list[Tensor]  # (N, 4) centre x, centre y, width, height, as shares of the picture


def hear(model: GroundingDinoModel, prompts: Prompts) -> Tensor:
    """The words' features (B, T, WIDTH) as the encoder leaves them where nothing is seen."""
    within, positions = generate_masks_with_special_tokens_and_transfer_map(prompts.input_ids, model.special_tokens)
    types = torch.zeros_like(prompts.input_ids)
    words = model.text_backbone(prompts.input_ids, within[:, None], types, positions).last_hidden_state
    words = model.text_projection(words)
    for layer in model.encoder.layers:
        places = layer.get_text_position_embeddings(words, None, positions)
        words = layer.fusion_layer.layer_norm_text(words)
        words, _ = layer.text_enhancer_layer(words, attention_masks=within, position_embeddings=places)
    return words


def see(model: GroundingDinoModel, pixels: Tensor) -> tuple[Tensor, Tensor, list[tuple[int, int]]]:
    """Features (B, S, WIDTH) of all places, box logits (B, S, 4), the levels' (height, width); no word heard."""
    whole = torch.ones(pixels.shape[0], *pixels.shape[2:], dtype=torch.long)
    maps, positions = model.backbone(pixels, whole)
    maps = [project(image) for project, (image, _) in zip(model.input_proj_vision, maps, strict=True)]
    shapes = [(image.shape[2], image.shape[3]) for image in maps]
    vision = torch.cat([image.flatten(2).transpose(1, 2) for image in maps], 1)
    here = [place.flatten(2).transpose(1, 2) + model.level_embed[n] for n, place in enumerate(positions)]
    vision = look_around(model, vision, torch.cat(here, 1), shapes)
    nothing_padded = torch.zeros(vision.shape[:2], dtype=torch.bool)
    seen, proposals = model.generate_encoder_output_proposals(vision, nothing_padded, shapes)
    return seen, model.encoder_output_bbox_embed(seen) + proposals, shapes


def look_around(model: GroundingDinoModel, vision: Tensor, here: Tensor, shapes: list[tuple[int, int]]) -> Tensor:
    """The encoder's deformable layers alone, (B, S, WIDTH) to the same."""
    count = torch.tensor(shapes)
    starts = torch.cat([count.new_zeros(1), count.prod(1).cumsum(0)[:-1]])
    points = model.encoder.get_reference_points(shapes, torch.ones(len(vision), len(shapes), 2), vision.device)
    for layer in model.encoder.layers:
        vision, _ = layer.deformable_layer(
            layer.fusion_layer.layer_norm_vision(vision),
            attention_mask=None,
            position_embeddings=here,
            reference_points=points,
            spatial_shapes=count,
            spatial_shapes_list=shapes,
            level_start_index=starts,
        )
    return vision


def lay_out(shapes: list[tuple[int, int]]) -> tuple[Tensor, Tensor]:
    """For every place its centre and cell, (S, 4) x y width height as shares of the picture, and its level, (S,)."""
    grids = []
    for height, width in shapes:
        y, x = torch.meshgrid((torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width, indexing="ij")
        cell = torch.tensor([1 / width, 1 / height]).expand(height, width, 2)
        grids.append(torch.cat([x[..., None], y[..., None], cell], 2).reshape(-1, 4))
    return torch.cat(grids), torch.cat([torch.full((len(grid),), n) for n, grid in enumerate(grids)])


@dataclass(frozen=True)
class Assigned:
    """Which object of its picture each place answers for, as flat lists over the batch."""

    named: tuple[Tensor, Tensor, Tensor]  # picture, place, object: these say its name and its box
    boxed: tuple[Tensor, Tensor, Tensor]  # picture, place, object: these say its box
    spared: Tensor  # (B, S), places that are not asked for a name


def assign_one(boxes: Tensor, places: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
    """For one picture's boxes (N, 4) the place (N,) each belongs to, and whether each place is near each, (N, S)."""
    size = boxes[:, 2:].prod(1).sqrt().clamp(min=1e-3)
    misfit = (size[:, None] / torch.tensor(LEVEL_SIZES)).log2().abs()  # (N, levels), octaves
    fits = misfit[:, levels] - misfit.min(1, keepdim=True).values < NEARLY  # (N, S)
    away = (places[None, :, :2] - boxes[:, None, :2]).abs()  # (N, S, 2)
    best = (away.square().sum(2) + 100.0 * (levels[None] != misfit.argmin(1)[:, None])).argmin(1)
    near = fits & (away < BESIDE * places[None, :, 2:]).all(2)
    near[torch.arange(len(best)), best] = True
    return best, near


def assign(truth: Truth, shapes: list[tuple[int, int]]) -> Assigned:
    """Places for the objects of a batch; of two objects at one place the later one, which stands in front, has it."""
    places, levels = lay_out(shapes)
    named, boxed = [], []
    spared = torch.zeros(len(truth.boxes), len(places), dtype=torch.bool)
    for picture, boxes in enumerate(truth.boxes):
        if not len(boxes):
            continue
        best, near = assign_one(boxes, places, levels)
        owner = torch.full((len(places),), -1)
        owner[near.any(0)] = near.float().argmax(0)[near.any(0)]
        owner[best] = torch.arange(len(best))
        spared[picture] = near.any(0)
        named.append(torch.stack([torch.full_like(best, picture), best, owner[best]]))
        mine = owner.ge(0).nonzero()[:, 0]
        boxed.append(torch.stack([torch.full_like(mine, picture), mine, owner[mine]]))
    first, second = (torch.cat(lists, 1) for lists in (named, boxed))
    return Assigned((first[0], first[1], first[2]), (second[0], second[1], second[2]), spared)


def corners(boxes: Tensor) -> Tensor:
    """Centre and size (N, 4) to x0 y0 x1 y1."""
    return torch.cat([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], 1)


def box_loss(found: Tensor, right: Tensor) -> Tensor:
    """The stock loss of N boxes against N true ones, both (N, 4) centre and size, averaged."""
    giou = torch.diag(generalized_box_iou(corners(found), corners(right)))
    return L1_WEIGHT * (found - right).abs().sum(1).mean() + GIOU_WEIGHT * (1 - giou).mean()


def focal_loss(logits: Tensor, right: Tensor) -> Tensor:
    """Every logit's focal loss; both of one shape, `right` 0 or 1."""
    alpha, gamma = FOCAL
    wrong = (logits.sigmoid() - right).abs()
    weight = (alpha * right + (1 - alpha) * (1 - right)) * wrong**gamma
    return weight * F.binary_cross_entropy_with_logits(logits, right, reduction="none")


def name_loss(logits: Tensor, right: Tensor, shown: Tensor) -> Tensor:
    """Cross-entropy over the words of a prompt for N places that show an object; all (N, T), `right` and `shown` bool.

    Focal loss is slow to tell many phrases apart; this has the same optimum for the order of the words.
    """
    scores = F.log_softmax(logits.masked_fill(~shown, -1e4), 1)
    return -((scores * right).sum(1) / right.sum(1).clamp(min=1)).mean()


def empty_loss(found: Tensor, owners: Tensor, shapes: list[tuple[int, int]]) -> Tensor:
    """How far the boxes (B, S, 4) of all places but the owners (B, S) are from nothing at their centres."""
    nothing, levels = lay_out(shapes)
    nothing[:, 2:] = torch.tensor(EMPTY)[levels][:, None]
    return EMPTY_WEIGHT * (found - nothing).abs().sum(2)[~owners].mean()


def dense_loss(
    logits: Tensor, box_logits: Tensor, truth: Truth, owned: Tensor, shapes: list[tuple[int, int]], strict: bool
) -> dict[str, Tensor]:
    """The losses of the encoder's proposals.

    `logits` (B, S, T) and `box_logits` (B, S, 4) are the encoder's; `owned` (B, T) is the concept of each word, -1 for
    dots, ends and padding; the objects are those that the prompt asks for.
    """
    picture, place, thing = (assigned := assign(truth, shapes)).named
    names = torch.cat([torch.from_numpy(c) for c in truth.concepts])
    first = torch.tensor([0, *(len(c) for c in truth.concepts[:-1])]).cumsum(0)  # where a picture's objects begin
    boxes = torch.cat(truth.boxes)
    right = owned[picture] == names[first[picture] + thing][:, None]  # (P, T)
    target = torch.zeros_like(logits)
    target[picture, place] = right.float()
    owners = torch.zeros_like(assigned.spared)
    owners[picture, place] = True
    names_found = focal_loss(logits, target)[owners | ~assigned.spared | strict].sum() / max(1, len(picture))
    at, where, what = assigned.named if strict else assigned.boxed
    found = box_logits.sigmoid()
    losses = {
        "class": CLASS_WEIGHT * names_found,
        "name": NAME_WEIGHT * name_loss(logits[picture, place], right, owned[picture] >= 0),
        "box": box_loss(found[at, where], boxes[first[at] + what]),
    }
    return losses | ({"empty": empty_loss(found, owners, shapes)} if strict else {})


def dense_step(
    detector: GroundingDinoForObjectDetection, pixels: Tensor, prompts: Prompts, truth: Truth, strict: bool
) -> dict[str, Tensor]:
    """The losses of a batch (B, 3, H, W) that shares one prompt, through the encoder alone."""
    words = hear(detector.model, prompts)  # (1, T, WIDTH)
    seen, box_logits, shapes = see(detector.model, pixels)
    owned = torch.from_numpy(prompts.concepts).expand(len(pixels), -1)
    return dense_loss(seen @ words[0].T, box_logits, truth, owned, shapes, strict)
