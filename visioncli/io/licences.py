"""What is known beforehand of checkpoints on the hub: short names, defaults, licences, gates. Plain data.

Knows nothing of what is cached, and reaches for nothing. Where a checkpoint was pulled, its model card adds to this.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True)
class Known:
    """A checkpoint with a short name, which this version can run."""

    name: str
    id: str
    family: str  # of models.FAMILIES
    tasks: tuple[str, ...] = ("classify", "embed")


@dataclass(frozen=True, slots=True)
class Terms:
    """What the owners ask for. `licence` is the model card's identifier, or its name where it has none."""

    licence: str | None
    gated: bool = False  # the hub gives the files only to accounts that accepted the licence
    non_commercial: bool = False


KNOWN = (
    Known("siglip2-base-patch16-224", "google/siglip2-base-patch16-224", "siglip"),
    Known("siglip2-base-patch16-512", "google/siglip2-base-patch16-512", "siglip"),
    Known("siglip2-so400m-patch14-384", "google/siglip2-so400m-patch14-384", "siglip"),
    Known("siglip-base-patch16-224", "google/siglip-base-patch16-224", "siglip"),
    Known("siglip-so400m-patch14-384", "google/siglip-so400m-patch14-384", "siglip"),
    Known("clip-vit-base-patch32", "openai/clip-vit-base-patch32", "clip"),
    Known("clip-vit-base-patch16", "openai/clip-vit-base-patch16", "clip"),
    Known("clip-vit-large-patch14", "openai/clip-vit-large-patch14", "clip"),
    Known("clip-resnet-50", "timm/resnet50_clip.openai", "clip_resnet"),
    Known("clip-resnet-101", "timm/resnet101_clip.openai", "clip_resnet"),
    Known("clip-resnet-50x4", "timm/resnet50x4_clip.openai", "clip_resnet"),
    Known("clip-resnet-50x16", "timm/resnet50x16_clip.openai", "clip_resnet"),
    Known("clip-resnet-50x64", "timm/resnet50x64_clip.openai", "clip_resnet"),
    Known("dinov3-vits16", "facebook/dinov3-vits16-pretrain-lvd1689m", "dinov3_vit", ("embed",)),
    Known("dinov3-vitb16", "facebook/dinov3-vitb16-pretrain-lvd1689m", "dinov3_vit", ("embed",)),
    Known("dinov3-vitl16", "facebook/dinov3-vitl16-pretrain-lvd1689m", "dinov3_vit", ("embed",)),
    Known("dinov3-convnext-tiny", "facebook/dinov3-convnext-tiny-pretrain-lvd1689m", "dinov3_convnext", ("embed",)),
    Known("sam3", "facebook/sam3", "sam3", ("segment",)),
    Known("grounding-dino-tiny", "IDEA-Research/grounding-dino-tiny", "grounding-dino", ("detect",)),
    Known("grounding-dino-base", "IDEA-Research/grounding-dino-base", "grounding-dino", ("detect",)),
    Known("da3-small", "depth-anything/DA3-SMALL", "depth_anything3", ("depth",)),
    Known("da3-base", "depth-anything/DA3-BASE", "depth_anything3", ("depth",)),
    Known("da3-large", "depth-anything/DA3-LARGE-1.1", "depth_anything3", ("depth",)),
    Known("da3-giant", "depth-anything/DA3-GIANT-1.1", "depth_anything3", ("depth",)),
    Known("da3mono-large", "depth-anything/DA3MONO-LARGE", "depth_anything3", ("depth",)),
    Known("da3metric-large", "depth-anything/DA3METRIC-LARGE", "depth_anything3", ("depth",)),
    Known("da3nested-giant-large", "depth-anything/DA3NESTED-GIANT-LARGE-1.1", "depth_anything3", ("depth",)),
    Known("depth-anything-v2-small", "depth-anything/Depth-Anything-V2-Small-hf", "depth_anything", ("depth",)),
)

ALIASES: dict[str, str] = {known.name: known.id for known in KNOWN}

DEFAULTS: dict[str, str] = {  # what is asked for: a task, or a part of one that needs another model
    "classify": "google/siglip2-base-patch16-224",
    "embed": "google/siglip2-base-patch16-224",
    "features": "facebook/dinov3-vits16-pretrain-lvd1689m",  # embed --features tokens
    "segment": "facebook/sam3",
    "detect": "IDEA-Research/grounding-dino-tiny",
    "depth": "depth-anything/DA3-BASE",
}

DEMO_LICENCE = "apache-2.0"  # the bundled weights; see models/demo/*/README.md

DEFAULT_COMMITS: dict[str, str] = {}  # hub id -> commit; empty until one has been seen and tested, never guessed

# First match wins; ids are compared in lower case, as the hub does. Sources: the model cards on the hub.
TERMS: tuple[tuple[str, Terms], ...] = (
    ("google/siglip-*", Terms("apache-2.0")),
    ("google/siglip2-*", Terms("apache-2.0")),
    ("openai/clip-*", Terms("mit")),
    ("timm/resnet*_clip.openai", Terms("mit")),
    ("idea-research/grounding-dino-*", Terms("apache-2.0")),
    ("facebook/sam3*", Terms("SAM License", gated=True)),
    ("facebook/dinov3-*", Terms("DINOv3 License", gated=True)),
    ("depth-anything/da3-small", Terms("apache-2.0")),
    ("depth-anything/da3-base", Terms("apache-2.0")),
    ("depth-anything/da3metric-large", Terms("apache-2.0")),
    ("depth-anything/da3mono-large", Terms("apache-2.0")),
    ("depth-anything/depth-anything-v2-small-hf", Terms("apache-2.0")),
    ("depth-anything/depth-anything-v2-metric-*-small-hf", Terms("apache-2.0")),
    ("depth-anything/depth-anything-v2-*", Terms("cc-by-nc-4.0", non_commercial=True)),
    ("depth-anything/da3-large*", Terms("cc-by-nc-4.0", non_commercial=True)),
    ("depth-anything/da3-giant*", Terms("cc-by-nc-4.0", non_commercial=True)),
    ("depth-anything/da3nested-*", Terms("cc-by-nc-4.0", non_commercial=True)),
)


def terms_of(hub_id: str) -> Terms | None:
    """Return what this table says of `hub_id`, or None."""
    return next((terms for pattern, terms in TERMS if fnmatchcase(hub_id.lower(), pattern)), None)


def announcement(hub_id: str, terms: Terms) -> str | None:
    """Return the sentence that a person must see before using `hub_id`, or None where nothing needs saying."""
    licence = terms.licence or "its owner's licence"
    if terms.non_commercial:
        return f"{hub_id} is for non-commercial use only ({licence})"
    if terms.gated:
        return f"{hub_id} is gated: what you may do with it is in its licence ({licence})"
    return None
