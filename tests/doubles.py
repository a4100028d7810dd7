"""An honest predictor, and pictures whose answer is known by construction.

`MeanColour` answers with the mean colour of the picture it was given, so every answer can be checked against the
picture's content; it misbehaves only where its switches say so, and remembers what it saw.
"""

from __future__ import annotations

import io
import os
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from visioncli.errors import PredictError
from visioncli.provenance import ModelInfo
from visioncli.samples import ImageRef, Sample

Colour = tuple[int, int, int]


def colour_of(number: int) -> Colour:
    """Different for numbers below 2**24, and never grey by accident."""
    return number % 256, number // 256 % 256, (97 + number // 65536) % 256


def png(colour: Colour, side: int = 4) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(file, "PNG", compress_level=1)
    return file.getvalue()


def picture(folder: Path, name: str, colour: Colour, side: int = 4) -> bytes:
    """Write a flat picture; return its uri."""
    path = folder / name
    path.write_bytes(png(colour, side))
    return os.fsencode(path)


def refs_of(uris: Sequence[bytes | None]) -> list[ImageRef]:
    return [ImageRef(position, str(position), uri) for position, uri in enumerate(uris)]


def text_ref(position: int, colour: Colour) -> ImageRef:
    return ImageRef(position, str(position), None, {"text": ",".join(map(str, colour))})


@dataclass
class MeanColour:
    batch_size: int = 8
    poison: frozenset[Colour] = frozenset()  # fails in `forward`, and with it its batch
    overflows: frozenset[Colour] = frozenset()  # its output is not finite
    refused: dict[Colour, Exception] = field(default_factory=dict)  # raised by `preprocess`
    memory_rows: int | None = None  # more rows than this do not fit
    broken_from: int | None = None  # number of the call to `forward` from which the device is broken
    forward_s: float = 0.0
    only_corner: bool = False  # keep one pixel of the picture: `forward` costs nothing
    gate: threading.Event | None = None  # `forward` waits for it
    batches: list[list[Colour]] = field(default_factory=list)  # what each call to `forward` was given
    decode_size: tuple[int, int] | None = None

    @property
    def info(self) -> ModelInfo:
        return ModelInfo("mean-colour", "none", "double", "mean/1", 3, "cpu", "float64", self.batch_size)

    @property
    def seen(self) -> Counter[Colour]:
        """How many batches held each colour: padding repeats a row within its batch."""
        return Counter(colour for batch in self.batches for colour in set(batch))

    def check(self, options: None) -> None:
        """Every option suits a double."""

    def preprocess(self, sample: Sample, options: None) -> NDArray[np.uint8]:
        """Return the pixels, (H, W, 3); of a row without a picture, the one pixel its text names."""
        if sample.image is None:
            return np.array([[str(sample.ref.extra["text"]).split(",")]], dtype=np.uint8)
        if self.refused and (colour := _mean(sample.image)) in self.refused:
            raise self.refused[colour]
        return sample.image[:1, :1] if self.only_corner else sample.image

    def prepare(self, options: None) -> None:
        pass

    def forward(self, inputs: Sequence[NDArray[np.uint8]], options: None) -> list[Colour | PredictError]:
        if self.gate is not None:
            self.gate.wait(20)
        time.sleep(self.forward_s)
        colours = [_mean(pixels) for pixels in np.stack(inputs)]
        self.batches.append(colours)
        if self.broken_from is not None and len(self.batches) > self.broken_from:
            raise RuntimeError("the device is gone\nand will not come back")
        if self.memory_rows is not None and len(inputs) > self.memory_rows:
            raise PredictError("out_of_memory", f"{len(inputs)} rows do not fit")
        if self.poison & set(colours):
            raise RuntimeError("an illegal memory access was encountered")
        return [PredictError("non_finite", "NaN") if colour in self.overflows else colour for colour in colours]

    def postprocess(self, outputs: Sequence[Colour], samples: Sequence[Sample], options: None) -> list[Colour]:
        assert len(outputs) == len(samples)
        return list(outputs)

    def batch_key(self, options: None, inputs: NDArray[np.uint8]) -> tuple[int, ...]:
        return inputs.shape


def _mean(pixels: NDArray[np.uint8]) -> Colour:
    red, green, blue = pixels.reshape(-1, 3).mean(axis=0).round().astype(int).tolist()
    return red, green, blue
