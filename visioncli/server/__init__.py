"""The embedded server: five documented APIs over one Service. fastapi lives only here.

Knows nothing of flags or batch jobs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from visioncli.tables import look_up

if TYPE_CHECKING:
    from fastapi import FastAPI

    from visioncli.server.service import Service

DIALECTS = {  # --api -> create_app(service) -> FastAPI
    "runpod": "visioncli.server.dialects.runpod:create_app",
    "hf-endpoint": "visioncli.server.dialects.hf_endpoint:create_app",
    "vision-models": "visioncli.server.dialects.vision_models:create_app",
    "hailo-clip": "visioncli.server.dialects.hailo_clip:create_app",
    "sagemaker-clip": "visioncli.server.dialects.sagemaker_clip:create_app",
}
NATIVE_PORTS = {"runpod": 8008, "hf-endpoint": 8081, "vision-models": 8000, "hailo-clip": 5000, "sagemaker-clip": 8080}


def create_app(dialect: str, service: Service) -> FastAPI:
    """Return the dialect's app over the service. Raises UsageError for an unknown one."""
    app: FastAPI = look_up(DIALECTS, dialect, "API")(service)
    return app
