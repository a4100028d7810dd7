"""The sizes of Depth Anything 3's networks: a table of the published ones, and any other from a config.json.

Source: the configurations of depth-anything-3 0.1.1. Knows nothing of torch, weights or pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from visioncli.errors import ModelError

BLOCK = "visioncli"  # key of config.json under which sizes that are not published stand


@dataclass(frozen=True, slots=True)
class Architecture:
    """One backbone, one head and, where it alternates, a camera decoder."""

    width: int  # C
    depth: int  # blocks
    heads: int
    out_layers: tuple[int, ...]  # the four blocks whose tokens the head reads
    features: int  # channels of the head's fusion
    out_channels: tuple[int, ...]  # (4,) channels of the head's stages, finest first
    alternate_from: int | None = None  # first block with positions, odd ones then joint; None: mono or metric
    feed_forward: str = "mlp"  # or "swiglu"
    metric: bool = False  # depth is for a focal length of 300 pixels, in metres
    patch: int = 14  # pixels
    trained_size: int = 518  # pixels a side, for which there are positions
    process_size: int = 504  # pixels of the longest side, as pictures are shown to it

    def __post_init__(self) -> None:
        if fault := _fault(self):
            raise ValueError(fault)

    @property
    def is_any_view(self) -> bool:
        """Whether it was trained on many views of a scene: it then tells confidence and camera, else the sky."""
        return self.alternate_from is not None


def _fault(sizes: Architecture) -> str | None:
    numbers = (sizes.width, sizes.depth, sizes.heads, sizes.features, sizes.patch, *sizes.out_channels)
    if not all(type(each) is int and each > 0 for each in (*numbers, sizes.trained_size, sizes.process_size)):
        return "a size is no whole number above 0"
    if sizes.width % (4 * sizes.heads):
        return "width / heads must be a multiple of 4"  # two axes, each of pairs
    if len(sizes.out_layers) != 4 or list(sizes.out_layers) != sorted(set(sizes.out_layers)):
        return "out_layers must be four blocks, in order"
    if not 0 <= sizes.out_layers[0] <= sizes.out_layers[3] < sizes.depth:
        return "out_layers must be within depth"
    if len(sizes.out_channels) != 4 or sizes.features % 8 or any(each % 4 for each in sizes.out_channels):
        return "out_channels must be four multiples of 4, features a multiple of 8"
    if sizes.trained_size % sizes.patch or sizes.process_size % sizes.patch:
        return "trained_size and process_size must be multiples of patch"
    return None if sizes.feed_forward in ("mlp", "swiglu") else "feed_forward must be mlp or swiglu"


_LARGE_CHANNELS = (256, 512, 1024, 1024)
_MONO = Architecture(1024, 24, 16, (4, 11, 17, 23), 256, _LARGE_CHANNELS)
_METRIC = Architecture(1024, 24, 16, (4, 11, 17, 23), 256, _LARGE_CHANNELS, metric=True)
PUBLISHED: dict[str, Architecture] = {
    "da3-small": Architecture(384, 12, 6, (5, 7, 9, 11), 64, (48, 96, 192, 384), 4),
    "da3-base": Architecture(768, 12, 12, (5, 7, 9, 11), 128, (96, 192, 384, 768), 4),
    "da3-large": Architecture(1024, 24, 16, (11, 15, 19, 23), 256, _LARGE_CHANNELS, 8),
    "da3-giant": Architecture(1536, 40, 24, (19, 27, 33, 39), 256, _LARGE_CHANNELS, 13, "swiglu"),
    "da3mono-large": _MONO,
    "da3metric-large": _METRIC,
}
NESTED = {"da3nested-giant-large": ("da3-giant", "da3metric-large")}  # any-view, and what gives it metres


def architectures(config: Mapping[str, Any]) -> tuple[Architecture, ...]:
    """Return the network's sizes; for a nested one those of its two networks.

    A published name takes the table, any other the sizes under BLOCK, or a list of two. Raises ModelError.
    """
    name = str(config.get("model_name", "")).lower().removesuffix("-1.1")  # newer weights for the same network
    if name in NESTED:
        return tuple(PUBLISHED[part] for part in NESTED[name])
    if name in PUBLISHED:
        return (PUBLISHED[name],)
    blocks = config.get(BLOCK)
    blocks = blocks if isinstance(blocks, list) else [blocks]
    if len(blocks) not in (1, 2) or not all(isinstance(block, Mapping) for block in blocks):
        known = ", ".join([*PUBLISHED, *NESTED])
        raise ModelError(f"config.json names the unknown model {name!r}, without its sizes; known: {known}")
    return tuple(_custom(block) for block in blocks)


def _custom(sizes: Mapping[str, Any]) -> Architecture:
    unknown = sorted(set(sizes) - {field.name for field in fields(Architecture)})
    if unknown:
        raise ModelError(f"config.json gives the unknown size {unknown[0]!r}")
    values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in sizes.items()}
    try:
        return Architecture(**values)
    except (TypeError, ValueError) as error:
        raise ModelError(f"the sizes in config.json are not understood: {error}") from error
