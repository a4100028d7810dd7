"""Grounding DINO (`model_type` grounding-dino, mm-grounding-dino) for `detect`, through transformers' modules.

Sources: the model card IDEA-Research/grounding-dino-tiny; transformers 5.23, models/grounding_dino and
models/mm_grounding_dino. `pixels` is what the model sees, `detector` asks it, `predictor` reads its answer; texts come
from `models.phrases`. Knows nothing of files or tables.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from visioncli.errors import ModelError
from visioncli.models import Predictor
from visioncli.models.grounding_dino.detector import Detector
from visioncli.models.grounding_dino.pixels import Sight, sight_from
from visioncli.models.grounding_dino.predictor import VERSION, DetectPredictor
from visioncli.models.phrases import phrases_from
from visioncli.models.runtime import SETTLED, Runtime
from visioncli.models.weights import load_module, parse_config, read_json, read_preprocessor, tensor_files
from visioncli.provenance import Checkpoint, Choice, ModelInfo

NAMES = {  # model_type -> how transformers' classes begin
    "grounding-dino": "GroundingDino",
    "mm-grounding-dino": "MMGroundingDino",
}


def load(checkpoint: Checkpoint, task: str, runtime: Runtime, need_image: bool, need_text: bool) -> Predictor[Any, Any]:
    """Return the predictor for detect with the module loaded: picture and text are one network. Raises ModelError."""
    import transformers

    family = read_json(checkpoint, "config.json")["model_type"]
    tensor_files(checkpoint)  # refuses what is damaged, missing or a pickle, by name
    _refuse_named_backbone(checkpoint)
    config = parse_config(getattr(transformers, f"{NAMES[family]}Config"), checkpoint)
    sight = sight_from(read_preprocessor(checkpoint))
    phrases = phrases_from(checkpoint, config.max_text_len, config.text_config.max_position_embeddings)
    if runtime.batch_size.reason not in SETTLED:
        runtime = replace(
            runtime, batch_size=Choice(1, "each picture is asked alone, so that none moves another's boxes")
        )
    architecture = getattr(transformers, f"{NAMES[family]}ForObjectDetection")
    module = load_module(architecture, config, checkpoint, runtime.device.value, "float32")
    detector = Detector(module, sight.recipe, runtime.device.value)
    return DetectPredictor(_described(checkpoint, family, sight, config.d_model, runtime), sight, phrases, detector)


def _refuse_named_backbone(checkpoint: Checkpoint) -> None:
    """transformers would ask timm or the hub for it, while it reads config.json."""
    content = read_json(checkpoint, "config.json")
    described = content.get("backbone_config") or {}
    if content.get("backbone") or content.get("use_timm_backbone") or described.get("model_type") == "timm_backbone":
        raise ModelError(
            f"config.json of {checkpoint.id} names a backbone of timm or of the hub; only one that it describes "
            "itself, as IDEA-Research/grounding-dino-tiny does, can be read without a network"
        )


def _described(checkpoint: Checkpoint, family: str, sight: Sight, dimension: int, runtime: Runtime) -> ModelInfo:
    return ModelInfo(
        id=checkpoint.id,
        commit=checkpoint.commit,
        family=family,
        recipe=f"{sight.name}; answers/{VERSION}",
        dimension=dimension,
        device=runtime.device.value,
        dtype=runtime.dtype.value,
        batch_size=runtime.batch_size.value,
        choices={"device": runtime.device, "dtype": runtime.dtype, "batch_size": runtime.batch_size},
    )
