"""Depth Anything 3's dense head and camera decoder, in float32.

The dense head is a DPT (arXiv:2103.13413): tokens of four blocks, fused from coarse to fine. Names of parameters are
those of the official checkpoints. Source: depth-anything-3 0.1.1, model/{dpt,dualdpt,cam_dec}.py; the rays that the
official any-view head can also give are left out: cameras come from the decoder. Knows nothing of the backbone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visioncli.models.depth_anything3.architecture import Architecture

NECK = 32  # channels before the last convolution; dualdpt.py: head_features_2
UV_SHARE, UV_BASE = 0.1, 100.0  # dualdpt.py: ratio; head_utils.py: omega_0
LEAST_TANGENT = 1e-6  # transform.py: keeps a focal length finite


class DenseHead(nn.Module):
    """Two maps of logits: depth beside confidence from many views, depth beside sky from one."""

    def __init__(self, sizes: Architecture) -> None:
        super().__init__()
        self.sizes = sizes
        channels, width = sizes.out_channels, sizes.width * (2 if sizes.is_any_view else 1)
        self.norm = nn.LayerNorm(width) if sizes.is_any_view else nn.Identity()
        self.projects = nn.ModuleList(nn.Conv2d(width, each, 1) for each in channels)
        self.resize_layers = nn.ModuleList(
            [
                nn.ConvTranspose2d(channels[0], channels[0], 4, 4),
                nn.ConvTranspose2d(channels[1], channels[1], 2, 2),
                nn.Identity(),
                nn.Conv2d(channels[3], channels[3], 3, 2, 1),
            ]
        )
        self.scratch = nn.ModuleDict(_scratch(sizes))

    def forward(self, tokens: list[Tensor], size: tuple[int, int]) -> Tensor:
        """Four (B, patches, K) and the picture's (H, W) -> (B, 2, H, W)."""
        stages = [self._stage(i, each.float(), size) for i, each in enumerate(tokens)]
        fine = self.scratch["output_conv1"](self._fused(stages))
        fine = self._placed(F.interpolate(fine, size, mode="bilinear", align_corners=True), size)
        logits = self.scratch["output_conv2"](fine)
        if self.sizes.is_any_view:
            return logits  # type: ignore[no-any-return]
        return torch.cat([logits, self.scratch["sky_output_conv2"](fine)], dim=1)

    def _stage(self, number: int, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, patches, K) -> (B, channels, h, w), at 4, 2, 1 and 1/2 times the patches."""
        rows, columns = size[0] // self.sizes.patch, size[1] // self.sizes.patch
        grid = self.norm(tokens).transpose(1, 2).reshape(len(tokens), -1, rows, columns)
        out: Tensor = self.resize_layers[number](self._placed(self.projects[number](grid), size))
        return out

    def _fused(self, stages: list[Tensor]) -> Tensor:
        """-> (B, features, 8 h, 8 w), of h x w patches."""
        one, two, three, four = (self.scratch[f"layer{i + 1}_rn"](stage) for i, stage in enumerate(stages))
        x = self.scratch["refinenet4"](four, None, three.shape[2:])
        x = self.scratch["refinenet3"](x, three, two.shape[2:])
        x = self.scratch["refinenet2"](x, two, one.shape[2:])
        out: Tensor = self.scratch["refinenet1"](x, one, [2 * side for side in one.shape[2:]])
        return out

    def _placed(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        return x + UV_SHARE * places(x, size) if self.sizes.is_any_view else x


class Fusion(nn.Module):
    def __init__(self, features: int, has_lateral: bool) -> None:
        super().__init__()
        if has_lateral:
            self.resConfUnit1 = ResidualConv(features)
        self.resConfUnit2 = ResidualConv(features)
        self.out_conv = nn.Conv2d(features, features, 1)

    def forward(self, top: Tensor, lateral: Tensor | None, size: Any) -> Tensor:
        """(B, features, h, w) of the coarser stage and of this one -> (B, features, *size)."""
        x = top if lateral is None else top + self.resConfUnit1(lateral)
        x = F.interpolate(self.resConfUnit2(x), tuple(size), mode="bilinear", align_corners=True)
        out: Tensor = self.out_conv(x)
        return out


class ResidualConv(nn.Module):
    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, padding=1)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv2(F.relu(self.conv1(F.relu(x)))) + x
        return out


class CameraDecoder(nn.Module):
    """A scene's camera from its token."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.fc_t = nn.Linear(width, 3)
        self.fc_qvec = nn.Linear(width, 4)
        self.fc_fov = nn.Sequential(nn.Linear(width, 2), nn.ReLU())

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """(B, K) and the picture's (H, W) -> world to camera (B, 3, 4), intrinsics (B, 3, 3) in its pixels."""
        x = self.backbone(tokens.float())
        place, turn, view = self.fc_t(x), rotation_of(self.fc_qvec(x)), self.fc_fov(x)
        back = turn.mT  # what is decoded is camera to world
        return torch.cat([back, -back @ place[:, :, None]], dim=-1), intrinsics_of(view, size)


def rotation_of(quaternions: Tensor) -> Tensor:
    """(B, 4), x y z w of any length but 0 -> (B, 3, 3)."""
    x, y, z, w = quaternions.unbind(-1)
    s = 2 / (quaternions * quaternions).sum(-1)
    rows = [
        [1 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w)],
        [s * (x * y + z * w), 1 - s * (x * x + z * z), s * (y * z - x * w)],
        [s * (x * z - y * w), s * (y * z + x * w), 1 - s * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def intrinsics_of(view: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, 2) vertical and horizontal field of view in radians -> (B, 3, 3), the principal point at the centre."""
    height, width = size
    focal = torch.tensor([height / 2, width / 2], device=view.device) / (view / 2).tan().clamp(min=LEAST_TANGENT)
    matrix = torch.zeros(len(view), 3, 3, device=view.device)
    matrix[:, 0, 0], matrix[:, 1, 1] = focal[:, 1], focal[:, 0]
    matrix[:, 0, 2], matrix[:, 1, 2], matrix[:, 2, 2] = width / 2, height / 2, 1
    return matrix


def places(x: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, D, h, w) of a picture of (H, W) -> (1, D, h, w): sines and cosines of where each cell lies.

    Half the channels tell the column, half the row. Coordinates are cell centres; the picture's diagonal is 2 long.
    """
    ratio = size[1] / size[0]
    half_width, half_height = ratio / (ratio * ratio + 1) ** 0.5, 1 / (ratio * ratio + 1) ** 0.5
    columns, rows = _centres(half_width, x.shape[3], x), _centres(half_height, x.shape[2], x)
    across = _waves(columns, x.shape[1] // 2)[:, None, :].expand(-1, x.shape[2], -1)
    down = _waves(rows, x.shape[1] // 2)[:, :, None].expand(-1, -1, x.shape[3])
    return torch.cat([across, down])[None]


def _centres(half: float, count: int, like: Tensor) -> Tensor:
    edge = half * (count - 1) / count
    return torch.linspace(-edge, edge, count, device=like.device)


def _waves(places: Tensor, channels: int) -> Tensor:
    """(n,) -> (channels, n): sines, then cosines, of falling frequencies."""
    powers = torch.arange(channels // 2, dtype=torch.float32, device=places.device) / (channels / 2)
    angles = places[None, :] * (1 / UV_BASE**powers)[:, None]
    return torch.cat([angles.sin(), angles.cos()])


def _scratch(sizes: Architecture) -> dict[str, nn.Module]:
    features, channels = sizes.features, sizes.out_channels
    parts: dict[str, nn.Module] = {
        f"layer{i + 1}_rn": nn.Conv2d(each, features, 3, padding=1, bias=False) for i, each in enumerate(channels)
    }
    parts |= {f"refinenet{i}": Fusion(features, has_lateral=i < 4) for i in (1, 2, 3, 4)}
    parts["output_conv1"] = nn.Conv2d(features, features // 2, 3, padding=1)
    parts["output_conv2"] = _last(features, 2 if sizes.is_any_view else 1)
    if not sizes.is_any_view:
        parts["sky_output_conv2"] = _last(features, 1)
    return parts


def _last(features: int, channels: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(features // 2, NECK, 3, padding=1), nn.ReLU(), nn.Conv2d(NECK, channels, 1))
