"""The sizes of a CLIP whose image tower is a ResNet, from a checkpoint's open_clip_config.json.

Sources: the model cards timm/resnet50_clip.openai and timm/resnet50x4_clip.openai; open_clip 3.3, CLIPVisionCfg and
CLIPTextCfg, whose defaults stand in for what a file leaves out. What would change the network and is not built here is
refused by its name. Knows nothing of torch, weights or pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from visioncli.errors import ModelError

HEAD_WIDTH = 64  # channels of one head of the image tower, where the file does not say
TEXT_DEFAULTS = {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12, "mlp_ratio": 4.0}
PARTS: dict[str, frozenset[str]] = {  # part of model_cfg -> the keys that are read
    "": frozenset({"embed_dim", "quick_gelu", "vision_cfg", "text_cfg"}),
    "vision_cfg": frozenset({"layers", "width", "head_width", "image_size"}),
    "text_cfg": frozenset(TEXT_DEFAULTS),
}
WITHOUT_EFFECT = frozenset(  # on these networks: how they were begun, and settings of towers that they do not have
    {"init_logit_scale", "nonscalar_logit_scale", "output_tokens", "eos_id", "pad_id", "hf_tokenizer_name"}
    | {"timm_pool", "timm_proj", "hf_proj_type", "hf_pooler_type", "hf_model_pretrained", "patch_dropout"}
)
USUAL = {"pool_type": "argmax", "proj_type": "linear"}  # of text_cfg: the only ones that are built


@dataclass(frozen=True, slots=True)
class ImageSizes:
    """The ResNet and the attention that pools it."""

    layers: tuple[int, int, int, int]  # blocks of each stage
    width: int  # channels of the stem; the last stage has 32 times as many
    heads: int
    image_size: int  # pixels of each side
    dimension: int  # D of the vectors

    @property
    def channels(self) -> int:
        return self.width * 32

    @property
    def side(self) -> int:
        """Cells that the last stage is wide and high."""
        return self.image_size // 32


@dataclass(frozen=True, slots=True)
class TextSizes:
    """The causal transformer."""

    length: int  # tokens
    vocabulary: int
    width: int
    heads: int
    layers: int
    hidden: int  # of the feed-forward
    quick_gelu: bool  # OpenAI's approximation of GELU
    dimension: int  # D of the vectors


def sizes_of(config: Mapping[str, Any]) -> tuple[ImageSizes, TextSizes]:
    """Return both towers' sizes from open_clip_config.json. Raises ModelError."""
    try:
        model = config["model_cfg"]
        vision, text = model["vision_cfg"], TEXT_DEFAULTS | _given(model["text_cfg"])
        for part, given in (("", model), ("vision_cfg", vision), ("text_cfg", text)):
            _refuse_others(part, given)
        return _image(vision, model["embed_dim"]), _text(text, model)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"open_clip_config.json is not understood: {error!r}") from error


def _given(part: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in part.items() if value is not None}


def _refuse_others(part: str, given: Mapping[str, Any]) -> None:
    for key, value in given.items():
        if value and key not in PARTS[part] | WITHOUT_EFFECT and USUAL.get(key) != value:
            name = ".".join(filter(None, (part, key)))
            raise ModelError(f"open_clip_config.json has {name} {value!r}, which visioncli does not build")


def _image(vision: Mapping[str, Any], dimension: int) -> ImageSizes:
    first, second, third, fourth = vision["layers"]
    width, head_width, side = vision["width"], vision.get("head_width") or HEAD_WIDTH, vision["image_size"]
    _whole(first, second, third, fourth, width, head_width, side, dimension)
    if width % 2 or width * 32 % head_width or side < 32:
        raise ValueError(f"vision_cfg with width {width}, head_width {head_width}, image_size {side}")
    return ImageSizes((first, second, third, fourth), width, width * 32 // head_width, side, dimension)


def _text(text: Mapping[str, Any], model: Mapping[str, Any]) -> TextSizes:
    length, vocabulary = text["context_length"], text["vocab_size"]
    width, heads, layers, hidden = text["width"], text["heads"], text["layers"], int(text["width"] * text["mlp_ratio"])
    dimension = model["embed_dim"]
    _whole(length, vocabulary, width, heads, layers, hidden, dimension)
    if width % heads:
        raise ValueError(f"text_cfg with width {width}, heads {heads}")
    return TextSizes(length, vocabulary, width, heads, layers, hidden, bool(model.get("quick_gelu")), dimension)


def _whole(*sizes: Any) -> None:
    if not all(type(size) is int and size > 0 for size in sizes):
        raise ValueError(f"a size among {sizes} is no whole number above 0")
