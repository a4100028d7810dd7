"""Model families behind one protocol. torch lives only in this package, and is imported late."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from visioncli.errors import ModelError
from visioncli.models.runtime import RuntimeRequest, choose, refuse_half_a_hailo
from visioncli.models.weights import count_parameters, read_config
from visioncli.provenance import Checkpoint, ModelInfo
from visioncli.samples import Sample
from visioncli.tables import look_up

log = logging.getLogger("visioncli")

__all__ = ["ANSWERS", "FAMILIES", "Predictor", "count_parameters", "family_of", "load", "load_all", "read_config"]

OptionsT_contra = TypeVar("OptionsT_contra", contravariant=True)
ResultT_co = TypeVar("ResultT_co", covariant=True)

# `family_of` a checkpoint's configuration -> load(checkpoint, task, runtime, need_image, need_text) -> Predictor
FAMILIES = {
    "siglip": "visioncli.models.siglip:load",  # SigLIP, and SigLIP 2 at a fixed resolution
    "clip": "visioncli.models.clip:load",
    "clip_resnet": "visioncli.models.clip_resnet:load",  # in open_clip's layout
    "dinov3_vit": "visioncli.models.dinov3:load",
    "dinov3_convnext": "visioncli.models.dinov3:load",
    "sam3": "visioncli.models.sam3:load",
    "sam3_video": "visioncli.models.sam3:load",  # its detector
    "grounding-dino": "visioncli.models.grounding_dino:load",
    "mm-grounding-dino": "visioncli.models.grounding_dino:load",
    "depth_anything": "visioncli.models.depth_anything:load",  # V2, in transformers' layout
    "depth_anything3": "visioncli.models.depth_anything3:load",
}
ANSWERS = {  # what a family can be asked
    "siglip": ("classify", "embed"),
    "clip": ("classify", "embed"),
    "clip_resnet": ("classify", "embed"),
    "dinov3_vit": ("embed",),
    "dinov3_convnext": ("embed",),
    "sam3": ("segment",),
    "sam3_video": ("segment",),
    "grounding-dino": ("detect",),
    "mm-grounding-dino": ("detect",),
    "depth_anything": ("depth",),
    "depth_anything3": ("depth",),
}
ADVICE = {
    "siglip2": "a NaFlex checkpoint has no fixed resolution; use one that has, google/siglip2-base-patch16-224 say",
    "open_clip": "in open_clip's layout only CLIP's ResNets are read, so use the model as transformers has it, "
    "openai/clip-vit-base-patch32 say",
}


class Predictor(Protocol[OptionsT_contra, ResultT_co]):
    """One loaded model, for one task."""

    info: ModelInfo
    decode_size: (
        tuple[int, int] | None
    )  # (height, width) the model will see; a JPEG may be decoded smaller, never below

    def check(self, options: OptionsT_contra) -> None:
        """Raise UsageError for options that this model cannot answer; asked before any image is read."""

    def preprocess(self, sample: Sample, options: OptionsT_contra) -> Any:
        """CPU, many threads, no shared state. Returns one row of inputs; raises PredictError for this row alone."""

    def prepare(self, options: OptionsT_contra) -> None:
        """Device thread, before `forward`: what the options alone need, computed once and kept."""

    def forward(self, inputs: Sequence[Any], options: OptionsT_contra) -> Sequence[Any]:
        """Device, one thread, one batch. Returns one row of outputs per input, on the CPU."""

    def postprocess(
        self, outputs: Sequence[Any], samples: Sequence[Sample], options: OptionsT_contra
    ) -> Sequence[ResultT_co]:
        """CPU. Pixels of the upright original."""

    def batch_key(self, options: OptionsT_contra, inputs: Any) -> Hashable:
        """What must agree inside one batch: only what `forward` depends on."""


def family_of(config: Mapping[str, Any]) -> str | None:
    """Return the key of FAMILIES that a configuration speaks of, or whatever else it says it is.

    Depth Anything 3 has no `model_type`; its `model_name` begins with da3 (its config.json on the hub). Nor has
    open_clip_config.json; there a list of layers is a ResNet's, and a number a vision transformer's.
    """
    if "model_cfg" in config:
        return "clip_resnet" if _is_resnet(config["model_cfg"]) else "open_clip"
    named = config.get("model_type")
    if named is None and str(config.get("model_name", "")).lower().startswith("da3"):
        return "depth_anything3"
    return None if named is None else str(named)


def _is_resnet(model: Any) -> bool:
    vision = model.get("vision_cfg") if isinstance(model, Mapping) else None
    return isinstance(vision, Mapping) and isinstance(vision.get("layers"), list) and not vision.get("timm_model_name")


def load(
    checkpoint: Checkpoint,
    task: str,
    request: RuntimeRequest | None = None,
    *,
    need_image: bool = True,
    need_text: bool | None = None,
) -> Predictor[Any, Any]:
    """Return a predictor for `task` (a key of TASKS), from the checkpoint's directory alone.

    Only what is needed is loaded, the rest at its first use. `need_text` None: where the task cannot do without.
    What was loaded is logged, each automatic choice with its reason. Raises ModelError for a checkpoint that is
    incomplete, damaged, a pickle or of an unknown family, DeviceError for a device that is not here.
    """
    predictor = _loaded(checkpoint, task, request or RuntimeRequest(), need_image, need_text)
    for line in predictor.info.lines():
        log.debug("%s", line)
    return predictor


def _loaded(
    checkpoint: Checkpoint, task: str, request: RuntimeRequest, need_image: bool, need_text: bool | None
) -> Predictor[Any, Any]:
    family = family_of(read_config(checkpoint))
    if family not in FAMILIES:
        advice = ADVICE.get(str(family), f"known: {', '.join(sorted(FAMILIES))}")
        raise ModelError(f"{checkpoint.id} is of the unknown model family {family!r}; {advice}")
    if task not in ANSWERS[family]:
        raise ModelError(f"{checkpoint.id} is a {family} model: it can {' and '.join(ANSWERS[family])}, not {task}")
    refuse_half_a_hailo(request.device, request.hailo)
    runtime = choose(request.device, request.dtype, request.batch_size, request.rows, request.resumes)
    needs_text = task == "classify" if need_text is None else need_text
    if request.hailo is not None:
        from visioncli.models import hailo

        return hailo.load(checkpoint, family, task, runtime, request.hailo, need_image, needs_text)
    predictor: Predictor[Any, Any] = look_up(FAMILIES, family, "model family")(
        checkpoint, task, runtime, need_image, needs_text
    )
    return predictor


def load_all(checkpoint: Checkpoint, request: RuntimeRequest) -> dict[str, Predictor[Any, Any]]:
    """Return a predictor for each task the checkpoint can answer, over weights that are loaded once.

    Raises as `load` does.
    """
    tasks = ANSWERS.get(str(family_of(read_config(checkpoint))), ("classify",))
    first = load(checkpoint, tasks[0], request)
    return {tasks[0]: first} | {task: first.with_same_weights(task) for task in tasks[1:]}  # type: ignore[attr-defined]
