"""What hf-endpoint's requests and answers look like, for its OpenAPI. Reads and answers nothing."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from starlette.responses import PlainTextResponse

from visioncli.server.limits import MOST_TEXTS


class Fault(BaseModel):
    error: str


class Label(BaseModel):
    label: str
    score: float


class Embedding(BaseModel):
    embedding: list[float]


class Similarity(BaseModel):
    similarity_scores: list[list[float]]
    image_count: int
    text_count: int


_FAULTS: dict[int | str, dict[str, Any]] = {
    status: {"model": Fault} for status in (400, 401, 404, 405, 408, 413, 500, 503)
}
_BINARY = {"type": "string", "format": "binary"}
_PARAMETERS = {
    "type": "object",
    "properties": {
        "mode": {"enum": ["zero_shot", "image_embedding", "text_embedding", "similarity"]},
        "candidate_labels": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MOST_TEXTS},
        "hypothesis_template": {"type": "string", "pattern": r"\{\}", "maxLength": 500},
        "top_k": {"type": "integer", "minimum": 1},
    },
}
_TEXTS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_MATCH = {"type": "object", "description": "image or images, and text or texts"}
_INPUTS: dict[str, dict[str, Any]] = {  # task -> its `inputs`
    "feature-extraction": _TEXTS,
    "sentence-similarity": {
        "type": "object",
        "properties": {
            "source_sentence": {"type": "string"},
            "sentences": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["source_sentence", "sentences"],
    },
    "zero-shot-image-classification": {"anyOf": [*_TEXTS["anyOf"], _MATCH]},
}
_ANSWERS: dict[str, Any] = {
    "feature-extraction": list[list[float]],
    "sentence-similarity": list[float],
    "zero-shot-image-classification": list[Label] | list[list[Label]],
}
_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}

_FAULT = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
HEALTH: dict[str, Any] = {  # written out: a model's schema would be filed under text/plain
    "response_class": PlainTextResponse,
    "responses": {
        405: {"description": "another method", "content": {"application/json": {"schema": _FAULT}}},
        503: {"description": "not ready", "content": {"text/plain": {"schema": {"type": "string"}}}},
    },
}


def _described(answer: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"inputs": inputs, "parameters": _PARAMETERS}, "required": ["inputs"]}
    content = {"application/json": {"schema": schema}, "image/*": {"schema": _BINARY}}
    body = {"required": True, "content": content}
    return {"responses": {200: {"model": answer}, **_FAULTS}, "openapi_extra": {"requestBody": body}}


ANSWER = _described(
    list[Label] | list[list[Label]] | list[Embedding] | Similarity, {"anyOf": [*_TEXTS["anyOf"], _MATCH]}
)


def pipeline(task: str, *, with_id: bool = False) -> dict[str, Any]:
    """Return what `add_api_route` is told of a pipeline's route."""
    docs = _described(_ANSWERS[task], _INPUTS[task])
    if with_id:
        docs["openapi_extra"]["parameters"] = [_ID]
    return docs
