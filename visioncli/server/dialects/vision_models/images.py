"""A request's `images` and `prompts` -> what the service is asked. Knows nothing of models or answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from visioncli.errors import UsageError
from visioncli.server.dialects.picture_lists import read_pictures
from visioncli.server.dialects.vision_models.schemas import ImageInput
from visioncli.server.limits import MOST_TEXTS, refuse_many
from visioncli.server.payloads import Payloads, Picture
from visioncli.wording import counted

T = TypeVar("T")


async def pictures_of(images: Sequence[str | ImageInput], payloads: Payloads) -> list[Picture]:
    """Return the images' files, fetched a few at a time. Raises RowError."""
    return await read_pictures(partial(_picture, payloads), images)


async def _picture(payloads: Payloads, image: str | ImageInput) -> Picture:
    if isinstance(image, str):
        return await payloads.picture(image)
    return await payloads.fetch(image.data) if image.format == "url" else await payloads.unpack(image.data)


def prompts_of(prompts: Sequence[Any], count: int) -> list[tuple[str, ...]]:
    """Return each picture's prompts, whether one list is shared or each picture has its own. Raises UsageError."""
    if isinstance(prompts[0], str):
        return [tuple(prompts)] * count
    if len(prompts) != count:
        raise UsageError(f"{counted(len(prompts), 'list')} of prompts for {counted(count, 'image')}")
    refuse_many(sum(map(len, prompts)), MOST_TEXTS, "prompts in all lists together")
    return [tuple(each) for each in prompts]


def characters(prompts: Sequence[Any]) -> int:
    """Return how many all prompts have together; 0 for more prompts than are allowed, which are refused at once."""
    lists = [prompts] if isinstance(prompts[0], str) else prompts
    if sum(map(len, lists)) > MOST_TEXTS:
        return 0
    return sum(len(prompt) for each in lists for prompt in each)


def distinct(prompts: Sequence[str]) -> dict[str, str]:
    """Return what each prompt is asked as: one that repeats (upper and lower case are the same) is asked once."""
    first: dict[str, str] = {}
    return {prompt: first.setdefault(" ".join(prompt.lower().split()), prompt) for prompt in prompts}


def priors_of(
    given: bool | Sequence[float], prompts: Sequence[str], asked: Mapping[str, str]
) -> tuple[float, ...] | None:
    """Return the prior of each prompt that is asked, the largest where one repeats. Raises UsageError."""
    if isinstance(given, bool):
        return None
    if len(given) != len(prompts):
        raise UsageError(f"resolve_overlaps has {counted(len(given), 'prior')} for {counted(len(prompts), 'prompt')}")
    best: dict[str, float] = {}
    for prompt, prior in zip(prompts, given, strict=True):
        best[asked[prompt]] = max(prior, best.get(asked[prompt], 0.0))
    return tuple(best.values())


def alike(keys: Sequence[T]) -> dict[T, list[int]]:
    """Return which positions have the same key, in order of the first."""
    places: dict[T, list[int]] = {}
    for place, key in enumerate(keys):
        places.setdefault(key, []).append(place)
    return places
