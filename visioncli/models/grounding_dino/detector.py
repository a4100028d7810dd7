"""Grounding DINO's network: pixels and texts to places and probabilities, over transformers' module.

The backbone sees a picture once, however many texts are asked; the encoder mixes picture and text, so it runs once a
text. Lower precisions are torch's autocast over float32 weights, which leaves places in float32: measured with small
random weights, the median error of a corner is 0.0009 of a picture's side in bfloat16 and 0.0001 in float16, and 0.0027
and 0.0004 with weights of 16 bits. Knows nothing of thresholds, prompts or the original's pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from visioncli.errors import PredictError
from visioncli.models.phrases import Text
from visioncli.models.preprocess import Recipe
from visioncli.models.steps import step


class Detector:
    """Pixels and texts to places and probabilities; for one thread, the device's."""

    def __init__(self, module: Any, recipe: Recipe, device: str) -> None:
        self._module = module
        self._normalise = _normaliser(recipe, device)
        self.device = device

    def ask(self, dtype: str, pixels: Any, texts: Sequence[Text]) -> Any:
        """(n, h, w, 3) uint8 on the device -> (n, queries, sum of 4 + L over the texts) float32.

        Of each text: centre x and y, width and height, in shares of the picture, then the probability of each token.
        A picture's numbers are the same to the last bit only among as many pictures: see DetectPredictor.
        Raises PredictError for pictures too narrow for the model.
        """
        import torch

        model, values = self._module.model, self._normalise(pixels)
        mask = torch.ones(values.shape[0], *values.shape[2:], dtype=torch.long, device=self.device)
        with torch.autocast(self.device.split(":")[0], getattr(torch, dtype), enabled=dtype != "float32"):
            features, positions = model.backbone(values, mask)
            self._refuse_few_places([feature.shape[-2:] for feature, _ in features], values.shape[-2:])
            with _answering(model.backbone, features, positions):
                return torch.cat([part for text in texts for part in self._read(values, mask, text)], dim=-1)

    def _read(self, values: Any, mask: Any, text: Text) -> tuple[Any, Any]:
        import torch

        step()
        ids = torch.from_numpy(text.ids).to(self.device).expand(len(values), -1)
        out = self._module(pixel_values=values, pixel_mask=mask, input_ids=ids)
        logits = out.logits[..., : len(text.ids)].float()  # the rest is padding
        # An infinite one has overflowed, and its sigmoid would not tell.
        return out.pred_boxes.float(), torch.where(logits.isfinite(), logits.sigmoid(), torch.nan)

    def _refuse_few_places(self, maps: list[tuple[int, int]], size: tuple[int, int]) -> None:
        """Raise PredictError where there are fewer places to look at than the queries take."""
        config = self._module.config
        for _ in range(config.num_feature_levels - len(maps)):
            maps.append(((maps[-1][0] + 1) // 2, (maps[-1][1] + 1) // 2))  # a convolution of stride 2
        places = sum(height * width for height, width in maps)
        if config.two_stage and places < config.num_queries:
            raise PredictError(
                "preprocess_failed",
                f"the picture is so narrow, {size[0]}x{size[1]} as the model sees it, that it has {places} places, "
                f"less than the model's {config.num_queries} queries",
            )


def _normaliser(recipe: Recipe, device: str) -> Callable[[Any], Any]:
    """Return pixels on the device, (n, h, w, 3) uint8 -> (n, 3, h, w) float32, in every bit as transformers has them.

    The model ranks some 20,000 places, gives the best to its queries by rank, and many are nearly equal: a last bit
    decides which query gets which. transformers multiplies by the scale in float64, which a table does on any device.
    """
    import torch

    levels = torch.tensor([level * recipe.scale for level in range(256)], dtype=torch.float32, device=device)
    mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (recipe.mean, recipe.std))
    return lambda pixels: (levels[pixels.permute(0, 3, 1, 2).int()] - mean) / std


@contextmanager
def _answering(backbone: Any, features: Any, positions: Any) -> Iterator[None]:
    """Let the backbone answer what it has answered: it knows nothing of texts, and there may be several."""
    backbone.forward = lambda *_: (features, list(positions))  # the model adds to the positions
    try:
        yield
    finally:
        del backbone.forward
