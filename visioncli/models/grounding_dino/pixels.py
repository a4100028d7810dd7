"""What Grounding DINO sees of a picture: its preprocessor_config.json -> one exact recipe.

The same uint8 pixels as transformers' GroundingDinoImageProcessorPil, without its padding. Deviation: a side that would
vanish becomes one pixel, where the stock processor fails. Knows nothing of torch, texts or boxes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visioncli.errors import ModelError
from visioncli.models.preprocess import Pixels, Recipe, recipe_from

LONGEST = 1333  # pixels at most, beside a size that is a lone number

DEFAULTS: dict[str, Any] = {  # transformers 5.23: GroundingDinoImageProcessorPil
    "size": {"shortest_edge": 800, "longest_edge": LONGEST},
    "resample": 2,
    "image_mean": (0.485, 0.456, 0.406),  # ImageNet's
    "image_std": (0.229, 0.224, 0.225),
}


@dataclass(frozen=True, slots=True)
class Sight:
    """From uint8 RGB of any size to uint8 RGB as the model sees it."""

    recipe: Recipe  # of the largest size; its filter, scale, mean and std hold for any
    edges: tuple[int, int] | None  # shortest, and longest at most, aspect kept; None: squashed to the recipe's size

    @property
    def name(self) -> str:
        """Stable: part of the run key. Names the pixels alone."""
        kept = "" if self.edges is None else f" aspect kept, shortest {self.edges[0]} longest {self.edges[1]}"
        return f"{self.recipe.name}{kept}"

    @property
    def decode_size(self) -> tuple[int, int]:
        return self.recipe.size if self.edges is None else (self.edges[0], self.edges[0])

    def size(self, original: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of what the model sees: get_size_with_aspect_ratio, transformers' image_transforms."""
        if self.edges is None:
            return self.recipe.size
        (shortest, longest), (short, long) = self.edges, sorted(original)
        exact = longest * short / long if long / short * shortest > longest else shortest
        edge = round(exact)
        other = long if short == edge else int(exact * long / short)
        edge, other = max(edge, 1), max(other, 1)
        return (other, edge) if original[1] < original[0] else (edge, other)

    def apply(self, image: NDArray[np.uint8], original: tuple[int, int]) -> Pixels:
        """(H, W, 3) -> (h, w, 3), both RGB. Raises PredictError("preprocess_failed")."""
        return replace(self.recipe, size=self.size(original)).apply(image)


def sight_from(file: Mapping[str, Any]) -> Sight:
    """Read a preprocessor_config.json's content; what it leaves out is the stock processor's. Raises ModelError."""
    given = DEFAULTS | {key: value for key, value in file.items() if value is not None}
    declared = str(given.pop("image_processor_type", given.pop("feature_extractor_type", "GroundingDino")))
    if not declared.startswith("GroundingDino") or "pad_size" in given:
        raise ModelError(f"preprocessor_config.json asks for {declared} or for padding; known: GroundingDino without")
    try:
        edges = _edges(given["size"], given.get("max_size", LONGEST))
        size = {"height": edges[0], "width": edges[1]} if edges else given["size"]
        return Sight(recipe_from({**given, "size": size}, "grounding-dino"), edges)
    except (TypeError, ValueError, KeyError) as error:
        raise ModelError(f"preprocessor_config.json is not understood: {error}") from error


def _edges(size: Any, longest: int) -> tuple[int, int] | None:
    """(shortest, longest), or None for an exact size; `longest` is what the old form, a lone number, has beside it."""
    if isinstance(size, int):
        return size, longest
    if "shortest_edge" in size:
        return int(size["shortest_edge"]), int(size["longest_edge"])
    return None
