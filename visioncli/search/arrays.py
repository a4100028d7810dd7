"""Python's texts and numpy's numbers as Arrow arrays, and back, without pandas.

pyarrow's own `array` and `scalar` import pandas to ask whether they were given some: 0.14 s, a quarter of a search.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa


def texts(values: Sequence[str]) -> pa.Array:
    """Return strings; what is no UTF-8 (a lone surrogate) shows as an escape."""
    import pyarrow as pa

    whole = [value.encode("utf-8", "backslashreplace") for value in values]
    ends = np.cumsum([0, *map(len, whole)], dtype=np.int32)
    return pa.Array.from_buffers(pa.string(), len(whole), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(whole))])


def matrix(lists: pa.FixedSizeListArray) -> NDArray[Any]:
    """Return (n, width) of what n lists hold; of a null, whatever lies there."""
    width = lists.type.list_size
    values = lists.values.slice(lists.offset * width, len(lists) * width)
    found: NDArray[Any] = values.to_numpy(zero_copy_only=False).reshape(len(lists), width)
    return found


def numbers(values: NDArray[Any]) -> pa.Array:
    """Return (n,) int32 or float32."""
    import pyarrow as pa

    kind = {"int32": pa.int32(), "float32": pa.float32()}[str(values.dtype)]
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])
