"""Which model answers for a type of the document's: loaded where a request may, with names and words for strangers.

Knows nothing of questions to it.
"""

from __future__ import annotations

import asyncio
import logging
import re
from pathlib import Path

from visioncli.errors import ModelError, OutputError, UsageError
from visioncli.io import hub
from visioncli.provenance import ModelInfo
from visioncli.server.refusals import NotLoaded
from visioncli.server.service import Service
from visioncli.server.shelf import OtherTaskError

log = logging.getLogger("visioncli.server")

DIALECT = "vision-models"
ROLE_OF = {"sam3": "segment", "grounding_dino": "detect", "depth_anything": "depth", "dinov3": "features"}
_MODEL_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?(@[\w./-]+)?")  # an alias or hub id: a request names no folder


class UnknownModel(ModelError):
    """There is no such model, as far as it can be told."""


async def ready(service: Service, model_type: str, model_id: str | None) -> ModelInfo:
    """Return what will answer, loaded where settings allow. Raises NotLoaded, UsageError and as Service.load does."""
    role = ROLE_OF[model_type]
    info = service.info(DIALECT, role)
    if info is not None and (model_id is None or model_id.lower() == info.id.lower()):
        return info
    if info is None and not service.settings.auto_load:
        raise NotLoaded(f"Model {model_type} not loaded. Call load_model() first.")
    return await load(service, model_type, model_id)


async def load(service: Service, model_type: str, model_id: str | None, device: str | None = None) -> ModelInfo:
    """As Service.load, for names that a stranger may give, and with words that he may read.

    Raises UsageError for a path and for a model that does something else, UnknownModel besides.
    """
    role = ROLE_OF[model_type]
    own = service.settings.model_of(DIALECT, role)
    if model_id is not None and model_id != own and not _MODEL_ID.fullmatch(model_id):
        raise UsageError(f"model_id {model_id!r} is neither a hub id (org/name) nor a short name")
    try:
        return await service.load(DIALECT, role, model_id, device)
    except OtherTaskError as error:
        raise (UsageError if model_id else ModelError)(str(error)) from error
    except (ModelError, OutputError) as error:
        wanted = model_id or service.status(DIALECT)[role].model
        log.warning("%s cannot be loaded: %s", wanted, error)  # names folders of this machine
        if await asyncio.to_thread(_is_there, wanted, role, wanted == own):
            raise ModelError(f"{shown(wanted)} cannot be loaded; the server's log says why") from error
        raise UnknownModel(f"there is no model {shown(wanted)} here, and none that can be fetched") from error


def shown(model: str) -> str:
    """Return a model's name as strangers may read it: of a directory, the last part."""
    return model if _MODEL_ID.fullmatch(model) else Path(model).name


def _is_there(model: str, role: str, directories: bool) -> bool:
    """Whether this machine has the checkpoint: then something else is wrong with it."""
    try:
        hub.locate(model, role, offline=True, directories=directories)
    except ModelError:
        return False
    return True
