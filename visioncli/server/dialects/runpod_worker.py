"""The SigLIP worker behind the RunPod API: a job's input -> its output, or the worker's own words for what is wrong.

Knows nothing of HTTP, queues or states.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import numpy as np

from visioncli.errors import PredictError, RowError, UsageError, VisioncliError
from visioncli.server.bodies import parse_json
from visioncli.server.dialects.label_lists import best_first, distinct, in_places, split
from visioncli.server.jobstore import Job
from visioncli.server.limits import MOST_TEXTS, brief, refuse_many
from visioncli.server.payloads import Picture
from visioncli.server.refusals import Busy, NotLoaded, TooLate
from visioncli.server.service import Service
from visioncli.tasks.classify import ClassifyOptions
from visioncli.tasks.embed import EmbedOptions

NAME = "runpod"
LABELS = "cat,dog,car,plane,person"  # runpod-siglip.md, Supported Input Parameters
IMAGE_KEYS = ("image_url", "image_base64", "image_data")  # the first one that is given counts
KEYS = ("task", *IMAGE_KEYS, "labels")  # what of an input is read
SLACK_S = 60.0  # a job's time is the runner's to end: it says so in its own words


class WorkerError(VisioncliError):
    """A job's error, word for word as the worker says it."""


WORDS: dict[type[VisioncliError], str] = {  # what went wrong -> the worker's words for it
    PredictError: "{task} failed: {error}",
    RowError: "Failed to load image",
    UsageError: "{task} failed: {error}",
    TooLate: "{task} failed: {error}",
    NotLoaded: "Model not initialized. Please wait for model loading to complete.",
    VisioncliError: "Processing failed: {error}",
}


async def answer(service: Service, job: Job) -> dict[str, Any]:
    """Return a job's output. Raises WorkerError; Stopping where the job is not to blame."""
    given = (await parse_json(job.payload))["input"]
    if not isinstance(given, dict):
        raise WorkerError("Invalid job format")
    key = next((key for key in IMAGE_KEYS if given.get(key)), None)
    if key is None:
        raise WorkerError("No image provided. Use 'image_url', 'image_base64', or 'image_data'")
    task = given.get("task", "classify")
    name, work = TASKS.get(task, (None, None)) if isinstance(task, str) else (None, None)
    if name is None or work is None:
        raise WorkerError(f"Unknown task type: {brief(task)}. Use 'classify' or 'embed'")
    try:
        return await work(service, job, given, key)
    except (WorkerError, Busy):
        raise
    except VisioncliError as error:
        words = next(WORDS[kind] for kind in type(error).__mro__ if kind in WORDS)
        raise WorkerError(words.format(task=name, error=error)) from error


async def classify(service: Service, job: Job, given: Mapping[str, Any], key: str) -> dict[str, Any]:
    labels = _labels(given.get("labels", LABELS))
    picture = await _picture(service, given[key], key)
    options = ClassifyOptions(distinct(labels))
    (found,) = await service.ask(NAME, "classify", [picture], options, deadline_s=job.time_limit_s + SLACK_S)
    scores = in_places(labels, found)
    scores /= scores.sum()  # 1 already, unless a label was given twice: each of its places counts in the softmax
    predictions = [{"label": labels[place], "score": np.float32(scores[place])} for place in best_first(scores)]
    return {"predictions": predictions, "top_prediction": predictions[0]}


async def embed(service: Service, job: Job, given: Mapping[str, Any], key: str) -> dict[str, Any]:
    picture = await _picture(service, given[key], key)
    (found,) = await service.ask(NAME, "embed", [picture], EmbedOptions(), deadline_s=job.time_limit_s + SLACK_S)
    return {"task": "embed", "embeddings": [found.embedding], "shape": [1, len(found.embedding)]}


TASKS: dict[str, tuple[str, Callable[[Service, Job, Mapping[str, Any], str], Awaitable[dict[str, Any]]]]] = {
    "classify": ("Classification", classify),
    "embed": ("Embedding", embed),
    "embed_image": ("Embedding", embed),
}


def _labels(given: Any) -> list[str]:
    """A comma-separated text or a list of texts; empty ones are no labels."""
    texts = split(given) if isinstance(given, str) else given
    if isinstance(texts, list):
        refuse_many(len(texts), MOST_TEXTS, "labels")
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise WorkerError("No valid labels provided")
    labels = [text.strip() for text in texts if text.strip()]
    if not labels:
        raise WorkerError("No valid labels provided")
    return labels


async def _picture(service: Service, given: Any, key: str) -> Picture:
    """A URL under `image_url` alone, base64 under the others. Raises RowError."""
    if not isinstance(given, str):
        raise WorkerError("Failed to load image")
    payloads = service.payloads(NAME)
    if key == "image_url":
        return await payloads.fetch(given)
    return await payloads.unpack(given)
