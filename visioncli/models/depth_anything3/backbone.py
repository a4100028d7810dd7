"""Depth Anything 3's vision transformer, for pictures that are each a scene of its own.

Names of parameters are those of the official checkpoints. Norms, residuals and positions are computed in float32,
matrix products in whatever dtype the linear layers' weights have. Source: depth-anything-3 0.1.1, model/dinov2.
Knows nothing of heads, pixels or checkpoints.
"""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visioncli.models.depth_anything3.architecture import Architecture

ROTARY_BASE = 100.0  # vision_transformer.py: rope_freq
BLOCK_EPS = 1e-6  # block.py: ln_eps; all other norms keep torch's 1e-5
SCALE_OFFSET = 0.1  # vision_transformer.py: interpolate_offset

Rotation: TypeAlias = tuple[Tensor, Tensor]  # cosine and sine, each (tokens, C / heads)


class Backbone(nn.Module):
    """Tokens of four blocks for the head, and the last one's camera token."""

    def __init__(self, sizes: Architecture) -> None:
        super().__init__()
        self.sizes = sizes
        positions = (sizes.trained_size // sizes.patch) ** 2
        self.patch_embed = PatchEmbed(sizes)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, sizes.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + positions, sizes.width))
        if sizes.is_any_view:
            self.camera_token = nn.Parameter(torch.randn(1, 2, sizes.width))  # of the first view, of all others
        self.blocks = nn.ModuleList(Block(sizes, _is_alternating(sizes, i)) for i in range(sizes.depth))
        self.norm = nn.LayerNorm(sizes.width)

    def forward(self, pixels: Tensor) -> tuple[list[Tensor], Tensor]:
        """(B, 3, H, W), normalised, sides multiples of the patch.

        Returns four (B, patches, K), row by row, and (B, K), not normed; K is C, or 2 C where it alternates: the last
        block within views beside the last of all.
        """
        grid = (pixels.shape[-2] // self.sizes.patch, pixels.shape[-1] // self.sizes.patch)
        x = local = self._embedded(pixels, grid)  # (B, 1 + patches, C)
        within, jointly = self._rotations(grid, x.device)
        taken = []
        for i, block in enumerate(self.blocks):
            if i == self.sizes.alternate_from:
                # The one view of a scene is its first.
                x = local = torch.cat([self.camera_token[:, :1].expand(len(x), -1, -1).to(x.dtype), x[:, 1:]], 1)
            if not _is_alternating(self.sizes, i):
                x = local = block(x, None)
            elif i % 2 == 0:
                x = local = block(x, within)
            else:
                x = block(x, jointly)  # over the tokens of all views, of which there is one
            if i in self.sizes.out_layers:
                taken.append((local, x))
        tokens = [self._beside(first, self.norm(last))[:, 1:] for first, last in taken]
        return tokens, self._beside(*taken[-1])[:, 0]

    def _beside(self, local: Tensor, x: Tensor) -> Tensor:
        return torch.cat([local, x], dim=-1) if self.sizes.is_any_view else x

    def _embedded(self, pixels: Tensor, grid: tuple[int, int]) -> Tensor:
        patches = self.patch_embed(pixels)
        x = torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], dim=1)
        return x + self._positions(grid)

    def _positions(self, grid: tuple[int, int]) -> Tensor:
        """(1, 1 + patches, C). The offset in the scale moves every sample a little: the weights expect it."""
        side = self.sizes.trained_size // self.sizes.patch
        if grid == (side, side):
            return self.pos_embed
        square = self.pos_embed[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
        scale = [(each + SCALE_OFFSET) / side for each in grid]
        patches = F.interpolate(square, scale_factor=scale, mode="bicubic").flatten(2).transpose(1, 2)
        return torch.cat([self.pos_embed[:, :1], patches], dim=1)

    def _rotations(self, grid: tuple[int, int], device: torch.device) -> tuple[Rotation, Rotation]:
        """Within a view, by row and column from 1; jointly, all patches alike. The camera token is at 0 in both."""
        rows, columns = (torch.arange(1, 1 + each, device=device) for each in grid)
        places = torch.cat([torch.zeros(1, 2, device=device), torch.cartesian_prod(rows, columns)])  # (tokens, 2) y x
        part = self.sizes.width // self.sizes.heads
        return _rotation(places, part), _rotation(places.clamp(max=1), part)


class PatchEmbed(nn.Module):
    def __init__(self, sizes: Architecture) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, sizes.width, sizes.patch, sizes.patch)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, patches, C) float32."""
        grid: Tensor = self.proj(pixels.to(self.proj.weight.dtype))
        return grid.flatten(2).transpose(1, 2).float()


class Block(nn.Module):
    def __init__(self, sizes: Architecture, has_positions: bool) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(sizes.width, BLOCK_EPS)
        self.attn = Attention(sizes, has_positions)
        self.ls1 = LayerScale(sizes.width)
        self.norm2 = nn.LayerNorm(sizes.width, BLOCK_EPS)
        self.mlp = FEED_FORWARDS[sizes.feed_forward](sizes.width)
        self.ls2 = LayerScale(sizes.width)

    def forward(self, x: Tensor, rotation: Rotation | None) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x), rotation))
        out: Tensor = x + self.ls2(self.mlp(self.norm2(x)))
        return out


class Attention(nn.Module):
    """Queries and keys are normed and turned by their place, in the blocks that have positions."""

    def __init__(self, sizes: Architecture, has_positions: bool) -> None:
        super().__init__()
        self.heads = sizes.heads
        part = sizes.width // sizes.heads
        self.qkv = nn.Linear(sizes.width, 3 * sizes.width)
        self.q_norm = nn.LayerNorm(part) if has_positions else nn.Identity()
        self.k_norm = nn.LayerNorm(part) if has_positions else nn.Identity()
        self.proj = nn.Linear(sizes.width, sizes.width)

    def forward(self, x: Tensor, rotation: Rotation | None) -> Tensor:
        """(B, tokens, C) -> (B, tokens, C)."""
        rows, tokens, width = x.shape
        parts = _through(self.qkv, x).reshape(rows, tokens, 3, self.heads, width // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)  # each (B, heads, tokens, C / heads)
        if rotation is not None:
            q = _rotated(self.q_norm(q.float()), rotation).to(v.dtype)
            k = _rotated(self.k_norm(k.float()), rotation).to(v.dtype)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return _through(self.proj, mixed.transpose(1, 2).reshape(rows, tokens, width))


class LayerScale(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class Mlp(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return _through(self.fc2, F.gelu(_through(self.fc1, x)))


class SwiGlu(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = (int(4 * width * 2 / 3) + 7) // 8 * 8  # swiglu_ffn.py
        self.w12 = nn.Linear(width, 2 * hidden)
        self.w3 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = _through(self.w12, x).chunk(2, dim=-1)
        return _through(self.w3, F.silu(gate) * value)


FEED_FORWARDS: dict[str, type[Mlp] | type[SwiGlu]] = {"mlp": Mlp, "swiglu": SwiGlu}


def _is_alternating(sizes: Architecture, block: int) -> bool:
    return sizes.alternate_from is not None and block >= sizes.alternate_from


def _through(layer: nn.Linear, x: Tensor) -> Tensor:
    out: Tensor = layer(x.to(layer.weight.dtype))
    return out


def _rotation(places: Tensor, part: int) -> Rotation:
    """Rotary angles (rope.py): the first half of a head's numbers turns with y, the second with x."""
    exponents = torch.arange(0, part // 2, 2, device=places.device).float() / (part // 2)
    angles = places.float()[:, :, None] * (1 / ROTARY_BASE**exponents)  # (tokens, 2, part / 4)
    both = torch.cat([angles, angles], dim=-1).flatten(1)
    return both.cos(), both.sin()


def _rotated(x: Tensor, rotation: Rotation) -> Tensor:
    cosine, sine = rotation
    y0, y1, x0, x1 = x.chunk(4, dim=-1)
    return x * cosine + torch.cat([-y1, y0, -x1, x0], dim=-1) * sine
