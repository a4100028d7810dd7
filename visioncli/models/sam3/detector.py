"""Pictures and prompts to what SAM 3's queries found, on the device: transformers' module, fed economically.

The vision tower sees a batch once; every prompt is then asked of every picture, so many pairs at a time. A pair has a
mask of 288 x 288 for each of 200 queries, 66 MB in float32: only those whose score passes the threshold leave the
device. Knows nothing of files, labels or the original's pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from visioncli.errors import PredictError
from visioncli.models.dual_encoder import is_out_of_memory
from visioncli.models.preprocess import Pixels
from visioncli.models.runtime import PRECISIONS, padded
from visioncli.models.sam3.prompts import PromptReader, Words
from visioncli.models.steps import step
from visioncli.wording import counted

MASK_PIXELS = 2 * 288 * 288  # of one query, over all pairs that are asked at once: two pairs at the real size


@dataclass(frozen=True, slots=True)
class Found:
    """One picture's objects: by prompt, then by query."""

    prompts: NDArray[np.int64]  # (K,), index of the prompt
    scores: NDArray[np.float32]  # (K,), above the threshold
    boxes: NDArray[np.float32]  # (K, 4) x0 y0 x1 y1, fractions of the picture; may lie a little outside
    masks: NDArray[np.float32]  # (K, h, w), logits of the whole picture squashed to the model's mask

    @property
    def nbytes(self) -> int:
        return self.prompts.nbytes + self.scores.nbytes + self.boxes.nbytes + self.masks.nbytes


class Seen(NamedTuple):
    """What the vision tower gave for n pictures, on the device."""

    levels: tuple[Any, ...]  # (n, C, h, w) each, finest first
    positions: Any  # (n, C, h, w), of the coarsest level


class Detector:
    """In the dtype asked for; a picture whose answer is not finite is asked again in wider ones."""

    def __init__(
        self,
        load: Callable[[str], Any],
        normalise: Callable[[Any], Any],
        reader: PromptReader,
        device: str,
        dtype: str,
    ) -> None:
        self._load = load  # dtype -> module on the device
        self._normalise = normalise
        self._reader = reader
        self._device = device
        self._dtypes = PRECISIONS[dtype]
        self._modules: dict[str, Any] = {}

    def ready(self) -> None:
        """Load the weights now. Raises ModelError."""
        self._module(self._dtypes[0])

    def found(self, pixels: Sequence[Pixels], prompts: Sequence[str], threshold: float) -> list[Found | PredictError]:
        """One row per picture (h, w, 3), or PredictError("non_finite") in its place.

        Raises PredictError("out_of_memory") for the batch; what else fails on the device is a RuntimeError.
        """
        import torch

        try:
            with torch.inference_mode():
                return self._found(pixels, prompts, threshold, self._dtypes)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise PredictError(
                "out_of_memory", f"{self._device} has too little memory for {counted(len(pixels), 'picture')}"
            ) from error

    def _found(
        self, pixels: Sequence[Pixels], prompts: Sequence[str], threshold: float, dtypes: Sequence[str]
    ) -> list[Found | PredictError]:
        rows = self._once(pixels, prompts, threshold, dtypes[0])
        lost = [i for i, row in enumerate(rows) if isinstance(row, PredictError)]
        if lost and dtypes[1:]:
            again = self._found([pixels[i] for i in lost], prompts, threshold, dtypes[1:])
            for i, row in zip(lost, again, strict=True):
                rows[i] = row
        return rows

    def _once(
        self, pixels: Sequence[Pixels], prompts: Sequence[str], threshold: float, dtype: str
    ) -> list[Found | PredictError]:
        module = self._module(dtype)
        seen, words = self._see(module, pixels), self._reader.words(module, prompts)
        pairs = [(image, prompt) for image in range(len(pixels)) for prompt in range(len(prompts))]
        height, width = seen.levels[0].shape[-2:]
        size = max(1, MASK_PIXELS // (height * width))
        found: list[list[Found | None]] = [[] for _ in pixels]
        for some in (pairs[n : n + size] for n in range(0, len(pairs), size)):
            step()
            for (image, _), part in zip(some, _passed(_ask(module, seen, words, some), some, threshold), strict=True):
                found[image].append(part)
        return [_together(parts) for parts in found]

    def _see(self, module: Any, pixels: Sequence[Pixels]) -> Seen:
        import torch

        batch = np.stack(list(pixels) + [pixels[-1]] * (padded(len(pixels)) - len(pixels)))
        values = self._normalise(torch.from_numpy(batch).to(self._device)).to(module.dtype)  # (n, 3, h, w)
        features = module.get_vision_features(values)
        # The neck makes a last, coarsest level that Sam3Model.forward leaves out.
        return Seen(features.fpn_hidden_states[:-1], features.fpn_position_encoding[-2])

    def _module(self, dtype: str) -> Any:
        if dtype not in self._modules:
            self._modules[dtype] = self._load(dtype)
        return self._modules[dtype]


def _ask(module: Any, seen: Seen, words: Words, pairs: Sequence[tuple[int, int]]) -> Any:
    """Sam3Model's answers for pairs of picture and prompt, padded as `runtime.padded` says."""
    import torch
    from transformers.modeling_outputs import BaseModelOutputWithPooling
    from transformers.models.sam3.modeling_sam3 import Sam3VisionEncoderOutput

    full = list(pairs) + [pairs[-1]] * (padded(len(pairs)) - len(pairs))
    image, prompt = torch.tensor(full, device=words.real.device).T  # (S,) each
    levels = [level[image] for level in seen.levels]
    vision = Sam3VisionEncoderOutput(  # the model reads all but the last level, and of those the last's positions
        fpn_hidden_states=(*levels, levels[-1]),
        fpn_position_encoding=(seen.positions[image],) * (len(levels) + 1),
    )
    text = BaseModelOutputWithPooling(pooler_output=words.features[prompt])
    return module(vision_embeds=vision, text_embeds=text, attention_mask=words.real[prompt])


def _passed(answers: Any, pairs: Sequence[tuple[int, int]], threshold: float) -> Iterator[Found | None]:
    """For each pair the queries above the threshold, in their order, on the CPU; None where something is not finite.

    A score is sigmoid(logit) * sigmoid(presence): Sam3ImageProcessor.post_process_instance_segmentation.
    """
    count = len(pairs)
    scores = answers.pred_logits[:count].float().sigmoid() * answers.presence_logits[:count].float().sigmoid()  # (S, Q)
    boxes = answers.pred_boxes[:count].float()  # (S, Q, 4) x0 y0 x1 y1
    slot, query = (scores > threshold).nonzero(as_tuple=True)
    masks = answers.pred_masks[slot, query].float()  # (K, h, w)
    finite = (scores.isfinite().all(1) & boxes.isfinite().all(2).all(1)).cpu().numpy()
    kept = [each.cpu().numpy() for each in (scores[slot, query], boxes[slot, query], masks)]
    slots = slot.cpu().numpy()
    for number, (_, prompt) in enumerate(pairs):
        mine = slots == number
        found = Found(np.full(int(mine.sum()), prompt), *(each[mine] for each in kept))
        yield found if finite[number] and np.isfinite(found.masks).all() else None


def _together(parts: Sequence[Found | None]) -> Found | PredictError:
    whole = [part for part in parts if part is not None]
    if len(whole) < len(parts):
        return PredictError("non_finite", "the model answered with NaN or infinity, in every precision tried")
    return Found(
        np.concatenate([part.prompts for part in whole]),
        np.concatenate([part.scores for part in whole]),
        np.concatenate([part.boxes for part in whole]),
        np.concatenate([part.masks for part in whole]),
    )
