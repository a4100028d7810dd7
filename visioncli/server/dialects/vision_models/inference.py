"""The four models' questions and answers, the same for a request and for a job.

An answer is made of what the tasks give (Objects, DepthMap, Embedded). Knows nothing of HTTP.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from pydantic import BaseModel

from visioncli.server.dialects.vision_models import schemas
from visioncli.server.dialects.vision_models.depth import CLOUDS, MAPS, depth_body, refuse_gaussians
from visioncli.server.dialects.vision_models.images import (
    alike,
    characters,
    distinct,
    pictures_of,
    priors_of,
    prompts_of,
)
from visioncli.server.dialects.vision_models.loading import DIALECT, ROLE_OF, ready
from visioncli.server.dialects.vision_models.masks import MASKS, Written, refuse_too_many_pixels
from visioncli.server.limits import MOST_CHARACTERS, MOST_SCORES, in_turn, refuse_many
from visioncli.server.payloads import Picture
from visioncli.server.service import Service
from visioncli.tasks.depth import DepthMap, DepthOptions
from visioncli.tasks.detect import DetectOptions
from visioncli.tasks.embed import Embedded, EmbedOptions
from visioncli.tasks.objects import Objects
from visioncli.tasks.segment import SegmentOptions


@dataclass(frozen=True, slots=True)
class Question:
    """One request's pictures, and who answers."""

    service: Service
    type: str  # a key of INFERENCES
    asked: Any  # the request, as its schema
    pictures: Sequence[Picture]
    plan: Any  # what the type's `plan` made of the request

    async def ask(self, places: Sequence[int], options: Any) -> list[Any]:
        """Return the task's results for some of the pictures; no other model comes in between."""
        await ready(self.service, self.type, self.asked.model_id)
        chosen = [self.pictures[place] for place in places]
        return await self.service.ask(DIALECT, ROLE_OF[self.type], chosen, options)

    async def ask_all(self, options: Any) -> list[Any]:
        return await self.ask(range(len(self.pictures)), options)


@dataclass(frozen=True, slots=True)
class Inference:
    """One of the document's model types."""

    request: type[BaseModel]
    response: type[BaseModel]
    plan: Callable[[Any], Any]  # request -> the task's options; raises UsageError for what its schema cannot say
    answer: Callable[[Question], Awaitable[dict[str, Any]]]  # -> the answer's own fields


async def infer(service: Service, model_type: str, asked: BaseModel) -> dict[str, Any]:
    """Return an answer's body; it may hold numpy arrays.

    Raises RowError, UsageError, ModelError, DeviceError, HubUnreachableError, and refusals of the service.
    """
    started = time.perf_counter()
    inference = INFERENCES[model_type]
    plan = await planned(model_type, asked)
    pictures = await pictures_of(asked.images, service.payloads(DIALECT))  # type: ignore[attr-defined]
    info = await ready(service, model_type, asked.model_id)  # type: ignore[attr-defined]
    fields = await inference.answer(Question(service, model_type, asked, pictures, plan))
    fields |= {"model_id": info.id, "processing_time": round(time.perf_counter() - started, 6)}
    return {name: fields[name] for name in inference.response.model_fields if name in fields}


async def planned(model_type: str, asked: BaseModel) -> Any:
    """Return what the model will be asked, before anything is fetched. Raises UsageError."""
    prompts = getattr(asked, "prompts", None)
    size = characters(prompts) if prompts else 0
    refuse_many(size, MOST_CHARACTERS, "characters of prompts")
    return await in_turn(size, partial(INFERENCES[model_type].plan, asked))


# sam3


def _segment_options(asked: schemas.Sam3Request, prompts: tuple[str, ...]) -> SegmentOptions:
    names = distinct(prompts)
    return SegmentOptions(
        tuple(dict.fromkeys(names.values())),
        threshold=asked.threshold,
        mask_threshold=asked.mask_threshold,
        resolve_overlaps=asked.resolve_overlaps is not False,
        masks="polygons" if asked.output_format == "polygons" else "rle",
        priors=priors_of(asked.resolve_overlaps, prompts, names),
    )


@dataclass(frozen=True, slots=True)
class _Group:
    """Pictures of which the same is asked."""

    places: list[int]
    prompts: tuple[str, ...]
    options: SegmentOptions


def _sam3_plan(asked: schemas.Sam3Request) -> list[_Group]:
    prompts = prompts_of(asked.prompts, len(asked.images))
    refuse_many(sum(map(len, prompts)), MOST_SCORES, "prompts of all images together")
    return [_Group(places, group, _segment_options(asked, group)) for group, places in alike(prompts).items()]


async def _sam3(question: Question) -> dict[str, Any]:
    asked: schemas.Sam3Request = question.asked
    found: dict[int, Objects] = {}
    for group in question.plan:
        found |= zip(group.places, await question.ask(group.places, group.options), strict=True)
    if asked.output_format == "dense":
        refuse_too_many_pixels(found.values())
    written = MASKS[question.service.settings.fidelity][asked.output_format]
    return {"results": await asyncio.to_thread(_by_prompt, question.plan, found, written)}


def _by_prompt(plan: Sequence[_Group], found: Mapping[int, Objects], written: Written) -> list[list[dict[str, Any]]]:
    results: dict[int, list[dict[str, Any]]] = {}
    for group in plan:
        names = distinct(group.prompts)
        for place in group.places:
            at = alike(found[place].labels)
            results[place] = [
                {
                    "prompt_index": index,
                    "prompt": prompt,
                    "result": _instances(found[place], at.get(names[prompt], []), written),
                }
                for index, prompt in enumerate(group.prompts)
            ]
    return [results[place] for place in sorted(results)]


def _instances(found: Objects, chosen: Sequence[int], written: Written) -> dict[str, Any]:
    scores = found.scores[chosen]
    return {"scores": scores, "iou_scores": scores, "boxes": np.ascontiguousarray(found.boxes[chosen])} | written(
        found, chosen
    )


# grounding_dino


def _detect_plan(asked: schemas.GroundingDinoRequest) -> DetectOptions:
    names = dict.fromkeys(distinct(asked.prompts).values())
    return DetectOptions(tuple(names), box_threshold=asked.box_threshold, text_threshold=asked.text_threshold)


async def _grounding_dino(question: Question) -> dict[str, Any]:
    written = DETECTIONS[question.service.settings.fidelity]
    found = await question.ask_all(question.plan)
    numbers = sum(4 * len(each.labels) for each in found)
    return {"results": await in_turn(numbers, lambda: [written(each) for each in found])}


def _boxes_with_names(found: Objects) -> dict[str, Any]:
    corners = np.ascontiguousarray(found.boxes)  # as orjson needs it
    boxes = [
        {"score": score, "label": label, "box": box, **dict(zip(("x1", "y1", "x2", "y2"), box, strict=True))}
        for score, label, box in zip(found.scores, found.labels, corners, strict=True)
    ]
    return {"scores": found.scores, "boxes": boxes, "text_labels": found.phrases, "labels": found.labels}


def _plain_boxes(found: Objects) -> dict[str, Any]:
    words = {"text_labels": found.phrases, "labels": found.phrases}
    return {"scores": found.scores, "boxes": np.ascontiguousarray(found.boxes)} | words


DETECTIONS: Mapping[str, Callable[[Objects], dict[str, Any]]] = {  # by fidelity
    "document": _boxes_with_names,
    "original": _plain_boxes,
}


# depth_anything, dinov3


def _depth_plan(asked: schemas.DepthAnythingRequest) -> DepthOptions:
    refuse_gaussians(asked.export_format)
    return DepthOptions(size="model")  # as the original's: its cameras are in these pixels


async def _depth_anything(question: Question) -> dict[str, Any]:
    maps: list[DepthMap] = await question.ask_all(question.plan)
    files = [await _file(question, *each) for each in zip(question.pictures, maps, strict=True)]
    return await asyncio.to_thread(depth_body, maps, files, question.asked.export_format)


async def _file(question: Question, picture: Picture, found: DepthMap) -> bytes:
    kind: str = question.asked.export_format
    if kind in MAPS:
        return await asyncio.to_thread(MAPS[kind], found)
    file: bytes = await question.service.looked(picture, lambda decoded: CLOUDS[kind](found, decoded.image))
    return file


async def _dinov3(question: Question) -> dict[str, Any]:
    return await asyncio.to_thread(_features, await question.ask_all(question.plan))


def _features(found: Sequence[Embedded]) -> dict[str, Any]:
    tokens = np.stack([each.tokens for each in found if each.tokens is not None])  # (N, T, C)
    pooled = np.ascontiguousarray(tokens[:, 0])  # of both kinds of DINOv3: see models/dinov3.py
    hidden = {"last_hidden_state": tokens, "pooler_output": pooled}
    return {"features": hidden | {f"{name}_shape": list(each.shape) for name, each in hidden.items()}}


INFERENCES: dict[str, Inference] = {  # the document's model types
    "sam3": Inference(schemas.Sam3Request, schemas.Sam3Response, _sam3_plan, _sam3),
    "grounding_dino": Inference(
        schemas.GroundingDinoRequest, schemas.GroundingDinoResponse, _detect_plan, _grounding_dino
    ),
    "depth_anything": Inference(
        schemas.DepthAnythingRequest, schemas.DepthAnythingResponse, _depth_plan, _depth_anything
    ),
    "dinov3": Inference(
        schemas.Dinov3Request, schemas.Dinov3Response, lambda asked: EmbedOptions(features="tokens"), _dinov3
    ),
}
