"""Long answers of the bundled models can be ended between two of their steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from visioncli.io import hub
from visioncli.models import load
from visioncli.models.runtime import RuntimeRequest
from visioncli.models.steps import between_steps, step
from visioncli.samples import Facts, ImageRef, Sample
from visioncli.tasks.classify import ClassifyOptions
from visioncli.tasks.detect import DetectOptions
from visioncli.tasks.embed import EmbedOptions
from visioncli.tasks.segment import SegmentOptions

COLOURS = ("red", "blue", "green", "white", "black", "yellow", "grey", "brown")
THINGS = ("cat", "dog", "car", "truck", "bird", "ball", "cup", "tree")
WORDS = tuple(f"{colour} {thing}" for colour in COLOURS for thing in THINGS)  # 64


class Enough(Exception):
    """Nobody waits any more."""


class Looker:
    """Lets so many steps begin."""

    def __init__(self, most: int) -> None:
        self.most, self.steps = most, 0

    def __call__(self) -> None:
        self.steps += 1
        if self.steps > self.most:
            raise Enough


def loaded(name: str, task: str) -> Any:
    checkpoint = hub.locate(f"demo/{name}", task, offline=True)
    return load(checkpoint, task, RuntimeRequest(dtype="float32"), need_text=name == "siglip")


def picture(predictor: Any, options: Any) -> Any:
    image = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
    return predictor.preprocess(Sample(ImageRef(0, "", None), Facts(size=(96, 128)), image), options)


def labels_of_classify() -> None:
    loaded("siglip", "classify").prepare(ClassifyOptions(WORDS))


def texts_of_embed() -> None:
    predictor, options = loaded("siglip", "embed"), EmbedOptions(image=False, text_column="text")
    samples = [Sample(ImageRef(0, "", None, {"text": word}), Facts(), None) for word in WORDS]
    predictor.forward([predictor.preprocess(sample, options) for sample in samples], options)


def prompts_of_segment() -> None:
    predictor, options = loaded("sam3", "segment"), SegmentOptions(WORDS, threshold=0.99)
    predictor.forward([picture(predictor, options)], options)


def prompts_of_detect() -> None:
    predictor, options = loaded("grounding_dino", "detect"), DetectOptions(WORDS)
    predictor.forward([picture(predictor, options)], options)


@pytest.mark.parametrize("answer", [labels_of_classify, texts_of_embed, prompts_of_segment, prompts_of_detect])
def test_whoever_looks_can_end_it_after_any_step(answer: Any) -> None:
    looker = Looker(2)
    with between_steps(looker), pytest.raises(Enough):
        answer()
    assert looker.steps == 3


def test_without_a_looker_a_step_is_nothing() -> None:
    step()
    with between_steps(Looker(0)):
        pass
    step()
