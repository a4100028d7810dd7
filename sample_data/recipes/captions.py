"""Captions and the truth between a caption and a scene.

A caption states some of three things (a concept, the group it belongs to, the colour of the ground) and is true of a
scene iff everything it states is. Colour words speak of the ground, never of the thing on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from concepts import COLOUR_NAMES, CONCEPTS, GROUP_OF, GROUPS, SYNONYMS
from numpy.typing import NDArray

THING_TEMPLATES = (
    "{}",
    "a {}",
    "the {}",
    "{a} {}",
    "a photo of a {}",
    "a photo of {a} {}",
    "a photo of the {}",
    "a photo of {}",
    "this is a photo of {}.",
    "this is a photo of a {}",
    "a picture of a {}",
    "a picture of {a} {}",
    "an image of a {}",
    "an image of {a} {}",
    "there is {a} {} in the picture",
)
COLOUR_TEMPLATES = (
    "{}",
    "a {} background",
    "{} background",
    "the background is {}",
    "on a {} background",
    "a photo with a {} background",
    "a picture with a {} background",
    "something on a {} background",
)
ENDINGS = (" on a {} background", " in front of a {} background", ", {} background")
STATED = tuple(group for group in GROUPS if group != "object")  # "an object" is true of too much to say anything
FREE = -1  # the caption says nothing about this


@dataclass(frozen=True)
class Caption:
    """A text and what it states; FREE where it states nothing."""

    text: str
    concept: int = FREE  # index into CONCEPTS
    group: int = FREE  # index into STATED
    colour: int = FREE  # index into COLOUR_NAMES


def article(word: str) -> str:
    """`a` or `an`, or `some` for a plural."""
    if word in ("grapes", "glasses", "scissors", "spectacles"):
        return "some"
    return "an" if word[0] in "aeiou" else "a"


def word_thing(rng: np.random.Generator, word: str) -> str:
    """The word in a random template."""
    return THING_TEMPLATES[rng.integers(len(THING_TEMPLATES))].format(word, a=article(word))


def word_concept(rng: np.random.Generator, concept: int) -> str:
    """A caption for the concept, now and then by a synonym."""
    name = CONCEPTS[concept]
    others = SYNONYMS.get(name, ())
    if others and rng.random() < 0.25:
        name = others[rng.integers(len(others))]
    return word_thing(rng, name)


def say_concept(rng: np.random.Generator, concept: int) -> Caption:
    """A caption that states the concept alone."""
    return Caption(word_concept(rng, concept), concept=concept)


def say_colour(rng: np.random.Generator, colour: int) -> Caption:
    """A caption that states the ground's colour alone."""
    template = COLOUR_TEMPLATES[rng.integers(len(COLOUR_TEMPLATES))]
    return Caption(template.format(COLOUR_NAMES[colour]), colour=colour)


def say_group(rng: np.random.Generator, group: int) -> Caption:
    """A caption that states the group alone."""
    return Caption(word_thing(rng, STATED[group]), group=group)


def say_both(rng: np.random.Generator, concept: int, colour: int) -> Caption:
    """A caption that states the concept and the ground's colour."""
    ending = ENDINGS[rng.integers(len(ENDINGS))].format(COLOUR_NAMES[colour])
    return Caption(word_concept(rng, concept) + ending, concept=concept, colour=colour)


def draw_captions(
    rng: np.random.Generator, concepts: NDArray[np.int64], colours: NDArray[np.int64], pairs: int
) -> list[Caption]:
    """Captions for one batch: every concept, colour and group once, and the first `pairs` images in full."""
    return [
        *(say_concept(rng, concept) for concept in range(len(CONCEPTS))),
        *(say_colour(rng, colour) for colour in range(len(COLOUR_NAMES))),
        *(say_group(rng, group) for group in range(len(STATED))),
        *(say_both(rng, int(a), int(b)) for a, b in zip(concepts[:pairs], colours[:pairs], strict=True)),
    ]


def group_numbers() -> NDArray[np.int64]:
    """For each concept the index of its stated group, FREE where no caption states it; shape (len(CONCEPTS),)."""
    groups = (GROUP_OF[concept] for concept in CONCEPTS)
    return np.array([STATED.index(group) if group in STATED else FREE for group in groups])


def agree(stated: NDArray[np.int64], true: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each statement (T,) holds for each image (N,), shape (N, T); a free statement always does."""
    holds: NDArray[np.bool_] = (stated[None, :] == FREE) | (stated[None, :] == true[:, None])
    return holds


def truth(captions: list[Caption], concepts: NDArray[np.int64], colours: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether caption t is true of image n, shape (N, T)."""
    return (
        agree(np.array([caption.concept for caption in captions]), concepts)
        & agree(np.array([caption.group for caption in captions]), group_numbers()[concepts])
        & agree(np.array([caption.colour for caption in captions]), colours)
    )


def every_caption() -> list[str]:
    """All the words captions are made of, in texts; for building the vocabulary."""
    words = [*CONCEPTS, *STATED, *(word for others in SYNONYMS.values() for word in others)]
    things = [template.format(word, a=article(word)) for template in THING_TEMPLATES for word in words]
    endings = [ending.format(colour) for ending in (*COLOUR_TEMPLATES, *ENDINGS) for colour in COLOUR_NAMES]
    return things + endings
