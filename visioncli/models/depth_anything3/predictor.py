"""Pictures to depth maps through one of Depth Anything 3's networks. Knows nothing of checkpoints or files."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visioncli.errors import PredictError, UsageError
from visioncli.models.depth_anything3.depths import FOCAL_KINDS, KINDS, Maps, exif_focal, given_focal, original_size
from visioncli.models.depth_anything3.maps import enlarged
from visioncli.models.depth_anything3.pixels import MEAN, STD, Recipe, Size
from visioncli.models.dual_encoder import Tower
from visioncli.provenance import ModelInfo
from visioncli.samples import Sample
from visioncli.tasks.depth import DepthMap, DepthOptions

FIELDS = {  # what each kind's network gives, in this order
    "any_view": ("depth", "confidence", "extrinsics", "intrinsics"),
    "mono": ("depth", "sky"),
    "metric": ("depth", "sky"),
    "nested": ("depth", "confidence", "extrinsics", "intrinsics", "sky", "metric_depth"),
}
_MATRICES = {"extrinsics": (3, 4), "intrinsics": (3, 3)}  # all others are maps


class DepthPredictor:
    """Every picture alone; those of one resized shape share a batch."""

    def __init__(self, info: ModelInfo, recipe: Recipe, kind: str, tower: Tower) -> None:
        self.info = info
        self.decode_size: tuple[int, int] | None = (recipe.process_size, recipe.process_size)
        self._recipe = recipe
        self._kind = kind  # a key of KINDS
        self._tower = tower  # rows to what `packed` makes of them

    def check(self, options: DepthOptions) -> None:
        """Raise UsageError for a focal length that would change nothing."""
        refuse_unused_focal(options, self._kind in FOCAL_KINDS, self.info.id)

    def preprocess(self, sample: Sample, options: DepthOptions) -> NDArray[np.uint8]:
        """(h, w, 3), as the network sees it. Raises PredictError."""
        self.check(options)
        given_focal(sample, options)  # a cell that is no length fails its row here
        return self._recipe.apply(picture(sample))

    def prepare(self, options: DepthOptions) -> None:
        """Nothing is needed but pictures."""

    def forward(self, inputs: Sequence[NDArray[np.uint8]], options: DepthOptions) -> list[Maps | PredictError]:
        """One picture's maps a row, (h, w) of the inputs, which are of one shape."""
        size = (inputs[0].shape[0], inputs[0].shape[1])
        found = self._tower.vectors(inputs)
        return [row if isinstance(row, PredictError) else unpacked(row, size, self._kind) for row in found]

    def postprocess(self, outputs: Sequence[Maps], samples: Sequence[Sample], options: DepthOptions) -> list[DepthMap]:
        return [self._map(maps, sample, options) for maps, sample in zip(outputs, samples, strict=True)]

    def batch_key(self, options: DepthOptions, inputs: NDArray[np.uint8]) -> Hashable:
        return inputs.shape

    def _map(self, maps: Maps, sample: Sample, options: DepthOptions) -> DepthMap:
        size = original_size(sample)
        found = KINDS[self._kind](maps, self._focal(maps, sample, options))
        return enlarged(found, size) if options.size == "original" else found

    def _focal(self, maps: Maps, sample: Sample, options: DepthOptions) -> tuple[float, float] | None:
        """The x and y focal length in pixels of the maps, where one is known."""
        height, width = original_size(sample)
        focal = given_focal(sample, options)
        if focal is None and self._kind == "metric":
            focal = exif_focal(sample.facts.exif, (height, width))
        if focal is None:
            return None
        return focal * maps.depth.shape[1] / width, focal * maps.depth.shape[0] / height


def seer(kind: str, device: str) -> Callable[[Any, Any], Any]:
    """Return what a tower runs: network, (n, h, w, 3) uint8 on the device -> (n, all numbers of `kind`'s fields)."""
    import torch

    mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (MEAN, STD))

    def see(network: Any, pixels: Any) -> Any:
        seen = network((pixels.permute(0, 3, 1, 2).float() / 255 - mean) / std)
        return torch.cat([getattr(seen, name).flatten(1) for name in FIELDS[kind]], dim=1)

    return see


def unpacked(row: NDArray[np.float32], size: Size, kind: str) -> Maps:
    """What `seer` made flat, for maps of `size`."""
    shapes = {name: _MATRICES.get(name, size) for name in FIELDS[kind]}
    ends = np.cumsum([height * width for height, width in shapes.values()])
    parts = zip(shapes.items(), np.split(row, ends[:-1]), strict=True)
    return Maps(**{name: part.reshape(shape) for (name, shape), part in parts})


def refuse_unused_focal(options: DepthOptions, is_used: bool, model: str) -> None:
    """Raise UsageError where a focal length is given to a model whose depth it does not change."""
    if not is_used and (options.focal_px is not None or options.focal_column is not None):
        raise UsageError(
            f"a focal length changes nothing for {model}; depth-anything/DA3METRIC-LARGE makes metres with it"
        )


def picture(sample: Sample) -> NDArray[np.uint8]:
    """Return the row's pixels. Raises PredictError("input_missing")."""
    if sample.image is None:
        raise PredictError("input_missing", "the row has no picture")
    return sample.image
