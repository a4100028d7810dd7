"""How much memory is left on the GPUs. torch is imported by the function, not by the module."""

from __future__ import annotations


def free_gpu_gib() -> float | None:
    """Return what is free on all CUDA devices together, in GiB; None where torch sees none.

    The first call imports torch, which takes seconds.
    """
    import torch

    if not torch.cuda.is_available():
        return None
    return float(sum(torch.cuda.mem_get_info(number)[0] for number in range(torch.cuda.device_count())) / 2**30)
