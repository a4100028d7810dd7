"""Loading, unloading and listing this API's models. Knows nothing of questions to them."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response

from visioncli.errors import DeviceError, UsageError
from visioncli.server.bodies import json_response
from visioncli.server.dialects.vision_models import schemas
from visioncli.server.dialects.vision_models.door import Operation, service_of
from visioncli.server.dialects.vision_models.loading import DIALECT, ROLE_OF, load, shown
from visioncli.server.roles import Standing
from visioncli.server.service import Service

BYTES_A_PARAMETER = 4  # the original's estimate, whatever the precision


async def health(request: Request) -> Response:
    """Whether a request would be answered now, and what is loaded."""
    service = service_of(request)
    free = service.free_gpu_gib()
    body = {
        "status": "healthy" if service.ready else "unhealthy",
        "loaded_models": [name for name, standing in standings(service).items() if standing.loaded],
        "available_memory_gb": 0.0 if free is None else round(free, 3),  # 0 without a GPU, as the original's
        "gpu_available": free is not None,
    }
    return json_response(body, 200 if service.ready else 503)


async def models_status(request: Request) -> Response:
    """All four models, loaded or not."""
    told = {name: described(name, standing) for name, standing in standings(service_of(request)).items()}
    total = sum(each["memory_mb"] or 0.0 for each in told.values())
    return json_response({"models": told, "total_memory_mb": round(total, 3)})


async def load_model(asked: schemas.LoadRequest, request: Request) -> Response:
    """Load a model, another one than before where `model_id` or `device` differ."""
    service = service_of(request)
    warning = await _load(service, asked)
    body: dict[str, Any] = {
        "message": f"Model {asked.model_type} loaded successfully",
        "model_info": described(asked.model_type, standings(service)[asked.model_type]),
    }
    return json_response(body | {"warning": warning} if warning else body)


async def unload_model(asked: schemas.UnloadRequest, request: Request) -> Response:
    """Let go of a model; one that is not loaded is no error."""
    await service_of(request).unload(DIALECT, ROLE_OF[asked.model_type])
    return json_response({"message": f"Model {asked.model_type} unloaded successfully"})


async def unload_all(request: Request) -> Response:
    """Let go of all models."""
    for role in ROLE_OF.values():
        await service_of(request).unload(DIALECT, role)
    return json_response({"message": "All models unloaded successfully"})


OPERATIONS = (
    Operation("GET", "/health", health, schemas.Health, extra={503: {"model": schemas.Health}}),
    Operation("GET", "/models/status", models_status, schemas.ModelStandings),
    Operation("POST", "/models/load", load_model, schemas.Loaded, (400, 404, 408, 413, 500, 503)),
    Operation("POST", "/models/unload", unload_model, schemas.Message, (400, 408, 413)),
    Operation("POST", "/models/unload-all", unload_all, schemas.Message),
)


def standings(service: Service) -> dict[str, Standing]:
    """Return how the models stand, by the document's types."""
    by_role = service.status(DIALECT)
    return {name: by_role[role] for name, role in ROLE_OF.items()}


def described(model_type: str, standing: Standing) -> dict[str, Any]:
    """Return the document's `ModelInfo`."""
    parameters = standing.parameters
    return {
        "model_type": model_type,
        "model_id": standing.info.id if standing.info else shown(standing.model),
        "device": standing.info.device if standing.info else None,
        "loaded": standing.loaded,
        "memory_mb": None if parameters is None else round(parameters * BYTES_A_PARAMETER / 2**20, 3),
    }


async def _load(service: Service, asked: schemas.LoadRequest) -> str | None:
    """Load; return a warning where another device had to do. Raises as `load`."""
    try:
        await load(service, asked.model_type, asked.model_id, asked.device)
    except DeviceError as error:
        if asked.device is None:
            raise
        if service.settings.strict_device:
            raise UsageError(str(error)) from error
        info = await load(service, asked.model_type, asked.model_id)
        return f"{error}; {info.device} is used"
    return None
