"""CLIP's two towers with a ResNet for pictures: normalised pixels and token ids to vectors of one space.

Sources: CLIP (Radford et al. 2021), section 2.4; the state dicts of OpenAI and open_clip, whose names these modules'
attributes bear. Both are for inference alone. Knows nothing of checkpoints, devices or scores.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

from visioncli.models.clip_resnet.architecture import ImageSizes, TextSizes

EXPANSION = 4  # channels that a block gives for each that it works with


class Block(nn.Module):
    """A bottleneck whose stride is an average over `stride` x `stride` pixels, so that nothing is aliased."""

    def __init__(self, channels: int, inner: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.pool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.conv3 = nn.Conv2d(inner, inner * EXPANSION, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(inner * EXPANSION)
        changes = stride > 1 or channels != inner * EXPANSION
        self.downsample = _shortcut(channels, inner * EXPANSION, stride) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        same = x if self.downsample is None else self.downsample(x)
        x = self.bn1(self.conv1(x)).relu_()
        x = self.pool(self.bn2(self.conv2(x)).relu_())
        given: Tensor = self.bn3(self.conv3(x))
        return given.add_(same).relu_()


def _shortcut(channels: int, out: int, stride: int) -> nn.Sequential:
    pool, conv = nn.AvgPool2d(stride), nn.Conv2d(channels, out, 1, bias=False)
    return nn.Sequential(OrderedDict([("-1", pool), ("0", conv), ("1", nn.BatchNorm2d(out))]))


class AttentionPool(nn.Module):
    """The mean of all cells asks all cells and itself: one vector."""

    def __init__(self, sizes: ImageSizes) -> None:
        super().__init__()
        channels = sizes.channels
        self.heads = sizes.heads
        self.positional_embedding = nn.Parameter(torch.empty(sizes.side**2 + 1, channels))
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(channels, channels) for _ in range(3))
        self.c_proj = nn.Linear(channels, sizes.dimension)

    def forward(self, tokens: Tensor) -> Tensor:
        """(n, 1 + cells, C), the mean first -> (n, D)."""
        x = tokens + self.positional_embedding
        q, k, v = (_split(part, self.heads) for part in (self.q_proj(x[:, :1]), self.k_proj(x), self.v_proj(x)))
        seen = functional.scaled_dot_product_attention(q, k, v)
        pooled: Tensor = self.c_proj(seen.transpose(1, 2).flatten(2))[:, 0]
        return pooled


def _split(x: Tensor, heads: int) -> Tensor:
    """(n, T, C) -> (n, heads, T, C / heads)."""
    return x.view(*x.shape[:2], heads, -1).transpose(1, 2)


class ImageTower(nn.Module):
    """A ResNet with a stem of three convolutions, pooled by attention."""

    def __init__(self, sizes: ImageSizes) -> None:
        super().__init__()
        width = sizes.width
        self.conv1 = nn.Conv2d(3, width // 2, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width // 2)
        self.conv2 = nn.Conv2d(width // 2, width // 2, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width // 2)
        self.conv3 = nn.Conv2d(width // 2, width, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.layer1 = _stage(width, width, sizes.layers[0], 1)
        self.layer2 = _stage(width * 4, width * 2, sizes.layers[1], 2)
        self.layer3 = _stage(width * 8, width * 4, sizes.layers[2], 2)
        self.layer4 = _stage(width * 16, width * 8, sizes.layers[3], 2)
        self.attnpool = AttentionPool(sizes)

    def forward(self, pixels: Tensor) -> Tensor:
        """(n, 3, H, W), normalised -> (n, D)."""
        vectors: Tensor = self.attnpool(self.tokens(pixels))
        return vectors

    def tokens(self, pixels: Tensor) -> Tensor:
        """(n, 1 + cells, C): the mean of the last stage's cells, then the cells row by row; what the pool reads."""
        for conv, norm in ((self.conv1, self.bn1), (self.conv2, self.bn2), (self.conv3, self.bn3)):
            pixels = norm(conv(pixels)).relu_()
        x = functional.avg_pool2d(pixels, 2)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        cells = x.flatten(2).transpose(1, 2)
        return torch.cat([cells.mean(dim=1, keepdim=True), cells], dim=1)


def _stage(channels: int, inner: int, count: int, stride: int) -> nn.Sequential:
    later = (Block(inner * EXPANSION, inner, 1) for _ in range(count - 1))
    return nn.Sequential(Block(channels, inner, stride), *later)


class QuickGELU(nn.Module):
    """OpenAI's approximation, which their weights were trained with."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class CausalAttention(nn.Module):
    """Each token asks itself and those before it."""

    def __init__(self, sizes: TextSizes) -> None:
        super().__init__()
        self.heads = sizes.heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * sizes.width, sizes.width))  # of q, k and v
        self.in_proj_bias = nn.Parameter(torch.empty(3 * sizes.width))
        self.out_proj = nn.Linear(sizes.width, sizes.width)

    def forward(self, x: Tensor) -> Tensor:
        parts = functional.linear(x, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        q, k, v = (_split(part, self.heads) for part in parts)
        seen = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        mixed: Tensor = self.out_proj(seen.transpose(1, 2).flatten(2))
        return mixed


class TextBlock(nn.Module):
    def __init__(self, sizes: TextSizes) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(sizes.width)
        self.attn = CausalAttention(sizes)
        self.ln_2 = nn.LayerNorm(sizes.width)
        wide, narrow = nn.Linear(sizes.width, sizes.hidden), nn.Linear(sizes.hidden, sizes.width)
        activation = QuickGELU() if sizes.quick_gelu else nn.GELU()
        self.mlp = nn.Sequential(OrderedDict([("c_fc", wide), ("gelu", activation), ("c_proj", narrow)]))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        deeper: Tensor = x + self.mlp(self.ln_2(x))
        return deeper


class TextTower(nn.Module):
    """A causal transformer; a text's vector is what stands at its first end mark."""

    def __init__(self, sizes: TextSizes) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(sizes.vocabulary, sizes.width)
        self.positional_embedding = nn.Parameter(torch.empty(sizes.length, sizes.width))
        blocks = nn.ModuleList(TextBlock(sizes) for _ in range(sizes.layers))
        self.transformer = nn.ModuleDict({"resblocks": blocks})
        self.ln_final = nn.LayerNorm(sizes.width)
        self.text_projection = nn.Parameter(torch.empty(sizes.width, sizes.dimension))

    def forward(self, ids: Tensor) -> Tensor:
        """(n, length) token ids -> (n, D)."""
        return self.project(self.states(self.token_embedding(ids)), ids)

    def states(self, embedded: Tensor) -> Tensor:
        """(n, length, C) tokens without their positions -> (n, length, C), normed; what runs on a text's device."""
        x = embedded + self.positional_embedding
        for block in self.transformer["resblocks"]:  # type: ignore[attr-defined]
            x = block(x)
        normed: Tensor = self.ln_final(x)
        return normed

    def project(self, states: Tensor, ids: Tensor) -> Tensor:
        """(n, length, C), (n, length) -> (n, D), of each row's first end mark: it is the vocabulary's last id."""
        rows = torch.arange(len(ids), device=ids.device)
        return states[rows, ids.argmax(dim=-1)] @ self.text_projection
