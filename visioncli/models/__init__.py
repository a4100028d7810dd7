"""Model families behind one protocol. torch lives only in this package, and is imported late."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Protocol, TypeVar

from visioncli.errors import ModelError
from visioncli.models.runtime import RuntimeRequest, choose
from visioncli.models.weights import read_json
from visioncli.provenance import Checkpoint, ModelInfo
from visioncli.samples import Sample
from visioncli.tables import look_up

OptionsT_contra = TypeVar("OptionsT_contra", contravariant=True)
ResultT_co = TypeVar("ResultT_co", covariant=True)

# `model_type` of the checkpoint's config.json -> load(checkpoint, task, runtime, need_image, need_text) -> Predictor
FAMILIES = {
    "siglip": "visioncli.models.siglip:load",  # SigLIP, and SigLIP 2 at a fixed resolution
    "clip": "visioncli.models.clip:load",
}
ADVICE = {
    "siglip2": "a NaFlex checkpoint has no fixed resolution; use one that has, google/siglip2-base-patch16-224 say",
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

    def forward(self, inputs: Sequence[Any], options: OptionsT_contra) -> Sequence[Any]:
        """Device, one thread, one batch. Returns one row of outputs per input, on the CPU."""

    def postprocess(
        self, outputs: Sequence[Any], samples: Sequence[Sample], options: OptionsT_contra
    ) -> Sequence[ResultT_co]:
        """CPU. Pixels of the upright original."""

    def batch_key(self, options: OptionsT_contra, inputs: Any) -> Hashable:
        """What must agree inside one batch: only what `forward` depends on."""


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
    Raises ModelError for a checkpoint that is incomplete, damaged, a pickle or of an unknown family, DeviceError for a
    device that is not here.
    """
    family = read_json(checkpoint, "config.json").get("model_type")
    if family not in FAMILIES:
        advice = ADVICE.get(str(family), f"known: {', '.join(sorted(FAMILIES))}")
        raise ModelError(f"{checkpoint.id} is of the unknown model family {family!r}; {advice}")
    request = request or RuntimeRequest()
    runtime = choose(request.device, request.dtype, request.batch_size, request.rows)
    needs_text = task == "classify" if need_text is None else need_text
    predictor: Predictor[Any, Any] = look_up(FAMILIES, family, "model family")(
        checkpoint, task, runtime, need_image, needs_text
    )
    return predictor
