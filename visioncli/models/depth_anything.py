"""Depth Anything V2 (`model_type` depth_anything) for `depth`, through transformers' module.

Sources: the model cards depth-anything/Depth-Anything-V2-Small-hf and
depth-anything/Depth-Anything-V2-Metric-Indoor-Small-hf; transformers 5.23, models/depth_anything and models/dpt.

Metric checkpoints give metres by themselves. All others give a disparity: nearer is larger, 0 is infinitely far, and
the scale is unknown. What is answered is its inverse in units of the nearest point: 1 where the disparity is largest,
2 where it is half of that, FARTHEST where it is less than 1/FARTHEST of it, so that a sky stays finite and does not
take all of a 16-bit file's levels. The disparity is resized first, bicubically, as transformers does.
Deviation: a side that would vanish becomes one patch, where the stock processor fails. Knows nothing of files.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visioncli.errors import ModelError, PredictError
from visioncli.models import Predictor
from visioncli.models.depth_anything3 import described
from visioncli.models.depth_anything3.depths import original_size
from visioncli.models.depth_anything3.maps import resampled
from visioncli.models.depth_anything3.pixels import Size
from visioncli.models.depth_anything3.predictor import picture, refuse_unused_focal
from visioncli.models.dual_encoder import Tower
from visioncli.models.preprocess import FILTERS
from visioncli.models.runtime import Runtime, for_pixels
from visioncli.models.weights import load_module, parse_config, read_preprocessor
from visioncli.provenance import Checkpoint, ModelInfo
from visioncli.samples import Sample
from visioncli.tasks.depth import DepthMap, DepthOptions

VERSION = 1  # raised whenever a picture's pixels, or what is made of its depth, would change
FARTHEST = 100.0  # times as far as the nearest point, of a disparity
LONGEST = 16  # times as many pixels as `size` has, at most: a strip of 1 to 16; the rest would take hours

DEFAULTS: dict[str, Any] = {  # transformers 5.23: DPTImageProcessorPil
    "do_resize": True,
    "size": {"height": 384, "width": 384},
    "keep_aspect_ratio": False,
    "ensure_multiple_of": 1,
    "resample": 3,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": (0.5, 0.5, 0.5),
    "image_std": (0.5, 0.5, 0.5),
    "do_pad": False,
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """From uint8 RGB to uint8 RGB of about `size`; then (v * scale - mean) / std on the device."""

    size: Size  # (height, width)
    keep_aspect: bool
    multiple: int  # both sides are
    resample: int  # Pillow's number
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def name(self) -> str:
        """Stable: part of the run key. Names the pixels, without the post-processing."""
        aspect = "keeping aspect" if self.keep_aspect else "squashed"
        values = f"mean {','.join(f'{v:g}' for v in self.mean)} std {','.join(f'{v:g}' for v in self.std)}"
        scale = "" if self.scale == 1 / 255 else f" scale {self.scale:g}"
        resize = f"resize {self.size[0]}x{self.size[1]} {aspect} multiple {self.multiple} {FILTERS[self.resample]}"
        return f"depth_anything/{VERSION} {resize}{scale} {values}"

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H, W, 3) -> (h, w, 3), both RGB. Raises PredictError("preprocess_failed")."""
        from PIL import Image

        height, width = self.seen((image.shape[0], image.shape[1]))
        if height * width > LONGEST * self.size[0] * self.size[1]:
            message = f"a strip of {image.shape[1]} x {image.shape[0]} would be seen as {width} x {height} pixels"
            raise PredictError("preprocess_failed", message)
        return np.asarray(Image.fromarray(image).resize((width, height), resample=self.resample))

    def seen(self, size: Size) -> Size:
        """What becomes of a picture of `size`; keeping its aspect, the side that changes least decides."""
        down, across = (wanted / given for wanted, given in zip(self.size, size, strict=True))
        if self.keep_aspect:
            down = across = across if abs(1 - across) < abs(1 - down) else down
        return self._whole(down * size[0]), self._whole(across * size[1])

    def _whole(self, side: float) -> int:
        return max(1, round(side / self.multiple)) * self.multiple


def recipe_from(file: Mapping[str, Any]) -> Recipe:
    """Read a preprocessor_config.json's content; what it leaves out is the stock processor's. Raises ModelError."""
    given = DEFAULTS | {key: value for key, value in file.items() if value is not None}
    if not given["do_resize"] or given["do_pad"] or given["resample"] not in FILTERS:
        raise ModelError("preprocessor_config.json asks for padding, no resizing or an unknown filter; not supported")
    try:
        return Recipe(
            size=(int(given["size"]["height"]), int(given["size"]["width"])),
            keep_aspect=bool(given["keep_aspect_ratio"]),
            multiple=int(given["ensure_multiple_of"]),
            resample=int(given["resample"]),
            scale=float(given["rescale_factor"]) if given["do_rescale"] else 1.0,
            mean=_three(given["image_mean"] if given["do_normalize"] else (0, 0, 0)),
            std=_three(given["image_std"] if given["do_normalize"] else (1, 1, 1)),
        )
    except (TypeError, ValueError, KeyError) as error:
        raise ModelError(f"preprocessor_config.json is not understood: {error}") from error


def _three(values: Sequence[float]) -> tuple[float, ...]:
    r, g, b = values
    return float(r), float(g), float(b)


def load(checkpoint: Checkpoint, task: str, runtime: Runtime, need_image: bool, need_text: bool) -> Predictor[Any, Any]:
    """Return the predictor for depth with the module loaded. Raises ModelError."""
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation

    config = parse_config(DepthAnythingConfig, checkpoint)
    recipe = recipe_from(read_preprocessor(checkpoint))
    runtime = for_pixels(runtime, recipe.size[0] * recipe.size[1])
    device = runtime.device.value
    load_network = partial(load_module, DepthAnythingForDepthEstimation, config, checkpoint, device)
    tower = Tower(load_network, _seer(recipe, device), device, runtime.dtype.value)
    if need_image:
        tower.ready()
    is_metric = config.depth_estimation_type == "metric"
    made = "metres" if is_metric else f"inverse up to {FARTHEST:g}"
    info = described(checkpoint, "depth_anything", f"{recipe.name}; bicubic {made}", runtime)
    return DepthPredictor(info, recipe, is_metric, tower)


def _seer(recipe: Recipe, device: str) -> Any:
    import torch

    mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (recipe.mean, recipe.std))

    def see(module: Any, pixels: Any) -> Any:
        """(n, h, w, 3) uint8 -> (n, h, w)."""
        normal = (pixels.permute(0, 3, 1, 2).float() * recipe.scale - mean) / std
        return module(pixel_values=normal.to(module.dtype)).predicted_depth

    return see


class DepthPredictor:
    """Pictures of one resized shape share a batch."""

    def __init__(self, info: ModelInfo, recipe: Recipe, is_metric: bool, tower: Tower) -> None:
        self.info = info
        self.decode_size: tuple[int, int] | None = recipe.size
        self._recipe, self._is_metric, self._tower = recipe, is_metric, tower

    def check(self, options: DepthOptions) -> None:
        """Raise UsageError for a focal length: it would change nothing."""
        refuse_unused_focal(options, False, self.info.id)

    def preprocess(self, sample: Sample, options: DepthOptions) -> NDArray[np.uint8]:
        """(h, w, 3), as the model sees it. Raises PredictError."""
        self.check(options)
        return self._recipe.apply(picture(sample))

    def prepare(self, options: DepthOptions) -> None:
        """Nothing is needed but pictures."""

    def forward(
        self, inputs: Sequence[NDArray[np.uint8]], options: DepthOptions
    ) -> list[NDArray[np.float32] | PredictError]:
        """One (h, w) a row, disparity or metres; the inputs are of one shape."""
        return self._tower.vectors(inputs)

    def postprocess(
        self, outputs: Sequence[NDArray[np.float32]], samples: Sequence[Sample], options: DepthOptions
    ) -> list[DepthMap]:
        return [self._map(each, sample, options) for each, sample in zip(outputs, samples, strict=True)]

    def batch_key(self, options: DepthOptions, inputs: NDArray[np.uint8]) -> Hashable:
        return inputs.shape

    def _map(self, seen: NDArray[np.float32], sample: Sample, options: DepthOptions) -> DepthMap:
        full = resampled(seen, original_size(sample), "bicubic") if options.size == "original" else seen
        # A bicubic overshoots a little, and nothing is nearer than the lens.
        return DepthMap(np.maximum(full, 0) if self._is_metric else inverse(full), self._is_metric)


def inverse(disparity: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H, W) disparity -> depth in units of the nearest point, 1 to FARTHEST; all 1 where nothing is near."""
    largest = disparity.max()
    if largest <= 0:
        return np.ones_like(disparity)
    depth: NDArray[np.float32] = 1 / np.maximum(disparity / largest, np.float32(1 / FARTHEST))
    return depth
