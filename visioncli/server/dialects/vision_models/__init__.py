"""The Vision Models API: segmentation, detection, depth and features over REST. Document: vision-models.md.

What differs from the original, where its document leaves room or it contradicts itself:

- Boxes of grounding-dino are objects, `{"score", "label", "box", "x1", "y1", "x2", "y2"}`: the document's example reads
  `detection["score"]`. `label` and `labels` are the caller's prompts, `text_labels` the model's own words.
- `rle` has `masks_rle` (the original's container) and `masks_coco` (COCO's compressed counts): the document says COCO.
- A request that does not fit its schema is a 400 with one string, where the original answers 422 with a list. Images
  that cannot be read, prompts that do not fit the images and unknown model types are 400, where the original says 500.
- `iou_scores` repeats `scores`. Scores are best first.
- `depth_data` is an 8-bit PNG of the first image, larger is farther; direction and range are in `metadata`. The file
  that `export_format` asks for is in `export_data`. Further images are in `others`. Maps have the network's pixels.
  gs_ply and gs_video need a Gaussian head, and are 400.
- `results[0]` of sam3 has one entry for each prompt, as the original's; the document's example calls them detections.
- Outlines run along the edges of pixels. A prompt that repeats is asked once, and its masks overlap their copies.
- A device that is not there falls back to one that is, with a `warning`; with --strict-device it is a 400.
- A request's `model_id` is a hub id or a short name, not a path, nor a directory of the server's that is called so.
  Where it differs from what is loaded, that is loaded instead; a model that does something else is a 400. Why one
  cannot be loaded is in the server's log: the sentences name its folders.
- More than 4,096 prompts, or 1,048,576 characters of them, are a 400. Of a prompt sam3 looks at the first 10,000
  characters, and reads 32 pieces of them (there: fails where there are more); to grounding-dino a longer one is a 400.
  Of many faults in a request the first ones are told.
- Jobs are validated when they are submitted; a job's result is the synchronous answer; sam3's `output_format` is `rle`
  in both. Times are in UTC and say so. DELETE of a running job stops it. GET /jobs lists the newest 100, with `null`
  for a result of more than 256 KiB: the job itself has it. When --max-jobs wait, or jobs hold more than 4 GiB of
  requests, a further one is a 503. Finished jobs are kept for seven days, across restarts; one that runs for an hour
  fails.
- Not in the document: 401, 408 (a body that does not come in), 413 and 503 (with Retry-After), a most of 256 images a
  request, a cap on dense masks, an unhealthy /health (503).

`--fidelity original`: plain lists of coordinates as boxes, with the model's words as `labels`; `masks_rle` alone; 422.

/docs and /redoc load their scripts from a CDN, as the original's do; /openapi.json needs no network.
Knows nothing of pixels or tensors: parses, asks the service, renders, refuses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from pydantic import BaseModel

from visioncli.server.bodies import dump_long_json, json_response, while_connected
from visioncli.server.dialects.vision_models import jobs, models, schemas
from visioncli.server.dialects.vision_models.door import (
    Door,
    Operation,
    add_operations,
    service_of,
    translate_errors,
)
from visioncli.server.dialects.vision_models.inference import infer
from visioncli.server.dialects.vision_models.loading import DIALECT
from visioncli.server.service import Service

VERSION = "0.1.0"  # the original's, which clients see
ANSWERS = (400, 404, 408, 413, 500, 503)


class App(FastAPI):
    """FastAPI, describing in its OpenAPI the errors that are really answered."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None and self.state.service.settings.fidelity == "document":
            _drop_422(super().openapi())
        return super().openapi()


def create_app(service: Service) -> FastAPI:
    """Return the API over a service."""
    app = App(
        title="Vision Models API",
        version=VERSION,
        separate_input_output_schemas=False,  # what is absent by default is absent in answers too
        strict_content_type=False,  # a body without a type is JSON
        redirect_slashes=False,  # /jobs/ is the job without a name, which is not there
    )
    app.router.route_class = Door
    app.state.service = service
    jobs.add_runner(app, service)
    translate_errors(app, service.settings.fidelity)
    add_operations(app, (*OPERATIONS, *models.OPERATIONS, *jobs.OPERATIONS))
    _allow_origins(app, service.settings.cors_origins)
    return app


def _allow_origins(app: FastAPI, origins: Sequence[str] | None) -> None:
    """All origins where nothing was said, as the document: "enabled for all origins by default"."""
    if origins is None or origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=["*"] if origins is None else list(origins),
            allow_credentials=True,
            allow_methods=["*"],
            allow_headers=["*"],
        )


def _drop_422(document: dict[str, Any]) -> None:
    """FastAPI declares its own validation error everywhere; here it is a 400, declared by each operation."""
    for item in document["paths"].values():
        for operation in item.values():
            operation["responses"].pop("422", None)
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)


async def banner(request: Request) -> Response:
    """What this is."""
    return json_response({"message": "Vision Models API", "version": VERSION, "docs": "/docs"})


async def sam3(asked: schemas.Sam3Request, request: Request) -> Response:
    """Instances of each prompt, with their masks."""
    return await _inferred("sam3", asked, request)


async def grounding_dino(asked: schemas.GroundingDinoRequest, request: Request) -> Response:
    """Boxes of what the prompts name."""
    return await _inferred("grounding_dino", asked, request)


async def depth_anything(asked: schemas.DepthAnythingRequest, request: Request) -> Response:
    """A depth map of each image, as a picture and as a file."""
    return await _inferred("depth_anything", asked, request)


async def dinov3(asked: schemas.Dinov3Request, request: Request) -> Response:
    """Features of each image, token by token and pooled."""
    return await _inferred("dinov3", asked, request)


async def _inferred(model_type: str, asked: BaseModel, request: Request) -> Response:
    service = service_of(request)
    async with service.admitted(DIALECT):
        body = await while_connected(request, _dumped(service, model_type, asked))
    return Response(body, media_type="application/json")


async def _dumped(service: Service, model_type: str, asked: BaseModel) -> bytes:
    """Masks and features are long: written in a thread."""
    return await dump_long_json(await infer(service, model_type, asked))


OPERATIONS = (
    Operation("GET", "/", banner, schemas.Banner),
    Operation("POST", "/inference/sam3", sam3, schemas.Sam3Response, ANSWERS),
    Operation("POST", "/inference/grounding-dino", grounding_dino, schemas.GroundingDinoResponse, ANSWERS),
    Operation("POST", "/inference/depth-anything", depth_anything, schemas.DepthAnythingResponse, ANSWERS),
    Operation("POST", "/inference/dinov3", dinov3, schemas.Dinov3Response, ANSWERS),
)
