"""What the Vision Models API takes and gives, as its /docs show it. Shapes alone: knows nothing of models or pixels."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, FiniteFloat

from visioncli.server.limits import MOST_PICTURES, MOST_TEXTS

ModelType = Literal["sam3", "grounding_dino", "depth_anything", "dinov3"]

# Lists end at their first fault: every fault of a long one would be an answer sixty times as long.
Share = Annotated[float, Field(ge=0, le=1)]
Prior = Annotated[FiniteFloat, Field(ge=0)]
Priors = Annotated[list[Prior], Field(max_length=MOST_TEXTS, fail_fast=True)]
Prompts = Annotated[list[str], Field(min_length=1, max_length=MOST_TEXTS, fail_fast=True)]
PromptLists = Annotated[
    list[Prompts],
    Field(min_length=1, max_length=MOST_PICTURES, fail_fast=True, description="one list for each image"),
]
Name = Annotated[str, Field(max_length=200)]
Corners = tuple[float, float, float, float]
Seconds = Annotated[float, Field(description="seconds")]


class ImageInput(BaseModel):
    data: str
    format: Literal["base64", "url"] = "base64"


Images = Annotated[
    list[str | ImageInput],
    Field(
        min_length=1,
        max_length=MOST_PICTURES,
        fail_fast=True,
        description="base64, a data URI or an http(s) URL each",
    ),
]


class Asked(BaseModel):
    """What all four models are asked with."""

    images: Images
    model_id: Name | None = None


class Sam3Request(Asked):
    prompts: Prompts | PromptLists
    threshold: Share = 0.5
    mask_threshold: Share = 0.5
    resolve_overlaps: bool | Priors = Field(False, description="a list is a prior for each prompt")
    output_format: Literal["rle", "dense", "polygons"] = "rle"


class GroundingDinoRequest(Asked):
    prompts: Prompts
    box_threshold: Share = 0.4
    text_threshold: Share = 0.3


class DepthAnythingRequest(Asked):
    export_format: Literal["glb", "npz", "ply", "gs_ply", "gs_video"] = "glb"


class Dinov3Request(Asked):
    pass


class LoadRequest(BaseModel):
    model_type: ModelType
    model_id: Name | None = None
    device: Name | None = Field(None, description="auto, cpu, cuda, cuda:0, mps")


class UnloadRequest(BaseModel):
    model_type: ModelType


class Message(BaseModel):
    message: str


class Problem(BaseModel):
    detail: str


class Banner(BaseModel):
    message: str
    version: str
    docs: str


class Health(BaseModel):
    status: Literal["healthy", "unhealthy"]
    loaded_models: list[ModelType]
    available_memory_gb: float | None
    gpu_available: bool


class ModelStanding(BaseModel):
    model_type: ModelType
    model_id: str
    device: str | None
    loaded: bool
    memory_mb: float | None


class ModelStandings(BaseModel):
    models: dict[ModelType, ModelStanding]
    total_memory_mb: float


class Loaded(BaseModel):
    message: str
    model_info: ModelStanding
    warning: str | None = Field(None, description="only where another device than the one asked for is used")


class RunLengths(BaseModel):
    encoding: Literal["rle"]
    size: tuple[int, int]
    counts: str = Field(description="base64(zlib(little-endian uint32 runs)), column by column, zeros first")


class CocoMask(BaseModel):
    size: tuple[int, int]
    counts: str


class Instances(BaseModel):
    """One prompt's objects; which mask field there is follows `output_format`."""

    scores: list[float]
    iou_scores: list[float]
    boxes: list[Corners]
    masks: list[list[list[int]]] | None = None
    masks_rle: list[RunLengths] | None = None
    masks_coco: list[CocoMask] | None = None
    masks_polygon: list[list[list[tuple[float, float]]]] | None = None


class PromptResult(BaseModel):
    prompt_index: int
    prompt: str
    result: Instances


class Sam3Response(BaseModel):
    results: list[list[PromptResult]]
    model_id: str
    processing_time: Seconds


class Box(BaseModel):
    score: float
    label: str
    box: Corners
    x1: float
    y1: float
    x2: float
    y2: float


class Detections(BaseModel):
    scores: list[float]
    boxes: list[Box] | list[Corners]
    text_labels: list[str]
    labels: list[str]


class GroundingDinoResponse(BaseModel):
    results: list[Detections]
    model_id: str
    processing_time: Seconds


class DepthAnythingResponse(BaseModel):
    depth_data: str = Field(description="base64 of an 8-bit grey PNG of the first image's depth; larger is farther")
    format: Literal["png_base64"]
    model_id: str
    processing_time: Seconds
    metadata: dict[str, Any]
    export_data: str = Field(description="base64 of the file that export_format asked for")
    export_format: str
    others: list[dict[str, Any]] | None = Field(None, description="the further images, where there are")


class Features(BaseModel):
    last_hidden_state: list[list[list[float]]]
    pooler_output: list[list[float]]
    last_hidden_state_shape: list[int]
    pooler_output_shape: list[int]


class Dinov3Response(BaseModel):
    features: Features
    model_id: str
    processing_time: Seconds


class JobResponse(BaseModel):
    job_id: str
    status: Literal["pending", "running", "completed", "failed"]
    created_at: str
    completed_at: str | None
    result: dict[str, Any] | None
    error: str | None


class ListedJob(JobResponse):
    processing_time: Seconds | None
