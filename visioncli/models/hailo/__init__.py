"""CLIP's picture tower as a HEF on a Hailo accelerator (`--device hailo`); the rest of the checkpoint on the CPU.

The checkpoint gives the tokenizer, the scale, how pictures are resized, and its text tower unless texts are on the
device, too, or were computed before. Its picture tower is never loaded. Numbers are the HEF's own (8 or 16 bits): they
are of another embedding space than the checkpoint's on a CPU, and say so. Has been run against a double of HailoRT
alone, never on hardware.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

from visioncli.errors import ModelError, UsageError
from visioncli.models import Predictor
from visioncli.models.dual_encoder import DualEncoder
from visioncli.models.hailo.device import Held, Layout, by, held
from visioncli.models.hailo.precomputed import Precomputed
from visioncli.models.hailo.programme import Programme
from visioncli.models.hailo.towers import ImageFrames, TextFrames, read_words
from visioncli.models.preprocess import Recipe
from visioncli.models.runtime import HailoRequest, Runtime
from visioncli.models.text import TextRecipe
from visioncli.models.zero_shot import ClassifyPredictor, predictor
from visioncli.provenance import Checkpoint, Choice, ModelInfo
from visioncli.tables import look_up
from visioncli.tasks.classify import ClassifyOptions

ENCODERS = {  # of models.FAMILIES, those whose picture tower is compiled by itself -> encoder(checkpoint, runtime)
    "clip": "visioncli.models.clip:encoder",
    "clip_resnet": "visioncli.models.clip_resnet:encoder",
    "siglip": "visioncli.models.siglip:encoder",
}
SHORT = 12  # hexadecimal digits of a HEF's SHA-256 in the names of recipes and spaces


def load(
    checkpoint: Checkpoint,
    family: str,
    task: str,
    runtime: Runtime,
    asked: HailoRequest,
    need_image: bool,
    need_text: bool,
) -> Predictor[Any, Any]:
    """Return the predictor with what is needed configured on the device.

    Raises DeviceError, ModelError for a HEF that is not of this chip or this checkpoint, UsageError for a file that is
    not there.
    """
    if family not in ENCODERS:
        raise UsageError(f"--device hailo runs {', '.join(ENCODERS)} models; {checkpoint.id} is a {family}")
    on_cpu = Runtime(Choice("cpu", "texts"), Choice("float32", "texts"), runtime.batch_size)
    whole: DualEncoder = look_up(ENCODERS, family, "model family")(checkpoint, on_cpu)
    digests = {name: _sha256(path, flag) for flag, name, path in _files(asked)}
    number = runtime.device.value.partition(":")[2]
    device = held(int(number) if number else None)
    programme = Programme(device, Path(asked.hef), "UINT8", asked.frames, asked.timeout_ms)
    recipe = _fitting(whole, programme.layout, Path(asked.hef), checkpoint)
    info = _described(whole.info, recipe, runtime, device, digests)
    encoder = replace(whole, info=info, recipe=recipe, image=ImageFrames(programme), tokens=None)
    return _with_texts(encoder, checkpoint, task, asked, device, need_image, need_text)


def _with_texts(
    encoder: DualEncoder,
    checkpoint: Checkpoint,
    task: str,
    asked: HailoRequest,
    device: Held,
    need_image: bool,
    need_text: bool,
) -> Predictor[Any, Any]:
    if asked.text_embeddings is not None:
        known = Precomputed(Path(asked.text_embeddings), encoder.info.dimension)
        encoder = replace(encoder, text=known, read_tokenizer=lambda: known)
        encoder.ready(need_image, need_text)
        return PrecomputedClassify(encoder, known) if task == "classify" else predictor(encoder, task, False, False)
    if asked.text_hef is not None:
        encoder = replace(encoder, text=_text_frames(encoder, checkpoint, asked, device))
    return predictor(encoder, task, need_image, need_text)


def _text_frames(encoder: DualEncoder, checkpoint: Checkpoint, asked: HailoRequest, device: Held) -> TextFrames:
    path = Path(str(asked.text_hef))
    programme = Programme(device, path, "FLOAT32", 1, asked.timeout_ms)
    tokenizer = encoder.read_tokenizer()
    assert isinstance(tokenizer, TextRecipe)  # of each of ENCODERS
    words = read_words(checkpoint, tokenizer, programme.layout, path, encoder.info.dimension)
    return TextFrames(programme, words)


class PrecomputedClassify(ClassifyPredictor):
    """Refuses labels that are not in the file before any picture is read."""

    def __init__(self, encoder: DualEncoder, known: Precomputed) -> None:
        super().__init__(encoder)
        self._known = known

    def check(self, options: ClassifyOptions) -> None:
        super().check(options)
        self._known.refuse_unknown(
            template.replace("{}", label) for label in options.labels for template in options.templates
        )


def _files(asked: HailoRequest) -> list[tuple[str, str, Path]]:
    """(flag, name in the run key, path) of each file that decides an answer."""
    named = {"hef": asked.hef, "text_hef": asked.text_hef, "text_embeddings": asked.text_embeddings}
    return [(f"--{name.replace('_', '-')}", name, Path(path)) for name, path in named.items() if path is not None]


def _sha256(path: Path, flag: str) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{flag}: {path} cannot be read: {error.strerror}") from error


def _fitting(whole: DualEncoder, layout: Layout, path: Path, checkpoint: Checkpoint) -> Recipe:
    """Return the checkpoint's own way of resizing, to the HEF's size. Raises ModelError."""
    shape, width = layout.input_shape, prod(layout.output_shape)
    if len(shape) != 3 or shape[2] != 3:
        raise ModelError(f"{path.name} takes {by(shape)}, no RGB picture; is it the text tower?")
    if width != whole.info.dimension:
        raise ModelError(
            f"{path.name} gives {width} numbers a picture, {checkpoint.id} has {whole.info.dimension}: "
            "take the HEF and the --model of one network"
        )
    size = shape[0], shape[1]
    if size == whole.recipe.size:
        return whole.recipe
    return replace(whole.recipe, size=size, shortest_edge=None if whole.recipe.shortest_edge is None else max(size))


def _described(info: ModelInfo, recipe: Recipe, runtime: Runtime, device: Held, digests: dict[str, str]) -> ModelInfo:
    return replace(
        info,
        recipe=f"{recipe.name}+hef:{digests['hef'][:SHORT]}",
        device="hailo",
        dtype=runtime.dtype.value,
        batch_size=runtime.batch_size.value,
        choices={
            "device": Choice("hailo", f"{runtime.device.reason}; {device.device}"),
            "dtype": runtime.dtype,
            "batch_size": runtime.batch_size,
        },
        token_shape=None,
        files=digests,
    )
