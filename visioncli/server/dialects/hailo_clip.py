"""`hailo-clip`: the Hailo CLIP service's API, as hailo-clip.md documents it (port 5000).

    GET  /health
    POST /v1/classify      {"image", "prompts", "top_k"?, "threshold"?}
    POST /v1/embed/image   {"image"}
    POST /v1/embed/text    {"text"}

A request is looked at in the original's order: a JSON object, its image, its prompts. Scores are cosines; those below
the threshold go, the best top_k of the rest stay. With `apply_softmax` in the configuration, scores of several prompts
are a softmax of `logit_scale` times the cosine, as in a later version of the service.

Deviations from the original:

- `model` and `dimension` name what runs: clip-resnet-50x4 with its 640 numbers, unless another model was asked for.
- With cosines the document's Python example finds nothing above its threshold of 0.5 in most pictures: an empty
  `classifications`, as the original answers.
- `top_k` that is no whole number from 0 and `threshold` that is no number are 400 with a sentence (there: 500).
- At most 4,096 prompts: more is 400. Of a text or a prompt the first 10,000 characters are looked at, and of those, as
  in the original, as many pieces as the model reads (CLIP: 77).
- A text of blanks is no text: 400 `Missing 'text' field`. One that is not among those computed before: 400 with a
  sentence.
- `/health` is 503 with "status": "unhealthy" while nothing can be answered.
- More than ten requests at once, and a server that is stopping: 503 with Retry-After. With keys configured (`Bearer`
  or `x-api-key`): 401. A body over the limit: 413; one that does not come in: 408. Another method: 405 as JSON.

`--fidelity original` changes nothing here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import numpy as np
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from visioncli.errors import DecodeError, FetchError, PredictError, UsageError, VisioncliError
from visioncli.io.licences import ALIASES
from visioncli.server.auth import bearer, is_allowed
from visioncli.server.bodies import json_response, read_json, while_connected
from visioncli.server.dialects import hailo_shapes as shapes
from visioncli.server.dialects.label_lists import best_first, distinct, in_places, softmax
from visioncli.server.limits import MOST_TEXTS, refuse_many
from visioncli.server.payloads import Picture, Text
from visioncli.server.refusals import Busy, ClientLeft, NotJson, NotLoaded, TooLarge, TooLate, TooSlow
from visioncli.server.service import Service
from visioncli.server.settings import HAILO_MODEL
from visioncli.tasks.classify import ClassifyOptions
from visioncli.tasks.embed import EmbedOptions

NAME = "hailo-clip"
TOP_K = 3  # hailo-clip.md, Parameters
RETRY_AFTER_S = 1
TEXT_ALONE = EmbedOptions(image=False, text_column="text")

NO_IMAGE = 400, "Failed to decode image"
STATUS: dict[type[Exception], tuple[int, str | None]] = {  # None: the error's own sentence
    NotJson: (400, "No JSON body"),
    UsageError: (400, None),
    FetchError: NO_IMAGE,
    DecodeError: NO_IMAGE,
    PredictError: (500, "Failed to encode image"),
    TooLarge: (413, "Request body too large"),
    TooSlow: (408, "Request timed out"),
    Busy: (503, "Server busy"),
    TooLate: (503, "Request timed out"),
    NotLoaded: (503, "Model not loaded"),
    ClientLeft: (499, "Client closed request"),  # seen by the access log alone
    VisioncliError: (500, "Internal server error"),
    Exception: (500, "Internal server error"),
}
NOT_FOUND = {404: "Endpoint not found", 405: "Method not allowed"}

Answer = Callable[[Service, Mapping[str, Any]], Coroutine[Any, Any, dict[str, Any]]]


def create_app(service: Service) -> FastAPI:
    """Return the dialect's app: its own errors, 404 and OpenAPI."""
    app = FastAPI(title="Hailo CLIP Service", version="1.0.0", docs_url=None, redoc_url=None, redirect_slashes=False)
    app.add_api_route("/health", _health(service), methods=["GET"], responses=shapes.HEALTH)
    for path, answer in ANSWERS.items():
        docs = shapes.described(path)
        app.add_api_route(path, _endpoint(service, answer), methods=["POST"], name=answer.__name__, **docs)
    for kind in STATUS:
        app.add_exception_handler(kind, _refused)
    app.add_exception_handler(HTTPException, _not_found)
    return app


def _health(service: Service) -> Callable[[], Coroutine[Any, Any, Response]]:
    async def health() -> Response:
        content = {
            "status": "healthy" if service.ready else "unhealthy",
            "service": NAME,
            "model_loaded": service.info(NAME, "classify") is not None,
            "model": _model(service, "classify"),
        }
        return json_response(content, 200 if service.ready else 503)

    return health


def _endpoint(service: Service, answer: Answer) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    async def endpoint(request: Request) -> Response:
        headers = request.headers
        keys = [*bearer(headers.get("authorization")), headers.get("x-api-key", "")]
        if not is_allowed(service.settings.api_keys, keys):
            return json_response({"error": "Unauthorized"}, 401, {"WWW-Authenticate": "Bearer"})
        body = await read_json(request, service.settings.body_of(NAME))
        if not isinstance(body, dict):
            raise NotJson("the body is no JSON object")
        async with service.admitted(NAME):
            return json_response(await while_connected(request, _timed(answer, service, body)))

    return endpoint


async def _timed(answer: Answer, service: Service, body: Mapping[str, Any]) -> dict[str, Any]:
    """`inference_time_ms` where the answer has it: from the parsed body to the answer."""
    begun = time.perf_counter()
    content = await answer(service, body)
    if "inference_time_ms" in content:
        content["inference_time_ms"] = round((time.perf_counter() - begun) * 1000, 3)
    return content


async def classify(service: Service, body: Mapping[str, Any]) -> dict[str, Any]:
    picture = await _picture(service, body)
    try:
        prompts = _prompts(body)
    except UsageError:
        await service.looked(picture, lambda decoded: None)  # a bad image is named first
        raise
    threshold, top_k = _threshold(body), _top_k(body)
    options = ClassifyOptions(distinct(prompts), scoring="cosine")
    (found,) = await service.ask(NAME, "classify", [picture], options)
    scores = in_places(prompts, found)
    if service.settings.hailo.apply_softmax and len(prompts) > 1:
        scores = softmax(scores * service.settings.hailo.logit_scale)
    kept = [place for place in best_first(scores) if scores[place] >= threshold][:top_k]
    return {
        "classifications": [
            {"text": prompts[place], "score": np.float32(scores[place]), "rank": rank}
            for rank, place in enumerate(kept, 1)
        ],
        "inference_time_ms": 0.0,
        "model": _model(service, "classify"),
    }


async def embed_image(service: Service, body: Mapping[str, Any]) -> dict[str, Any]:
    return await _embedded(service, await _picture(service, body), EmbedOptions())


async def embed_text(service: Service, body: Mapping[str, Any]) -> dict[str, Any]:
    text = body.get("text")
    if not isinstance(text, str) or not text.strip():
        raise UsageError("Missing 'text' field")
    return await _embedded(service, Text(text), TEXT_ALONE)


ANSWERS: dict[str, Answer] = {
    "/v1/classify": classify,
    "/v1/embed/image": embed_image,
    "/v1/embed/text": embed_text,
}


async def _embedded(service: Service, given: Picture | Text, options: EmbedOptions) -> dict[str, Any]:
    (found,) = await service.ask(NAME, "embed", [given], options)
    return {"embedding": found.embedding, "dimension": len(found.embedding), "model": _model(service, "embed")}


async def _picture(service: Service, body: Mapping[str, Any]) -> Picture:
    """URLs are not read here. Raises FetchError."""
    image = body.get("image")
    if not isinstance(image, str):
        raise FetchError("input_missing", "there is no image")
    return await service.payloads(NAME).unpack(image)


def _prompts(body: Mapping[str, Any]) -> list[str]:
    prompts = body.get("prompts")
    if isinstance(prompts, list):
        refuse_many(len(prompts), MOST_TEXTS, "prompts")
    if not isinstance(prompts, list) or not prompts or not all(isinstance(prompt, str) for prompt in prompts):
        raise UsageError("Missing or invalid 'prompts' array")
    return prompts


def _threshold(body: Mapping[str, Any]) -> float:
    threshold = body.get("threshold")
    if threshold is None:
        return 0.0
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float)):
        raise UsageError("Invalid 'threshold': it must be a number")
    return threshold


def _top_k(body: Mapping[str, Any]) -> int:
    top_k = body.get("top_k")
    if top_k is None:
        return TOP_K
    if isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 0:
        raise UsageError("Invalid 'top_k': it must be a whole number from 0")
    return top_k


def _model(service: Service, role: str) -> str:
    info = service.info(NAME, role)
    name = service.settings.model_of(NAME, role) if info is None else info.id
    return HAILO_MODEL if name == ALIASES[HAILO_MODEL] else name


async def _refused(request: Request, error: Exception) -> Response:
    status, words = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    if isinstance(error, PredictError):
        status, words = _not_encoded(request, error)
    headers = {"Retry-After": str(getattr(error, "retry_after_s", RETRY_AFTER_S))} if status == 503 else None
    return json_response({"error": words or str(error)}, status, headers)


def _not_encoded(request: Request, error: PredictError) -> tuple[int, str]:
    if error.code == "preprocess_failed":  # too thin to be resized, say: the picture's fault
        return NO_IMAGE
    if error.code == "text_unknown":  # to the file of texts that were computed before
        return 400, str(error)
    return 500, "Failed to encode text" if request.url.path.endswith("/text") else "Failed to encode image"


async def _not_found(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return json_response({"error": NOT_FOUND.get(error.status_code, error.detail)}, error.status_code, error.headers)
