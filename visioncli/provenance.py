"""What produced an answer: a checkpoint, a model, and the choices made on the user's behalf."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OPEN_CLIP_CONFIG, OPEN_CLIP = "open_clip_config.json", "open_clip_model.safetensors"
PREPROCESSORS = ("preprocessor_config.json", "processor_config.json")  # of which transformers' layout has one


def is_open_clip(names: Iterable[str]) -> bool:
    """Say whether a checkpoint of these files is in open_clip's layout alone; one that is in transformers' too is not.

    A config.json and model.safetensors beside it are timm's: the image tower by itself, which no family reads.
    """
    there = set(names)
    return OPEN_CLIP_CONFIG in there and there.isdisjoint(PREPROCESSORS)


@dataclass(frozen=True, slots=True)
class Choice:
    """An automatic choice with its reason, shown by --verbose and kept in the output's metadata."""

    value: Any
    reason: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A directory in the hub's file layout, and where it came from."""

    id: str  # as it is known: hub id, `demo`, or the directory's name
    directory: Path
    commit: str  # hub commit, or `files:<fingerprint>` for a local directory
    licence: str | None = None
    notice: str | None = None  # one sentence to show before any image is read (gated, non-commercial)


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is known of a loaded model."""

    id: str
    commit: str
    family: str
    recipe: str  # names the pre- and post-processing, with its version: `siglip/1 64x64 bicubic`
    dimension: int  # width of the embedding
    device: str
    dtype: str
    batch_size: int
    choices: dict[str, Choice] = field(default_factory=dict)
    token_shape: tuple[int, int] | None = None  # (tokens, channels) of a picture's last hidden state, where it has one
    files: dict[str, str] = field(default_factory=dict)  # what was read besides the checkpoint: name -> SHA-256

    @property
    def resolved(self) -> dict[str, Any]:
        """What changes an answer's numbers and is known only when the model is loaded."""
        return {"dtype": self.dtype, "batch_size": self.batch_size, "recipe": self.recipe, **self.files}

    @property
    def embedding_space(self) -> str:
        """Vectors are comparable only within one space; many models share a dimension."""
        return f"{self.id}@{self.commit}/{self.recipe}"

    def lines(self) -> Iterator[str]:
        """Yield what a person may want to know of it, each automatic choice with its reason."""
        yield f"model: {self.id} at {self.commit}, {self.family}"
        yield f"recipe: {self.recipe}"
        for name, value in (("device", self.device), ("dtype", self.dtype), ("batch_size", self.batch_size)):
            if name not in self.choices:
                yield f"{name.replace('_', ' ')}: {value}"
        for name, choice in self.choices.items():
            yield f"{name.replace('_', ' ')}: {choice.value} ({choice.reason})"
        for name, digest in self.files.items():
            yield f"{name}: SHA-256 {digest}"
