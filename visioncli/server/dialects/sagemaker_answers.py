"""What the CLIP container computes: probabilities, the three best, and the class of an image.

Source: the container's semantics as sagemaker-clip.md shows them. Knows nothing of HTTP or SageMaker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from visioncli.errors import UsageError
from visioncli.server.dialects.label_lists import best_first, distinct, in_places, softmax
from visioncli.server.dialects.picture_lists import read_pictures
from visioncli.server.limits import MOST_PICTURES, MOST_TEXTS, in_turn, refuse_many
from visioncli.server.service import Service
from visioncli.tasks.classify import ClassifyOptions, Labelled

NAME = "sagemaker-clip"
TEMPLATE = "a photo of a {}"  # the container's
LOGIT_SCALE = 100.0  # where CLIP's trained scale is clamped (Radford et al. 2021, 2.5), written out in the container
LISTED = 3  # prompts of an image's answer
MARGIN = 0.02  # below the best probability, inclusive: the container's


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes of a request, as listed."""

    texts: tuple[str, ...]
    flags: tuple[bool, ...] | None  # None: texts alone, the older form


async def classify(service: Service, asked: Mapping[str, Any]) -> list[Any]:
    """Return one answer per image, in order. One image that cannot be read fails them all."""
    images, classes = _images(asked.get("images")), _classes(asked.get("classes"))
    pictures = await read_pictures(service.payloads(NAME).picture, images)
    options = ClassifyOptions(distinct(classes.texts), (TEMPLATE,), scoring="cosine")
    found = await service.ask(NAME, "classify", pictures, options)
    return await in_turn(len(found) * len(classes.texts), lambda: [_rendered(each, classes) for each in found])


def _images(given: Any) -> list[str]:
    if isinstance(given, list):
        refuse_many(len(given), MOST_PICTURES, "images")
    if not isinstance(given, list) or not all(isinstance(image, str) for image in given):
        raise UsageError("images must be a list of URLs or base64 texts")
    return given


def _classes(given: Any) -> Classes:
    if not isinstance(given, list) or not given:
        raise UsageError("classes must be a list of [text, flag] pairs, and not empty")
    refuse_many(len(given), MOST_TEXTS, "classes")
    if all(isinstance(each, str) for each in given):
        return Classes(tuple(given), None)
    for each in given:
        if not isinstance(each, list) or len(each) != 2 or not isinstance(each[0], str):
            raise UsageError("each of the classes must be a [text, flag] pair")
    return Classes(tuple(text for text, _ in given), tuple(bool(flag) for _, flag in given))


def _rendered(found: Labelled, classes: Classes) -> Any:
    chances = softmax(in_places(classes.texts, found) * LOGIT_SCALE)
    places = best_first(chances)[:LISTED]
    listed = [float(chances[place]) for place in places]
    prompts = [places, [classes.texts[place] for place in places], listed]
    if classes.flags is None:
        return prompts
    flags = [classes.flags[place] for place in places]
    return {"classification": classification(listed, flags), "confidence": listed[0], "prompts": prompts}


def classification(chances: list[float], flags: list[bool]) -> int:
    """Return 1 where any that is within MARGIN of the first, which is the best, has a true flag; else 0."""
    return int(any(flag for chance, flag in zip(chances, flags, strict=True) if chances[0] - chance <= MARGIN))
