"""SAM 3 (`model_type` sam3, and the detector of a sam3_video) for `segment`, through transformers' Sam3Model.

Sources: the model card facebook/sam3; transformers 5.23, models/sam3. A picture is squashed to the model's square
(bilinear, whole levels), whatever its shape. Boxes are clipped to the picture, which the stock processor leaves to
others. Boxes stay as the model gives them where overlaps are resolved: only masks lose pixels, some all of them.
Knows nothing of files or tables.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial
from typing import Any

import numpy as np

from visioncli.errors import ModelError, PredictError
from visioncli.models import Predictor
from visioncli.models.dual_encoder import described, fitting, normaliser
from visioncli.models.masks import covered, outlines, run_lengths, unshared
from visioncli.models.preprocess import Pixels, Recipe, recipe_from
from visioncli.models.runtime import Runtime, for_pixels
from visioncli.models.sam3.detector import Detector, Found
from visioncli.models.sam3.prompts import PromptReader
from visioncli.models.text import text_recipe
from visioncli.models.weights import load_module, parse_config, read_json, read_preprocessor
from visioncli.provenance import Checkpoint, ModelInfo
from visioncli.samples import Sample
from visioncli.tasks.objects import Objects, Rings, Rle
from visioncli.tasks.segment import SegmentOptions

PROCESSORS = ("Sam3ImageProcessor", "Sam3ImageProcessorFast")
PROCESSOR_DEFAULTS = {  # of Sam3ImageProcessor, transformers 5.23
    "size": {"height": 1008, "width": 1008},
    "resample": 2,  # Pillow's number for bilinear
    "do_center_crop": False,
    "image_mean": (0.5, 0.5, 0.5),
    "image_std": (0.5, 0.5, 0.5),
}


def load(checkpoint: Checkpoint, task: str, runtime: Runtime, need_image: bool, need_text: bool) -> Predictor[Any, Any]:
    """Return the predictor for segment, its weights loaded. Raises ModelError."""
    from transformers import Sam3Model

    config = _config(checkpoint)
    recipe = fitting(_recipe(checkpoint), config.image_size, checkpoint)
    runtime = for_pixels(runtime, recipe.size[0] * recipe.size[1])
    device, dtype = runtime.device.value, runtime.dtype.value
    reader = PromptReader(text_recipe(checkpoint, config.text_config.max_position_embeddings), device)
    load_whole = partial(load_module, Sam3Model, config, checkpoint, device)
    detector = Detector(load_whole, normaliser(recipe, device), reader, device, dtype)
    detector.ready()
    info = described(checkpoint, recipe, config.detr_decoder_config.hidden_size, runtime, token_shape=None)
    return SegmentPredictor(detector, recipe, info)


def _config(checkpoint: Checkpoint) -> Any:
    """The detector's configuration; a video model has it inside its own, and its weights under `detector_model.`."""
    from transformers import Sam3Config, Sam3VideoConfig

    if read_json(checkpoint, "config.json").get("model_type") == "sam3_video":
        return parse_config(Sam3VideoConfig, checkpoint).detector_config
    return parse_config(Sam3Config, checkpoint)


def _recipe(checkpoint: Checkpoint) -> Recipe:
    """Raises ModelError."""
    file = read_preprocessor(checkpoint)
    declared = file.get("image_processor_type", PROCESSORS[0])
    if declared not in PROCESSORS:
        raise ModelError(f"preprocessor_config.json asks for {declared}; known: {', '.join(PROCESSORS)}")
    given = {key: value for key, value in file.items() if value is not None and key != "image_processor_type"}
    return recipe_from(PROCESSOR_DEFAULTS | given, "sam3")


class SegmentPredictor:
    """The objects that each prompt names in each picture, with their masks."""

    def __init__(self, detector: Detector, recipe: Recipe, info: ModelInfo) -> None:
        self._detector = detector
        self._recipe = recipe
        self.info = info
        self.decode_size: tuple[int, int] | None = recipe.decode_size

    def check(self, options: SegmentOptions) -> None:
        """Every prompt can be asked; a long one is cut to the text tower's length."""

    def preprocess(self, sample: Sample, options: SegmentOptions) -> Pixels:
        """(h, w, 3), as the model sees it. Raises PredictError."""
        if sample.image is None:
            raise PredictError("input_missing", "the row has no picture")
        return self._recipe.apply(sample.image)

    def prepare(self, options: SegmentOptions) -> None:
        """The prompts are read beside the batch, and kept."""

    def forward(self, inputs: Sequence[Pixels], options: SegmentOptions) -> list[Found | PredictError]:
        """The queries above the threshold, with masks of the model's size."""
        return self._detector.found(inputs, options.prompts, options.threshold)

    def postprocess(
        self, outputs: Sequence[Found], samples: Sequence[Sample], options: SegmentOptions
    ) -> list[Objects]:
        """Best score first; equal ones by prompt, then by query. A mask may be empty."""
        return [_objects(found, _size(sample), options) for found, sample in zip(outputs, samples, strict=True)]

    def batch_key(self, options: SegmentOptions, inputs: Pixels) -> Hashable:
        """The threshold too: masks of all queries would be 66 MB for each picture and prompt."""
        return options.prompts, options.threshold


def _size(sample: Sample) -> tuple[int, int]:
    """(height, width) of the upright original; `image` may be a smaller decoding of it."""
    if sample.facts.size is not None:
        return sample.facts.size
    assert sample.image is not None  # `preprocess` refuses a row without a picture
    return sample.image.shape[0], sample.image.shape[1]


def _objects(found: Found, size: tuple[int, int], options: SegmentOptions) -> Objects:
    order = np.argsort(-found.scores, kind="stable")
    height, width = size
    edges = np.array([width, height, width, height], np.float32)
    labels = tuple(options.prompts[prompt] for prompt in found.prompts[order])
    masks, polygons = _kept(found, order.tolist(), size, options)
    return Objects(
        labels=labels,
        scores=found.scores[order],
        boxes=np.clip(found.boxes[order] * edges, 0, edges),
        phrases=labels,
        masks=masks,
        polygons=polygons,
    )


def _kept(
    found: Found, order: Sequence[int], size: tuple[int, int], options: SegmentOptions
) -> tuple[tuple[Rle, ...], tuple[Rings, ...] | None]:
    """Each object's mask, made and let go one at a time: as run lengths, and as outlines where they are asked for."""
    turns = _turns(found, order, options)
    whole = (covered(found.masks[i], size, options.mask_threshold) for i in turns)
    masks: dict[int, Rle] = {}
    polygons: dict[int, Rings] = {}
    for i, mask in zip(turns, unshared(whole) if options.resolve_overlaps else whole, strict=True):
        masks[i] = run_lengths(mask)
        if options.masks == "polygons":
            polygons[i] = outlines(mask)
    outlined = tuple(polygons[i] for i in order) if options.masks == "polygons" else None
    return tuple(masks[i] for i in order), outlined


def _turns(found: Found, order: Sequence[int], options: SegmentOptions) -> Sequence[int]:
    """Who takes its pixels first: the best score, or score times prior; of equal ones the first in `order`."""
    if options.priors is None:
        return order
    strength = found.scores * np.array(options.priors)[found.prompts]  # (K,)
    return sorted(order, key=lambda i: -float(strength[i]))
