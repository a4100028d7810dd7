"""What SAM 3 finds in landscapes, against their truth: recall, mask IoU, false finds.

The protocol: a picture is asked for each concept that it shows, by its name, and for two that it does not. A find is a
query with sigmoid(logit) * sigmoid(presence) > 0.5; its mask is sigmoid, resized bilinearly to the picture's own size,
> 0.5. Per prompt, finds and true things are paired one to one, the greatest IoU of their masks first, down to 0.5. No
find is suppressed, so a second find of one thing is a false one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from concepts import CONCEPTS
from landscape_pool import Landscapes
from numpy.typing import NDArray
from sam3_start import LENGTH
from start import normalise
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase, Sam3Model

ABSENT = 2  # prompts to each picture
THRESHOLD = 0.5  # of a score, of a pixel, and of an IoU

Masks = NDArray[np.bool_]  # (N, H, W)


@dataclass(frozen=True)
class Truth:
    """One picture's things, in the picture's own pixels."""

    concepts: list[int]  # index into CONCEPTS
    instances: NDArray[np.uint8]  # (H, W), 0 = ground, k = the k-th thing


@dataclass(frozen=True)
class Finds:
    """What a prompt found in a picture."""

    masks: Masks
    boxes: NDArray[np.float64]  # (N, 4) x0 y0 x1 y1, fractions of the picture


@dataclass
class Tally:
    """Counts over pictures."""

    things: int = 0
    finds: int = 0  # on prompts whose concept is there
    ious: list[float] = field(default_factory=list)  # of the pairs' masks
    boxes: list[float] = field(default_factory=list)  # and boxes
    absent: int = 0  # prompts
    fooled: int = 0  # absent prompts with a find

    def figures(self) -> dict[str, float]:
        """Shares, 0..1."""
        paired = len(self.ious)
        return {
            "recall": round(paired / self.things, 4),
            "mean_iou": round(float(np.mean(self.ious)) if paired else 0.0, 4),
            "box_iou": round(float(np.mean(self.boxes)) if paired else 0.0, 4),
            "precision": round(paired / max(1, self.finds), 4),
            "absent_found": round(self.fooled / max(1, self.absent), 4),
            "things": self.things,
        }


def ious(found: Masks, true: Masks) -> NDArray[np.float64]:
    """(N, M) intersection over union."""
    pixels = found.shape[1] * found.shape[2]
    a, b = found.reshape(-1, pixels).astype(np.float32), true.reshape(-1, pixels).astype(np.float32)
    inner = a @ b.T
    return inner / np.maximum(a.sum(1)[:, None] + b.sum(1) - inner, 1)


def pair(overlaps: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Rows and columns of the pairs, the greatest IoU first, each row and column once."""
    left, pairs = overlaps.copy(), []
    while left.size and left.max() >= THRESHOLD:
        row, column = np.unravel_index(left.argmax(), left.shape)
        pairs.append((int(row), int(column)))
        left[row], left[:, column] = 0, 0
    return pairs


def box_iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Of two boxes x0 y0 x1 y1."""
    inner = np.prod(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None))
    return float(inner / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - inner))


def tight(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The box around a mask (H, W), x0 y0 x1 y1 as fractions of the picture."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    height, width = mask.shape
    return np.array([columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height])


def enlarge(logits: Tensor, size: tuple[int, int]) -> Masks:
    """Mask logits (N, h, w), N perhaps 0, as masks at `size`."""
    if not len(logits):
        return np.zeros((0, *size), bool)
    return (F.interpolate(logits.sigmoid()[None], size, mode="bilinear")[0] > THRESHOLD).numpy()


@torch.inference_mode()
def find(
    model: Sam3Model, tokenizer: PreTrainedTokenizerBase, image: Tensor, prompts: list[str], size: tuple[int, int]
) -> list[Finds]:
    """What is found for each prompt, the masks at `size`; the image is (3, 128, 128)."""
    words = tokenizer(prompts, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt")
    seen = model.get_vision_features(image[None])
    for name in ("fpn_hidden_states", "fpn_position_encoding"):
        setattr(seen, name, tuple(level.expand(len(prompts), -1, -1, -1) for level in getattr(seen, name)))
    out = model(vision_embeds=seen, input_ids=words.input_ids, attention_mask=words.attention_mask)
    sure = out.pred_logits.sigmoid() * out.presence_logits.sigmoid() > THRESHOLD  # (P, Q)
    return [
        Finds(enlarge(masks[kept], size), boxes[kept].double().numpy())
        for masks, boxes, kept in zip(out.pred_masks, out.pred_boxes, sure, strict=True)
    ]


def draw_prompts(seed: int, shown: list[int]) -> list[int]:
    """The concepts asked for: those shown, then two that are not."""
    rng = np.random.default_rng([seed, 30])
    absent = [int(concept) for concept in rng.permutation(len(CONCEPTS)) if concept not in shown]
    return [*sorted(set(shown)), *absent[:ABSENT]]


def count(tally: Tally, asked: list[int], found: list[Finds], truth: Truth) -> None:
    """Add one picture's finds."""
    for concept, finds in zip(asked, found, strict=True):
        mine = [truth.instances == number for number, one in enumerate(truth.concepts, 1) if one == concept]
        if not mine:
            tally.absent += 1
            tally.fooled += len(finds.masks) > 0
            continue
        tally.things += len(mine)
        tally.finds += len(finds.masks)
        overlaps = ious(finds.masks, np.stack(mine))
        pairs = pair(overlaps)
        tally.ious += [float(overlaps[place]) for place in pairs]
        tally.boxes += [box_iou(finds.boxes[row], tight(mine[column])) for row, column in pairs]


def measure_pool(
    model: Sam3Model, tokenizer: PreTrainedTokenizerBase, pool: Landscapes, number: int
) -> dict[str, float]:
    """The figures on the first `number` landscapes of a pool, at the pool's size."""
    tally = Tally()
    for row in range(number):
        truth = Truth([int(concept) for concept in pool.concepts[pool.things(row)]], np.asarray(pool.instances[row]))
        asked = draw_prompts(row, truth.concepts)
        image = normalise(np.array(pool.pixels[row : row + 1]))[0]
        found = find(model, tokenizer, image, [CONCEPTS[concept] for concept in asked], truth.instances.shape)
        count(tally, asked, found, truth)
    return tally.figures()
