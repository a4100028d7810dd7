"""Grounding DINO's answers as Objects.

What is found, its score and its phrase are those of transformers' post_process_grounded_object_detection (5.23), best
first and clipped to the picture:

    score   the greatest probability of any token of the text; it must exceed `box_threshold`
    label   the prompt whose own tokens have the greatest probability, never read from the phrase
    phrase  the words of the tokens that exceed `text_threshold`; empty where none does

So the score is the label's own probability, unless a mark ([CLS], a dot, [SEP]) beats every word: trained weights are
taught none of these for any object. What several texts find is put together. Knows nothing of torch or files.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from visioncli.errors import PredictError
from visioncli.models.dual_encoder import Tower
from visioncli.models.grounding_dino.detector import Detector
from visioncli.models.grounding_dino.pixels import Sight
from visioncli.models.phrases import Phrases, Text
from visioncli.models.preprocess import Pixels
from visioncli.models.steps import step
from visioncli.provenance import ModelInfo
from visioncli.samples import Sample
from visioncli.tasks.detect import DetectOptions
from visioncli.tasks.objects import Objects

VERSION = 1  # raised whenever a prompt's tokens, or what is made of the model's answer, would change


class DetectPredictor:
    """Each picture is asked alone; thresholds are applied in `postprocess`.

    The model ranks some 20,000 places by scores that are often nearly equal, and its queries take them by rank, so the
    last bits of a sum decide who gets which; and these change with the number of pictures in a batch. Measured at
    256x320 with the sizes of grounding-dino-tiny and random weights: of eight pictures in a batch, three had 2 to 9 of
    their 900 queries elsewhere than alone, by up to 0.67 of a side. A CPU loses nothing by it at real sizes.
    """

    def __init__(self, info: ModelInfo, sight: Sight, phrases: Phrases, detector: Detector) -> None:
        self.info = info
        self.decode_size: tuple[int, int] | None = sight.decode_size
        self._sight, self._phrases, self._detector = sight, phrases, detector

    def check(self, options: DetectOptions) -> None:
        """Raise UsageError for a prompt that the model cannot read."""
        self._phrases.texts(options.prompts)

    def preprocess(self, sample: Sample, options: DetectOptions) -> Pixels:
        """(h, w, 3), as the model sees it. Raises PredictError."""
        self.check(options)
        if sample.image is None:
            raise PredictError("input_missing", "the row has no picture")
        return self._sight.apply(sample.image, _original(sample))

    def prepare(self, options: DetectOptions) -> None:
        """The prompts are part of every forward pass."""

    def forward(self, inputs: Sequence[Pixels], options: DetectOptions) -> list[NDArray[np.float32] | PredictError]:
        """One (queries, …) a row, as Detector.ask gives it."""
        texts, detector = self._phrases.texts(options.prompts), self._detector
        tower = Tower(str, lambda dtype, pixels: detector.ask(dtype, pixels, texts), detector.device, self.info.dtype)
        different = {id(row): row for row in inputs}  # a short batch is filled up with its last row
        found: dict[int, NDArray[np.float32] | PredictError] = {}
        for key, row in different.items():
            step()
            found[key] = tower.vectors([row])[0]
        return [found[id(row)] for row in inputs]

    def postprocess(
        self, outputs: Sequence[NDArray[np.float32]], samples: Sequence[Sample], options: DetectOptions
    ) -> list[Objects]:
        return [
            self._objects(found, _original(sample), options) for found, sample in zip(outputs, samples, strict=True)
        ]

    def batch_key(self, options: DetectOptions, inputs: Pixels) -> Hashable:
        return inputs.shape, options.prompts

    def _objects(self, found: NDArray[np.float32], size: tuple[int, int], options: DetectOptions) -> Objects:
        texts = self._phrases.texts(options.prompts)
        ends = np.cumsum([4 + len(text.ids) for text in texts])
        parts = [
            self._found_by(text, part, options) for text, part in zip(texts, np.split(found, ends[:-1], 1), strict=True)
        ]
        labels, phrases = ([word for part in parts for word in part[i]] for i in (0, 1))
        scores, boxes = (np.concatenate([part[i] for part in parts]) for i in (2, 3))
        boxes = corners(boxes, size)
        order = np.argsort(-scores, kind="stable")
        if options.nms is not None:
            order = order[~overlapped(boxes[order], [labels[i] for i in order], options.nms)]
        named, spoken = tuple(labels[i] for i in order), tuple(phrases[i] for i in order)
        return Objects(named, scores[order], boxes[order], spoken)

    def _found_by(
        self, text: Text, part: NDArray[np.float32], options: DetectOptions
    ) -> tuple[list[str], list[str], NDArray[np.float32], NDArray[np.float32]]:
        """(K labels, K phrases, (K,) scores, (K, 4) boxes as the model gives them) of one text, in its order."""
        part = part[part[:, 4:].max(axis=1) > options.box_threshold]
        tokens = part[:, 4:]  # (K, L) probabilities
        own = np.stack([tokens[:, first:end].max(axis=1) for first, end in text.spans], axis=1)  # (K, prompts)
        labels = [text.prompts[i] for i in own.argmax(axis=1)]
        phrases = [self._phrases.spoken(text.ids, row) for row in tokens > options.text_threshold]
        return labels, phrases, tokens.max(axis=1), part[:, :4]


def corners(boxes: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """(N, 4) centre and extent in shares -> (N, 4) x0 y0 x1 y1, pixels of `size` (height, width), clipped to it."""
    height, width = size
    centre, half = boxes[:, :2], boxes[:, 2:] * np.float32(0.5)
    ends = np.array([width, height, width, height], np.float32)
    return np.clip(np.concatenate([centre - half, centre + half], axis=1) * ends, 0, ends)


def overlapped(boxes: NDArray[np.float32], labels: Sequence[str], limit: float) -> NDArray[np.bool_]:
    """Which of the boxes, best first, overlap a better one that stays and has the same label by more than `limit`.

    Overlap is intersection over union; `boxes` are (N, 4) x0 y0 x1 y1.
    """
    gone, names = np.zeros(len(boxes), np.bool_), np.array(labels)
    for i in range(len(boxes)):
        if not gone[i]:
            gone[i + 1 :] |= (names[i + 1 :] == names[i]) & (_overlap(boxes[i], boxes[i + 1 :]) > limit)
    return gone


def _overlap(box: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """(4,) and (N, 4) -> (N,) intersection over union; 0 where both are empty."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared = np.maximum(sides, 0).prod(axis=1)
    union = (box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(axis=1) - shared
    overlap: NDArray[np.float32] = shared / np.where(union > 0, union, np.float32(1))
    return overlap


def _original(sample: Sample) -> tuple[int, int]:
    """(height, width) of the upright original."""
    if sample.facts.size is not None:
        return sample.facts.size
    if sample.image is None:
        raise PredictError("input_missing", "the row has no picture")
    height, width = sample.image.shape[:2]
    return height, width
