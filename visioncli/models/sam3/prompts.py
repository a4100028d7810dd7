"""Prompts to what SAM 3's detector reads of them, each distinct prompt computed once while it stays known.

Knows nothing of pictures, thresholds or tables.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from visioncli.models.runtime import SLOTS
from visioncli.models.steps import step
from visioncli.models.text import LONGEST, TextRecipe

KNOWN = 1024  # prompts; 34 MB at 32 tokens of 256 channels


class Words(NamedTuple):
    """Prompts as the detector reads them, on the device."""

    features: Any  # (P, T, C), in the module's dtype
    real: Any  # (P, T) int64, 1 for a token of the prompt, 0 for padding


class PromptReader:
    """Safe to call from several threads."""

    def __init__(self, tokenizer: TextRecipe, device: str) -> None:
        self._tokenizer = tokenizer
        self._device = device
        self._known: OrderedDict[tuple[str, str], Words] = OrderedDict()
        self._lock = threading.Lock()

    def words(self, module: Any, prompts: Sequence[str]) -> Words:
        """Return the words of P prompts, in order. A prompt's do not depend on those beside it."""
        import torch

        keys = [(str(module.dtype), prompt[:LONGEST]) for prompt in prompts]  # what is read: keys are kept
        with self._lock:
            found = {key: self._known[key] for key in keys if key in self._known}
        found |= self._read(module, [key for key in keys if key not in found])  # unlocked: a device may hang
        self._remember(found)
        return Words(*(torch.cat(part) for part in zip(*(found[key] for key in keys), strict=True)))

    def tokens(self, prompt: str) -> NDArray[np.int64]:
        """(2, T): ids, start and end mark included, padded on the right; then 1 where they are the prompt's own.

        A longer prompt is cut before its end mark.
        """
        recipe = self._tokenizer
        count = len(recipe.start) + len(recipe.read(prompt)) + 1  # with both marks
        return np.stack([recipe.ids(prompt), np.arange(recipe.length) < count])

    def _read(self, module: Any, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Words]:
        """Few at a time, so that a row of the matrix products rounds as it would alone: see `runtime.padded`."""
        import torch

        found: dict[tuple[str, str], Words] = {}
        for first in range(0, len(keys), SLOTS):
            step()
            some = keys[first : first + SLOTS]
            tokens = torch.from_numpy(np.stack([self.tokens(prompt) for _, prompt in some])).to(self._device)
            ids, real = tokens.unbind(1)  # (n, T) each
            features = module.get_text_features(input_ids=ids, attention_mask=real).pooler_output  # (n, T, C)
            found |= {key: Words(features[i : i + 1], real[i : i + 1]) for i, key in enumerate(some)}
        return found

    def _remember(self, words: dict[tuple[str, str], Words]) -> None:
        with self._lock:
            for key, each in words.items():
                self._known[key] = each
                self._known.move_to_end(key)
            while len(self._known) > KNOWN:
                self._known.popitem(last=False)
