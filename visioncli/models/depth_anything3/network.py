"""Depth Anything 3's networks, whole: normalised pixels to depth and what else is known of each picture.

Source: depth-anything-3 0.1.1, model/da3.py. Knows nothing of checkpoints, devices or what is made of depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from visioncli.models.depth_anything3.architecture import Architecture
from visioncli.models.depth_anything3.backbone import Backbone
from visioncli.models.depth_anything3.heads import CameraDecoder, DenseHead


class Seen(NamedTuple):
    """What a network says of B pictures of (H, W), float32."""

    depth: Tensor  # (B, H, W), more than 0
    confidence: Tensor | None = None  # (B, H, W), more than 1; any-view alone, as are the cameras
    extrinsics: Tensor | None = None  # (B, 3, 4), world to camera
    intrinsics: Tensor | None = None  # (B, 3, 3), in pixels of (H, W)
    sky: Tensor | None = None  # (B, H, W), 0 or more, larger is likelier; mono, metric and nested
    metric_depth: Tensor | None = None  # (B, H, W), of a nested network's metric one


class DepthNetwork(nn.Module):
    """Any-view, mono or metric, as the sizes say. Pictures of a batch do not see one another."""

    def __init__(self, sizes: Architecture) -> None:
        super().__init__()
        self.backbone = nn.ModuleDict({"pretrained": Backbone(sizes)})
        self.head = DenseHead(sizes)
        self.cam_dec = CameraDecoder(2 * sizes.width) if sizes.is_any_view else None

    def forward(self, pixels: Tensor) -> Seen:
        """(B, 3, H, W), normalised, both sides multiples of the patch."""
        size = (pixels.shape[-2], pixels.shape[-1])
        tokens, camera = self.backbone["pretrained"](pixels)
        depth, other = self.head(tokens, size).unbind(1)
        if self.cam_dec is None:
            return Seen(depth.exp(), sky=other.relu())
        return Seen(depth.exp(), other.exp() + 1, *self.cam_dec(camera, size))


class NestedNetwork(nn.Module):
    """An any-view network, and a metric one that tells the sky and the scale."""

    def __init__(self, any_view: Architecture, metric: Architecture) -> None:
        super().__init__()
        self.da3 = DepthNetwork(any_view)
        self.da3_metric = DepthNetwork(metric)

    def forward(self, pixels: Tensor) -> Seen:
        """(B, 3, H, W), normalised, both sides multiples of the patch. Depths are not brought together here."""
        metric: Seen = self.da3_metric(pixels)
        seen: Seen = self.da3(pixels)
        return seen._replace(sky=metric.sky, metric_depth=metric.depth)


def build(parts: Sequence[Architecture]) -> nn.Module:
    """Return a network of one part, or a nested one of two, with fresh weights: see `architecture.architectures`."""
    return DepthNetwork(parts[0]) if len(parts) == 1 else NestedNetwork(*parts)
