"""Products of many vectors with many others on a torch device. Knows nothing of what they are compared for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from visioncli.errors import UsageError
from visioncli.models.runtime import choose, is_hailo

Found = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]


def reaching(device: str) -> Callable[[NDArray[np.float32], NDArray[np.float32], float], Found]:
    """Return f(left, right, least) -> the rows, columns and values of left @ right.T that reach `least`.

    In float32 without TF32's shorter numbers. Raises DeviceError for a device that is not here, UsageError for a name
    that is none.
    """
    if is_hailo(device):
        raise UsageError("a Hailo device does not compare vectors: leave --device out, or name a GPU")
    import torch

    where = choose(device, "float32", 1).device.value
    torch.backends.cuda.matmul.allow_tf32 = False

    def found(left: NDArray[np.float32], right: NDArray[np.float32], least: float) -> Found:
        product = torch.from_numpy(left).to(where) @ torch.from_numpy(right).to(where).T
        rows, columns = torch.nonzero(product >= least, as_tuple=True)
        return rows.cpu().numpy(), columns.cpu().numpy(), product[rows, columns].cpu().numpy()

    return found
