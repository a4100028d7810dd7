"""open_clip_config.json's account of the preprocessing -> a recipe. Knows nothing of weights, decoding or tasks.

Source: open_clip 3.3, PreprocessCfg and image_transform_v2, which are torchvision's Resize and CenterCrop on Pillow.
One deviation: open_clip resizes a palette picture by its nearest colours and makes RGB of it then; here, as everywhere
in visioncli, a picture is RGB before anything else happens to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from visioncli.errors import ModelError
from visioncli.models.preprocess import DEFAULTS, Recipe

FAMILY = "clip_resnet"
FILTERS = {"bicubic": 3, "bilinear": 2}  # Pillow's numbers
USUAL = {
    "interpolation": "bicubic",
    "resize_mode": "shortest",
    "mode": "RGB",
    "mean": DEFAULTS["CLIP"]["image_mean"],
    "std": DEFAULTS["CLIP"]["image_std"],
}


def recipe_of(config: Mapping[str, Any], image_size: int) -> Recipe:
    """Read `preprocess_cfg` for a tower that sees `image_size` pixels a side.

    Raises ModelError, which names the setting.
    """
    given = USUAL | {key: value for key, value in (config.get("preprocess_cfg") or {}).items() if value is not None}
    _refuse_others(given, image_size)
    shortest_edge = image_size if given["resize_mode"] == "shortest" else None
    mean, std = _colours(given, "mean"), _colours(given, "std")
    size, resample = (image_size, image_size), FILTERS[given["interpolation"]]
    return Recipe(FAMILY, size, shortest_edge, resample, 1 / 255, mean, std, half_to_even=True)


def _refuse_others(given: Mapping[str, Any], image_size: int) -> None:
    known: dict[str, list[Any]] = {
        "interpolation": list(FILTERS),
        "resize_mode": ["shortest", "squash"],  # "longest" pads
        "mode": ["RGB"],
        "size": [image_size, [image_size, image_size]],
    }
    for key, values in known.items():
        if key in given and given[key] not in values:
            said = " or ".join(map(str, values))
            raise ModelError(f"open_clip_config.json has preprocess_cfg.{key} {given[key]!r}; it must be {said}")


def _colours(given: Mapping[str, Any], key: str) -> tuple[float, float, float]:
    try:
        red, green, blue = given[key]
        return float(red), float(green), float(blue)
    except (TypeError, ValueError) as error:
        raise ModelError(f"open_clip_config.json has preprocess_cfg.{key} {given[key]!r}: not three numbers") from error
