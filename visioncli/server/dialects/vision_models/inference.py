"""The four models' questions and answers, the same for a request and for a job.

An answer is made of what the tasks give (Objects, DepthMap, Embedded). Knows nothing of HTTP.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel

from visioncli.errors import ModelError, UsageError
from visioncli.io import hub
from visioncli.provenance import ModelInfo
from visioncli.server.dialects.vision_models import schemas
from visioncli.server.dialects.vision_models.depth import depth_body, refuse_gaussians
from visioncli.server.dialects.vision_models.images import alike, distinct, pictures_of, priors_of, prompts_of
from visioncli.server.dialects.vision_models.masks import MASKS, Written, refuse_too_many_pixels
from visioncli.server.payloads import Picture
from visioncli.server.refusals import NotLoaded
from visioncli.server.service import Service
from visioncli.tasks.depth import DepthOptions
from visioncli.tasks.detect import DetectOptions
from visioncli.tasks.embed import EmbedOptions
from visioncli.tasks.objects import Objects
from visioncli.tasks.segment import SegmentOptions

DIALECT = "vision-models"
_MODEL_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?(@[\w./-]+)?")  # an alias or hub id: a request names no folder


class UnknownModel(ModelError):
    """There is no such model, as far as it can be told."""


@dataclass(frozen=True, slots=True)
class Question:
    """One request's pictures, and who answers."""

    service: Service
    type: str  # a key of INFERENCES
    asked: Any  # the request, as its schema
    pictures: Sequence[Picture]

    async def ask(self, places: Sequence[int], options: Any) -> list[Any]:
        """Return the task's results for some of the pictures; no other model comes in between."""
        await ready(self.service, self.type, self.asked.model_id)
        chosen = [self.pictures[place] for place in places]
        return await self.service.ask(DIALECT, INFERENCES[self.type].role, chosen, options)

    async def ask_all(self, options: Any) -> list[Any]:
        return await self.ask(range(len(self.pictures)), options)


@dataclass(frozen=True, slots=True)
class Inference:
    """One of the document's model types."""

    role: str  # of the service
    request: type[BaseModel]
    response: type[BaseModel]
    check: Callable[[Any], object]  # request -> raises UsageError for what its schema cannot say
    answer: Callable[[Question], Awaitable[dict[str, Any]]]  # -> the answer's own fields


async def infer(service: Service, model_type: str, asked: BaseModel) -> dict[str, Any]:
    """Return an answer's body; it may hold numpy arrays.

    Raises RowError, UsageError, ModelError, DeviceError, HubUnreachableError, and refusals of the service.
    """
    started = time.perf_counter()
    inference = INFERENCES[model_type]
    inference.check(asked)
    pictures = await pictures_of(asked.images, service.payloads(DIALECT))  # type: ignore[attr-defined]
    info = await ready(service, model_type, asked.model_id)  # type: ignore[attr-defined]
    fields = await inference.answer(Question(service, model_type, asked, pictures))
    fields |= {"model_id": info.id, "processing_time": round(time.perf_counter() - started, 6)}
    return {name: fields[name] for name in inference.response.model_fields if name in fields}


async def ready(service: Service, model_type: str, model_id: str | None) -> ModelInfo:
    """Return what will answer, loaded where settings allow. Raises NotLoaded, UsageError and as Service.load does."""
    role = INFERENCES[model_type].role
    info = service.info(DIALECT, role)
    if info is not None and (model_id is None or model_id.lower() == info.id.lower()):
        return info
    if info is None and not service.settings.auto_load:
        raise NotLoaded(f"Model {model_type} not loaded. Call load_model() first.")
    return await load(service, model_type, model_id)


async def load(service: Service, model_type: str, model_id: str | None, device: str | None = None) -> ModelInfo:
    """As Service.load, for names that a stranger may give. Raises UsageError for a path, UnknownModel besides."""
    role = INFERENCES[model_type].role
    if (
        model_id is not None
        and not _MODEL_ID.fullmatch(model_id)
        and model_id != service.settings.model_of(DIALECT, role)
    ):
        raise UsageError(f"model_id {model_id!r} is neither a hub id (org/name) nor a short name")
    try:
        return await service.load(DIALECT, role, model_id, device)
    except ModelError as error:
        wanted = model_id or service.status(DIALECT)[role].model
        if await asyncio.to_thread(_is_there, wanted, role):
            raise
        raise UnknownModel(str(error)) from error


def _is_there(model: str, role: str) -> bool:
    """Whether this machine has the checkpoint: then something else is wrong with it."""
    try:
        hub.locate(model, role, offline=True)
    except ModelError:
        return False
    return True


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


async def _sam3(question: Question) -> dict[str, Any]:
    asked: schemas.Sam3Request = question.asked
    prompts = prompts_of(asked.prompts, len(asked.images))
    found: dict[int, Objects] = {}
    for group, places in alike(prompts).items():
        results = await question.ask(places, _segment_options(asked, group))
        found |= zip(places, results, strict=True)
    if asked.output_format == "dense":
        refuse_too_many_pixels(found.values())
    written = MASKS[question.service.settings.fidelity][asked.output_format]
    return {"results": await asyncio.to_thread(_by_prompt, [found[i] for i in range(len(prompts))], prompts, written)}


def _by_prompt(found: Sequence[Objects], prompts: Sequence[tuple[str, ...]], written: Written) -> list[Any]:
    return [
        [
            {"prompt_index": index, "prompt": prompt, "result": _instances(objects, distinct(group)[prompt], written)}
            for index, prompt in enumerate(group)
        ]
        for objects, group in zip(found, prompts, strict=True)
    ]


def _instances(found: Objects, name: str, written: Written) -> dict[str, Any]:
    chosen = [place for place, label in enumerate(found.labels) if label == name]
    scores = found.scores[chosen]
    return {"scores": scores, "iou_scores": scores, "boxes": np.ascontiguousarray(found.boxes[chosen])} | written(
        found, chosen
    )


# grounding_dino


def _detect_options(asked: schemas.GroundingDinoRequest) -> DetectOptions:
    names = dict.fromkeys(distinct(asked.prompts).values())
    return DetectOptions(tuple(names), box_threshold=asked.box_threshold, text_threshold=asked.text_threshold)


async def _grounding_dino(question: Question) -> dict[str, Any]:
    written = DETECTIONS[question.service.settings.fidelity]
    return {"results": [written(found) for found in await question.ask_all(_detect_options(question.asked))]}


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


async def _depth_anything(question: Question) -> dict[str, Any]:
    maps = await question.ask_all(DepthOptions(size="model"))  # as the original's: its cameras are in these pixels
    options = question.service.settings.decode
    return await asyncio.to_thread(depth_body, maps, question.pictures, question.asked.export_format, options)


async def _dinov3(question: Question) -> dict[str, Any]:
    found = await question.ask_all(EmbedOptions(features="tokens"))
    tokens = np.stack([each.tokens for each in found])  # (N, T, C)
    pooled = np.ascontiguousarray(tokens[:, 0])  # of both kinds of DINOv3: see models/dinov3.py
    hidden = {"last_hidden_state": tokens, "pooler_output": pooled}
    return {"features": hidden | {f"{name}_shape": list(each.shape) for name, each in hidden.items()}}


# What a request's schema cannot say is asked of the task's options, before anything is fetched.


def _check_sam3(asked: schemas.Sam3Request) -> None:
    for prompts in set(prompts_of(asked.prompts, len(asked.images))):
        _segment_options(asked, prompts)


INFERENCES: dict[str, Inference] = {  # the document's model types
    "sam3": Inference("segment", schemas.Sam3Request, schemas.Sam3Response, _check_sam3, _sam3),
    "grounding_dino": Inference(
        "detect", schemas.GroundingDinoRequest, schemas.GroundingDinoResponse, _detect_options, _grounding_dino
    ),
    "depth_anything": Inference(
        "depth",
        schemas.DepthAnythingRequest,
        schemas.DepthAnythingResponse,
        lambda asked: refuse_gaussians(asked.export_format),
        _depth_anything,
    ),
    "dinov3": Inference("features", schemas.Dinov3Request, schemas.Dinov3Response, lambda asked: None, _dinov3),
}
