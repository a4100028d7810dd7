"""The two towers on the device, in the shape that `dual_encoder` asks for.

Pictures go in as they are, uint8 RGB: the normalisation is in the HEF, and it gives (1, 1, D). A text HEF (Hailo-10H)
begins after the table of token embeddings and ends before the projection: (1, 77, W) in and out, both float32, with the
positions' embeddings and the last normalisation inside. The table and the projection are the checkpoint's. What the
causal tower sees right of the end mark does not matter; it gets the end mark's embedding, as in Hailo's model zoo.

Knows nothing of HailoRT.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visioncli.errors import DeviceError, ModelError, PredictError
from visioncli.models.dual_encoder import Vector, checked
from visioncli.models.hailo.device import Layout, by
from visioncli.models.hailo.programme import Programme
from visioncli.models.text import TextRecipe
from visioncli.models.weights import tensor_files
from visioncli.provenance import Checkpoint

TABLES = ("text_model.embeddings.token_embedding.weight", "token_embedding.weight")  # (V, W); transformers, OpenAI
PROJECTIONS = {"text_projection.weight": True, "text_projection": False}  # whether it is transposed: (D, W), (W, D)


class ImageFrames:
    """Pictures of the HEF's size to vectors."""

    def __init__(self, programme: Programme) -> None:
        self._programme = programme

    def ready(self) -> None:
        """Raises ModelError, DeviceError."""
        self._programme.ready()

    def vectors(self, rows: Sequence[NDArray[Any]]) -> list[Vector | PredictError]:
        """One vector per row; a row that is repeated (a batch that was padded) is computed once.

        Raises RuntimeError when the device failed on one of the rows, DeviceError when it answers no more.
        """
        distinct = list({id(row): row for row in rows}.values())
        places = {id(row): place for place, row in enumerate(distinct)}
        found = self._programme.run(distinct)
        return [checked(found[places[id(row)]]) for row in rows]


class TextFrames:
    """Token ids to vectors, each distinct row once."""

    def __init__(self, programme: Programme, words: Words) -> None:
        self._programme, self._words = programme, words

    def ready(self) -> None:
        """Raises ModelError, DeviceError."""
        self._programme.ready()

    def vectors(self, rows: Sequence[NDArray[np.int64]]) -> list[Vector | PredictError]:
        """Raises DeviceError: no picture is to blame for a text."""
        distinct = {row.tobytes(): row for row in rows}
        try:
            outputs = self._programme.run([self._words.embedded(row) for row in distinct.values()])
        except RuntimeError as error:
            raise DeviceError(f"the Hailo device failed on a text: {error}") from error
        found = {
            key: checked(self._words.projected(row, output))
            for (key, row), output in zip(distinct.items(), outputs, strict=True)
        }
        return [found[row.tobytes()] for row in rows]


class Words:
    """What of the text tower is not in the HEF: the table before it, the projection behind it."""

    def __init__(self, table: NDArray[np.float32], projection: NDArray[np.float32], end: int) -> None:
        self._table, self._projection, self._end = table, projection, end  # (V, W), (W, D)

    def embedded(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """(length,) -> (length, W)"""
        filled = ids.copy()
        filled[self._place(ids) :] = self._end
        return self._table[filled]

    def projected(self, ids: NDArray[np.int64], states: NDArray[np.float32]) -> NDArray[np.float32]:
        """(length * W,) -> (D,), from the first end mark's position."""
        state = states.reshape(len(ids), -1)[self._place(ids)]
        vector: NDArray[np.float32] = state @ self._projection
        return vector

    def _place(self, ids: NDArray[np.int64]) -> int:
        return int(np.argmax(ids == self._end))


def read_words(checkpoint: Checkpoint, texts: TextRecipe, layout: Layout, path: Path, dimension: int) -> Words:
    """Read the table and the projection. Raises ModelError where they are not there or do not fit the HEF."""
    files = tensor_files(checkpoint)
    names = next((name for name in TABLES if name in files), None), next((n for n in PROJECTIONS if n in files), None)
    table_name, projection_name = names
    if table_name is None or projection_name is None:
        raise ModelError(
            f"{checkpoint.id} has no text tower of CLIP's kind, which a text HEF needs; leave --text-hef out"
        )
    table, projection = _tensor(files[table_name], table_name), _tensor(files[projection_name], projection_name)
    projection = projection.T if PROJECTIONS[projection_name] else projection
    width = table.shape[1]
    shape = 1, texts.length, width
    if layout.input_shape != shape or layout.output_shape != shape or projection.shape != (width, dimension):
        raise ModelError(
            f"{path.name} is not the text tower of {checkpoint.id}: it takes {by(layout.input_shape)} and gives "
            f"{by(layout.output_shape)}, where the checkpoint's texts are {by(shape)}"
        )
    return Words(table, np.ascontiguousarray(projection), texts.end)


def _tensor(path: Path, name: str) -> NDArray[np.float32]:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        found: NDArray[np.float32] = file.get_tensor(name).float().numpy()
        return found
