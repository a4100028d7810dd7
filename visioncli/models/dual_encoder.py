"""Pictures and texts to vectors of one space: two towers, or the picture's alone, loaded when first needed.

A row's vector does not depend on its neighbours, on its slot or on the labels beside it.
Knows nothing of tasks, scores or tables.
"""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from visioncli.errors import ModelError, PredictError
from visioncli.models.preprocess import Recipe
from visioncli.models.runtime import PRECISIONS, Runtime, padded
from visioncli.models.steps import step
from visioncli.provenance import Checkpoint, ModelInfo
from visioncli.wording import counted

Vector = NDArray[np.float32]  # (D,), or (T, C) where tokens were asked for; finite, not normalised

TEXT_BATCH = 8  # always whole, so that a label's vector is the same whatever labels stand beside it
TEXT_CACHE = 16_384  # vectors; 50 MB at 768 dimensions


class Encodes(Protocol):
    """What turns rows into vectors, wherever it runs."""

    def ready(self) -> None:
        """Load what is needed now. Raises ModelError, DeviceError."""

    def vectors(self, rows: Sequence[NDArray[Any]]) -> list[Vector | PredictError]:
        """One vector per row, or a PredictError in its place. Rows are of one shape."""


class Tokenizer(Protocol):
    def ids(self, text: str) -> NDArray[np.int64]:
        """(length,) what the text's tower reads."""


class Tower:
    """Rows to vectors, in the dtype asked for; a row that overflows is tried again in wider ones."""

    def __init__(self, load: Callable[[str], Any], run: Callable[[Any, Any], Any], device: str, dtype: str) -> None:
        self._load = load  # dtype -> module on the device
        self._run = run  # module, rows on the device -> (n, D), or (n, T, C) for tokens
        self._device = device
        self._dtypes = PRECISIONS[dtype]
        self._modules: dict[str, Any] = {}

    def ready(self) -> None:
        """Load the weights now. Raises ModelError."""
        self._module(self._dtypes[0])

    def read_by(self, run: Callable[[Any, Any], Any]) -> Tower:
        """Return a tower that shares this one's weights and takes something else from what they give."""
        other = copy.copy(self)
        other._run = run
        return other

    def vectors(self, rows: Sequence[NDArray[Any]]) -> list[Vector | PredictError]:
        """One vector per row, or PredictError("non_finite") in its place. Rows are of one shape.

        Raises PredictError("out_of_memory") for the batch; what else fails on the device is a RuntimeError.
        """
        batch = np.stack(list(rows) + [rows[-1]] * (padded(len(rows)) - len(rows)))
        found = self._forward(batch, self._dtypes[0])
        for dtype in self._dtypes[1:]:
            lost = ~np.isfinite(found).all(axis=tuple(range(1, found.ndim)))
            if not lost.any():
                break
            found[lost] = self._forward(batch, dtype)[lost]
        return [checked(vector) for vector in found[: len(rows)]]

    def _forward(self, batch: NDArray[Any], dtype: str) -> NDArray[np.float32]:
        import torch

        try:
            with torch.inference_mode():
                rows = torch.from_numpy(batch).to(self._device)
                vectors: NDArray[np.float32] = self._run(self._module(dtype), rows).float().cpu().numpy()
                return vectors
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise PredictError(
                "out_of_memory", f"{self._device} has too little memory for {counted(len(batch), 'row')}"
            ) from error

    def _module(self, dtype: str) -> Any:
        if dtype not in self._modules:
            self._modules[dtype] = self._load(dtype)
        return self._modules[dtype]


def normaliser(recipe: Recipe, device: str) -> Callable[[Any], Any]:
    """Return pixels on the device, (n, h, w, 3) uint8 -> (n, 3, h, w) float32, as the image tower wants them."""
    import torch

    mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (recipe.mean, recipe.std))
    return lambda pixels: (pixels.permute(0, 3, 1, 2).float() * recipe.scale - mean) / std


def checked(vector: Vector) -> Vector | PredictError:
    """Return the vector if all of it is finite, else the row's error."""
    if np.isfinite(vector).all():
        return vector
    return PredictError("non_finite", "the model answered with NaN or infinity, in every precision tried")


def is_out_of_memory(error: RuntimeError) -> bool:
    import torch

    # CUDA has a class for it, MPS and the CPU's allocator have only words.
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, torch.OutOfMemoryError) or any(each in str(error) for each in words)


@dataclass(kw_only=True)
class ImageEncoder:
    """A picture's tower. Safe to call from several threads."""

    info: ModelInfo
    recipe: Recipe
    image: Encodes  # (n, D)
    tokens: Encodes | None = None  # (n, T, C), `info.token_shape`; None: the model has none

    def ready(self, need_image: bool, need_text: bool) -> None:
        """Load now what is needed and here, so that what is missing is known before any picture is read.

        Raises ModelError.
        """
        if need_image:
            self.image.ready()


@dataclass(kw_only=True)
class DualEncoder(ImageEncoder):
    """What SigLIP and CLIP have in common: a text's tower beside the picture's, in one space."""

    text: Encodes
    read_tokenizer: Callable[[], Tokenizer]
    scale: float  # logit = cosine * scale + bias
    bias: float | None  # None: not trained to be read as probabilities one by one
    _known: OrderedDict[bytes, Vector | PredictError] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _tokenizer: Tokenizer | None = None

    def ready(self, need_image: bool, need_text: bool) -> None:
        super().ready(need_image, need_text)
        if need_text:
            self.tokenizer  # noqa: B018
            self.text.ready()

    @property
    def tokenizer(self) -> Tokenizer:
        if self._tokenizer is None:
            self._tokenizer = self.read_tokenizer()
        return self._tokenizer

    def texts(self, ids: Sequence[NDArray[np.int64]]) -> list[Vector | PredictError]:
        """One vector per text, each distinct text computed once while it stays among the last TEXT_CACHE."""
        keys = [row.tobytes() for row in ids]
        with self._lock:
            known = {key: self._known[key] for key in keys if key in self._known}
        unknown = {key: row for key, row in zip(keys, ids, strict=True) if key not in known}
        known |= self._computed(unknown)  # unlocked: a device may hang
        self._remember(known)
        return [known[key] for key in keys]

    def _computed(self, texts: dict[bytes, NDArray[np.int64]]) -> dict[bytes, Vector | PredictError]:
        keys, rows = list(texts), list(texts.values())
        found: list[Vector | PredictError] = []
        for first in range(0, len(rows), TEXT_BATCH):
            step()
            chunk = rows[first : first + TEXT_BATCH]
            found += self.text.vectors(chunk + [chunk[-1]] * (TEXT_BATCH - len(chunk)))[: len(chunk)]
        return dict(zip(keys, found, strict=True))

    def _remember(self, vectors: dict[bytes, Vector | PredictError]) -> None:
        with self._lock:
            for key, vector in vectors.items():
                self._known[key] = vector
                self._known.move_to_end(key)
            while len(self._known) > TEXT_CACHE:
                self._known.popitem(last=False)


def unit(vector: NDArray[Any]) -> NDArray[Any]:
    """The last axis divided by its length; a zero vector stays zero."""
    length = np.linalg.norm(vector, axis=-1, keepdims=True)
    return vector / np.where(length == 0, 1, length)


def fitting(recipe: Recipe, image_size: int | Sequence[int], checkpoint: Checkpoint) -> Recipe:
    """Return `recipe` where it gives what the image tower has positions for. Raises ModelError otherwise."""
    wanted = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    if recipe.size == wanted:
        return recipe
    raise ModelError(
        f"{checkpoint.id} sees {wanted[0]}x{wanted[1]} pixels, but its preprocessor_config.json "
        f"gives {recipe.size[0]}x{recipe.size[1]}"
    )


def patches(size: tuple[int, int], side: int | Sequence[int]) -> int:
    """Return how many whole patches of `side` pixels (or a height and a width) a picture of `size` has."""
    height, width = (side, side) if isinstance(side, int) else side
    return (size[0] // height) * (size[1] // width)


def described(
    checkpoint: Checkpoint, recipe: Recipe, dimension: int, runtime: Runtime, token_shape: tuple[int, int] | None
) -> ModelInfo:
    """Return what is known of the model, for the metadata of what it answers."""
    return ModelInfo(
        id=checkpoint.id,
        commit=checkpoint.commit,
        family=recipe.family,
        recipe=recipe.name,
        dimension=dimension,
        device=runtime.device.value,
        dtype=runtime.dtype.value,
        batch_size=runtime.batch_size.value,
        choices={"device": runtime.device, "dtype": runtime.dtype, "batch_size": runtime.batch_size},
        token_shape=token_shape,
    )
