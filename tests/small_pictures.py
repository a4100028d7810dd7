"""Small pictures whose bytes are all different, and what is known of them without our code."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image


def jpeg(number: int, side: int = 32) -> bytes:
    """A picture of coarse noise; other bytes for every number."""
    pixels = np.random.default_rng(number).integers(0, 256, (4, 4, 3), np.uint8)
    picture = Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", comment=str(number))
    return buffer.getvalue()


def folder(path: Path, numbers: Iterable[int], side: int = 32) -> Path:
    """Write `jpeg(n)` as `<n>.jpg` with five digits, so that the names sort as the numbers do."""
    path.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (path / f"{number:05d}.jpg").write_bytes(jpeg(number, side))
    return path


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
