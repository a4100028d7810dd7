"""Batches of landscapes as SAM 3's training wants them: pictures, prompts, and what is true of each prompt.

Everything is in the frame of the model's square: boxes are centre and size as fractions of the picture, masks are
shares covered of the 32 x 32 mask pixels. Knows nothing of models or losses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from concepts import CONCEPTS
from landscape_pool import Landscapes
from landscapes import MOST_THINGS
from numpy.typing import NDArray
from sam3_start import SIDE
from sam3_text import nonsense, word_prompt
from start import normalise
from torch import Tensor
from torch.nn import functional as F

MASK_SIDE = 32  # pixels of a predicted mask's side
GROUND = len(CONCEPTS)  # the class of what is no thing
NONSENSE = 0.15  # share of the absent prompts that are no word at all
NONE = -1


@dataclass(frozen=True)
class Batch:
    """B landscapes of K things at most; unused things have the concept NONE."""

    images: Tensor  # (B, 3, 128, 128), -1..1
    covered: Tensor  # (B, K + 1, 32, 32), shares 0..1; the first is the ground
    concepts: Tensor  # (B, K)
    boxes: Tensor  # (B, K, 4) centre x y, width, height, fractions


@dataclass(frozen=True)
class Asked:
    """P prompts to each of B pictures, flattened to N = B * P, picture by picture."""

    texts: list[str]  # N
    wanted: Tensor  # (N, K) bool, the things a prompt means

    @property
    def present(self) -> Tensor:
        """Whether the picture shows any, (N,) bool."""
        return self.wanted.any(1)


def pad_things(pool: Landscapes, index: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Concepts (B, K), NONE where there is no thing, and boxes (B, K, 4) x0 y0 x1 y1."""
    concepts = np.full((len(index), MOST_THINGS), NONE, np.int64)
    boxes = np.full((len(index), MOST_THINGS, 4), 0.5, np.float32)
    for row, number in enumerate(index):
        things = pool.things(int(number))
        count = things.stop - things.start
        concepts[row, :count], boxes[row, :count] = pool.concepts[things], pool.boxes[things]
    return concepts, boxes


def mirror(pixels: Tensor, numbers: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A random half of the pictures seen in a mirror, with their truth."""
    flip = torch.rand(len(pixels)) < 0.5
    pixels = torch.where(flip[:, None, None, None], pixels.flip(3), pixels)
    numbers = torch.where(flip[:, None, None], numbers.flip(2), numbers)
    turned = torch.stack([1 - boxes[..., 2], boxes[..., 1], 1 - boxes[..., 0], boxes[..., 3]], -1)
    return pixels, numbers, torch.where(flip[:, None, None], turned, boxes)


def roughen(images: Tensor) -> Tensor:
    """Brighten and roughen each picture a little."""
    count = len(images)
    gain = torch.empty(count, 1, 1, 1).uniform_(0.93, 1.07)
    noise = torch.randn_like(images) * torch.empty(count, 1, 1, 1).uniform_(0, 0.03)
    return (images * gain + noise).clamp(-1, 1)


def crowd(pool: Landscapes, index: NDArray[np.int64], above: NDArray[np.int64]) -> Batch:
    """The things of the landscapes `above` pasted upon those of `index` (after https://arxiv.org/abs/2012.07177).

    Twice as many things to name for the price of a picture; their boxes are tight around what is still seen.
    """
    upper = np.array(pool.instances[above])  # (B, 128, 128)
    pixels = np.where(upper[..., None] > 0, pool.pixels[above], pool.pixels[index])
    both = np.where(upper > 0, upper + MOST_THINGS, pool.instances[index])
    concepts = np.concatenate([pad_things(pool, rows)[0] for rows in (index, above)], 1)
    masks = torch.from_numpy(both)[:, None] == torch.arange(1, 2 * MOST_THINGS + 1)[None, :, None, None]
    boxes = tight_boxes(masks)
    images, numbers, boxes = mirror(roughen(normalise(pixels)), torch.from_numpy(both), boxes)
    return finish(images, numbers, torch.from_numpy(concepts), boxes)


def tight_boxes(masks: Tensor) -> Tensor:
    """x0 y0 x1 y1 around each mask (..., H, W), fractions; of an empty mask without meaning."""
    columns, rows = masks.any(-2), masks.any(-1)
    ends = [(line.int().argmax(-1), line.shape[-1] - line.flip(-1).int().argmax(-1)) for line in (columns, rows)]
    (x0, x1), (y0, y1) = ends
    return torch.stack([x0, y0, x1, y1], -1) / masks.shape[-1]


def join(first: Batch, second: Batch) -> Batch:
    """Both batches as one; the first has no more things than the second."""
    more = second.concepts.shape[1] - first.concepts.shape[1]
    concepts = F.pad(first.concepts, (0, more), value=NONE)
    covered, boxes = F.pad(first.covered, (0, 0, 0, 0, 0, more)), F.pad(first.boxes, (0, 0, 0, more))
    pairs = (
        (first.images, second.images),
        (covered, second.covered),
        (concepts, second.concepts),
        (boxes, second.boxes),
    )
    return Batch(*(torch.cat(pair) for pair in pairs))


def finish(images: Tensor, numbers: Tensor, concepts: Tensor, boxes: Tensor) -> Batch:
    """The batch of instance numbers (B, 128, 128) and boxes x0 y0 x1 y1."""
    things = torch.arange(concepts.shape[1] + 1)[None, :, None, None]
    covered = F.avg_pool2d((numbers[:, None] == things).float(), SIDE // MASK_SIDE)
    centre, size = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    return Batch(images, covered, concepts, torch.cat([centre, size], -1))


def make_batch(pool: Landscapes, index: NDArray[np.int64], plain: bool = False) -> Batch:
    """The landscapes of `index`, varied unless `plain`."""
    concepts, corners = pad_things(pool, index)
    images = normalise(np.ascontiguousarray(pool.pixels[index]))
    numbers = torch.from_numpy(np.ascontiguousarray(pool.instances[index]))  # (B, 128, 128)
    boxes = torch.from_numpy(corners)
    if not plain:
        images, numbers, boxes = mirror(roughen(images), numbers, boxes)
    return finish(images, numbers, torch.from_numpy(concepts), boxes)


def orders(count: int, size: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Endless index arrays (size,) of `count` landscapes, every one once before any comes again."""
    while True:
        order = rng.permutation(count)
        yield from (order[i : i + size] for i in range(0, len(order) - size + 1, size))


def draw_concepts(rng: np.random.Generator, shown: list[int], count: int) -> list[int]:
    """`count` concepts, the last one absent, the others present as far as there are enough."""
    present = [int(concept) for concept in rng.permutation(shown)[: count - 1]]
    absent = [int(concept) for concept in rng.permutation(GROUND) if concept not in shown]
    return [*present, *absent[: count - len(present)]]


def ask(rng: np.random.Generator, batch: Batch, count: int) -> Asked:
    """`count` prompts to each picture, of which one at least is absent."""
    texts, means = [], []
    for row in batch.concepts.numpy():
        shown = sorted(set(row[row != NONE].tolist()))
        for concept in draw_concepts(rng, shown, count):
            odd = concept not in shown and rng.random() < NONSENSE
            texts.append(nonsense(rng) if odd else word_prompt(rng, concept))
            means.append(concept)
    wanted = batch.concepts.repeat_interleave(count, 0) == torch.tensor(means)[:, None]
    return Asked(texts, wanted)
