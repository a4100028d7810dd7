"""How much memory is left on the GPUs, and giving back what is not needed. No module imports torch for it."""

from __future__ import annotations

import ctypes
import sys


def give_back() -> None:
    """Give the system the memory that was freed; glibc keeps it else, where later pieces lie behind it.

    Takes some hundredths of a second, for which other threads' allocations wait. Does nothing beside other C libraries.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def free_gpu_gib() -> float | None:
    """Return what is free on all CUDA devices together, in GiB; None where torch sees none.

    The first call imports torch, which takes seconds.
    """
    import torch

    if not torch.cuda.is_available():
        return None
    return float(sum(torch.cuda.mem_get_info(number)[0] for number in range(torch.cuda.device_count())) / 2**30)
