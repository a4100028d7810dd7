"""The demo's depth network before its training, and the files of its checkpoint.

The first four blocks are those of the bundled SigLIP's vision tower: the same up to the width of the feed forward and
an approximation of GELU. All others are fresh. Knows nothing of landscapes or losses.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from checkpoint import DEMO as SIGLIP
from checkpoint import write_json
from demo_files import write_whole
from depth_pool import PATCH, PROCESS_SIZE, TRAINED_SIZE
from safetensors.torch import load_file, save_file
from torch import nn
from train_dinov3 import start_patches
from transformers import SiglipModel

from visioncli.models.depth_anything3.architecture import BLOCK, Architecture
from visioncli.models.depth_anything3.network import build
from visioncli.models.depth_anything3.weights import PREFIX

CARD = Path(__file__).parent / "depth_card.md"
NAME = "da3-demo"
SIZES = Architecture(
    width=128,
    depth=8,
    heads=4,
    out_layers=(1, 3, 5, 7),
    features=32,
    out_channels=(24, 48, 96, 128),
    alternate_from=4,
    patch=PATCH,
    trained_size=TRAINED_SIZE,
    process_size=PROCESS_SIZE,
)
TYPICAL = 1.65  # logarithm of metres: about the middle of the landscapes' depth
TYPICAL_VIEW = 0.9  # radians


def start_block(block: nn.Module, layer: nn.Module) -> None:
    """A block that computes what SigLIP's layer does; the feed forward's further units start at no effect."""
    attention, units = layer.self_attn, layer.mlp.fc1.out_features
    block.norm1.load_state_dict(layer.layer_norm1.state_dict())
    block.norm2.load_state_dict(layer.layer_norm2.state_dict())
    parts = (attention.q_proj, attention.k_proj, attention.v_proj)
    block.attn.qkv.weight.copy_(torch.cat([part.weight for part in parts]))
    block.attn.qkv.bias.copy_(torch.cat([part.bias for part in parts]))
    block.attn.proj.load_state_dict(attention.out_proj.state_dict())
    block.mlp.fc1.weight[:units].copy_(layer.mlp.fc1.weight)
    block.mlp.fc1.bias[:units].copy_(layer.mlp.fc1.bias)
    block.mlp.fc2.weight.zero_()
    block.mlp.fc2.weight[:, :units].copy_(layer.mlp.fc2.weight)
    block.mlp.fc2.bias.copy_(layer.mlp.fc2.bias)


def start_camera(camera: nn.Module) -> None:
    """A camera that did not move and has the typical view."""
    for layer, says in (
        (camera.fc_t, [0, 0, 0]),
        (camera.fc_qvec, [0, 0, 0, 1]),
        (camera.fc_fov[0], [TYPICAL_VIEW] * 2),
    ):
        layer.weight.zero_()
        layer.bias.copy_(torch.tensor(says, dtype=torch.float32))


@torch.no_grad()
def build_network(start: Path = SIGLIP) -> nn.Module:
    """The network before training, the first blocks those of the SigLIP at `start`."""
    siglip = SiglipModel.from_pretrained(start, local_files_only=True, dtype=torch.float32).vision_model
    network = build([SIZES])
    backbone = network.backbone["pretrained"]
    start_patches(backbone.patch_embed.proj, siglip.embeddings.patch_embedding)
    backbone.pos_embed[0, 1:] = siglip.embeddings.position_embedding.weight
    for block, layer in zip(backbone.blocks, siglip.encoder.layers, strict=False):
        start_block(block, layer)
    for parameter in (backbone.cls_token, backbone.camera_token):
        nn.init.trunc_normal_(parameter, std=0.02)
    network.head.scratch["output_conv2"][2].bias.copy_(torch.tensor([TYPICAL, 1.0]))
    start_camera(network.cam_dec)
    return network


def load_network(folder: Path) -> nn.Module:
    """The network of a checkpoint that `save` wrote, in float32."""
    network = build([SIZES])
    tensors = load_file(folder / "model.safetensors")
    network.load_state_dict({name.removeprefix(PREFIX): tensor.float() for name, tensor in tensors.items()})
    return network


def save(network: nn.Module, out: Path) -> None:
    """The checkpoint in the layout of Depth Anything 3's, the weights in float16."""

    def write(folder: Path) -> None:
        tensors = {PREFIX + name: tensor.half().contiguous() for name, tensor in network.state_dict().items()}
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        write_json(folder / "config.json", {"model_name": NAME, BLOCK: dataclasses.asdict(SIZES)})

    write_whole(out, write, CARD)
