"""What hailo-clip's requests and answers look like, for its OpenAPI. Reads and answers nothing."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from visioncli.server.limits import MOST_TEXTS


class Fault(BaseModel):
    error: str


class Health(BaseModel):
    status: str
    service: str
    model_loaded: bool
    model: str


class Classification(BaseModel):
    text: str
    score: float
    rank: int


class Classified(BaseModel):
    classifications: list[Classification]
    inference_time_ms: float
    model: str


class Embedding(BaseModel):
    embedding: list[float]
    dimension: int
    model: str


FAULTS = {status: {"model": Fault} for status in (400, 401, 404, 405, 408, 413, 500, 503)}
HEALTH: dict[int | str, dict[str, Any]] = {200: {"model": Health}, 503: {"model": Health}, 405: {"model": Fault}}

_IMAGE = {"type": "string", "description": "base64, with or without data:image/…;base64, before it"}
_CLASSIFY = {
    "image": _IMAGE,
    "prompts": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MOST_TEXTS},
    "top_k": {"type": "integer", "minimum": 0, "default": 3},
    "threshold": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.0},
}
_SHAPES: dict[str, tuple[type[BaseModel], dict[str, Any], list[str]]] = {  # path -> answer, properties, required
    "/v1/classify": (Classified, _CLASSIFY, ["image", "prompts"]),
    "/v1/embed/image": (Embedding, {"image": _IMAGE}, ["image"]),
    "/v1/embed/text": (Embedding, {"text": {"type": "string", "minLength": 1}}, ["text"]),
}


def described(path: str) -> dict[str, Any]:
    """Return what `add_api_route` is told of a POST route."""
    answer, properties, required = _SHAPES[path]
    schema = {"type": "object", "properties": properties, "required": required}
    body = {"required": True, "content": {"application/json": {"schema": schema}}}
    return {"responses": {200: {"model": answer}, **FAULTS}, "openapi_extra": {"requestBody": body}}
