"""What sagemaker-clip's requests and answers look like, for its OpenAPI. Reads and answers nothing."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from visioncli.server.limits import MOST_PICTURES, MOST_TEXTS

# Places in `classes`, texts, probabilities; best first. No tuple: FastAPI describes one as OpenAPI 3.0 did.
Prompts = Annotated[list[list[int] | list[str] | list[float]], Field(min_length=3, max_length=3)]


class Classified(BaseModel):
    classification: int
    confidence: float
    prompts: Prompts


class Fault(BaseModel):
    error: str | None = None
    reason: str | None = None


class SdkFault(BaseModel):
    """SageMaker's own errors."""

    Message: str


class ModelFault(SdkFault):
    OriginalStatusCode: int
    OriginalMessage: str
    LogStreamArn: str
    ErrorCode: str


class Nothing(BaseModel):
    model_config = ConfigDict(extra="forbid")


Answer = list[Classified] | list[Prompts]
PING: dict[str, Any] = {
    "response_class": Response,  # a line break is called JSON, as in the container, but is none: no schema
    "responses": {
        200: {"description": "ready; the body is a line break"},
        404: {"description": "not ready; the body is a line break"},
        405: {"model": Nothing},
    },
}

_PAIR = {"type": "array", "prefixItems": [{"type": "string"}, {}], "minItems": 2, "maxItems": 2}
_SCHEMA = {
    "type": "object",
    "properties": {
        "images": {
            "type": "array",
            "maxItems": MOST_PICTURES,
            "items": {"type": "string", "description": "http(s) URL, base64 or data URI"},
        },
        "classes": {
            "type": "array",
            "minItems": 1,
            "maxItems": MOST_TEXTS,
            "items": {"anyOf": [_PAIR, {"type": "string"}]},
            "description": "all pairs of a text and its flag, or all texts",
        },
    },
    "required": ["images", "classes"],
}
_BODY = {"required": True, "content": {"application/json": {"schema": _SCHEMA}}}
_NAME = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
_DENIED = {"model": SdkFault, "description": "AccessDeniedException"}

INVOCATIONS: dict[str, Any] = {
    "responses": {
        200: {"model": Answer},
        403: _DENIED,
        404: {"model": Nothing},
        405: {"model": Nothing},
        **{status: {"model": Fault} for status in (400, 408, 413, 500, 503)},
    },
    "openapi_extra": {"requestBody": _BODY},
}
ENDPOINT: dict[str, Any] = {
    "responses": {
        200: {"model": Answer},
        400: {"model": SdkFault, "description": "ValidationError"},
        403: _DENIED,
        404: {"model": Nothing},
        405: {"model": Nothing},
        408: {"model": SdkFault},
        413: {"model": SdkFault},
        424: {"model": ModelFault, "description": "ModelError"},
        503: {"model": SdkFault, "description": "ServiceUnavailable"},
    },
    "openapi_extra": {"requestBody": _BODY, "parameters": [_NAME]},
}
REFUSED_WAY: dict[str, Any] = {
    "status_code": 400,
    "responses": {
        400: {"model": SdkFault, "description": "ValidationError"},
        403: _DENIED,
        404: {"model": Nothing},
        405: {"model": Nothing},
    },
    "openapi_extra": {"parameters": [_NAME]},
}
