"""Depth Anything 3 for `depth`: any-view, mono, metric and nested checkpoints, in the official layout.

Sources: the model cards depth-anything/DA3-BASE and depth-anything/DA3METRIC-LARGE; depth-anything-3 0.1.1, api.py.
Each picture is a scene of its own: the views of one call attend to one another there, while a batch here is many
scenes of one view. A map comes at the network's resolution, or enlarged to the original's, which the original leaves
to others. A metric checkpoint gives metres for a focal length in pixels: the one given, else what EXIF's length in
35 mm film implies; without any the row is answered up to a scale, `metric` false. A nested one estimates its own, and
only one that is given replaces it. Knows nothing of pixels, networks or files.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from visioncli.models import Predictor
from visioncli.models.depth_anything3.architecture import Architecture, architectures
from visioncli.models.depth_anything3.pixels import Recipe
from visioncli.models.depth_anything3.predictor import DepthPredictor, seer
from visioncli.models.depth_anything3.weights import load_network
from visioncli.models.dual_encoder import Tower
from visioncli.models.runtime import Runtime, for_pixels
from visioncli.models.weights import read_json
from visioncli.provenance import Checkpoint, ModelInfo


def load(checkpoint: Checkpoint, task: str, runtime: Runtime, need_image: bool, need_text: bool) -> Predictor[Any, Any]:
    """Return the predictor for depth with the network loaded. Raises ModelError."""
    parts = architectures(read_json(checkpoint, "config.json"))
    kind, recipe = _kind(parts), Recipe(parts[0].process_size, parts[0].patch)
    runtime = for_pixels(runtime, recipe.process_size**2)
    device = runtime.device.value
    tower = Tower(partial(load_network, parts, checkpoint, device), seer(kind, device), device, runtime.dtype.value)
    if need_image:
        tower.ready()
    return DepthPredictor(described(checkpoint, "depth_anything3", recipe.name, runtime), recipe, kind, tower)


def described(checkpoint: Checkpoint, family: str, recipe: str, runtime: Runtime) -> ModelInfo:
    """Return what is known of a model of depth, for the metadata of what it answers."""
    return ModelInfo(
        id=checkpoint.id,
        commit=checkpoint.commit,
        family=family,
        recipe=recipe,
        dimension=0,  # no vectors
        device=runtime.device.value,
        dtype=runtime.dtype.value,
        batch_size=runtime.batch_size.value,
        choices={"device": runtime.device, "dtype": runtime.dtype, "batch_size": runtime.batch_size},
    )


def _kind(parts: Sequence[Architecture]) -> str:
    if len(parts) == 2:
        return "nested"
    if parts[0].is_any_view:
        return "any_view"
    return "metric" if parts[0].metric else "mono"
