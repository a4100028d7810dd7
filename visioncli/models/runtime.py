"""Device, precision and batch size, each with the reason for it.

Knows nothing of checkpoints, pictures or tasks. torch is imported by the functions, not by the module.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from typing import Any

from visioncli.errors import DeviceError, UsageError
from visioncli.provenance import Choice
from visioncli.wording import counted

DTYPES = ("float32", "bfloat16", "float16")

PRECISIONS = {  # what is tried, in order, while a row's answer is not finite
    "float16": ("float16", "bfloat16", "float32"),  # float16 ends at 65,504, the other two near 3e38
    "bfloat16": ("bfloat16", "float32"),
    "float32": ("float32",),
}

CPU_BATCH = 8  # the smallest batch within the noise of the fastest; see `_batch_size`
CUDA_BATCHES = ((8, 64), (3, 16), (0, 4))  # (free GiB at least, batch)
MPS_BATCH = 16
# Between two batches the device runs empty for about 10 ms. Measured with the double at 10 ms a picture on two busy
# cores: idle for 5 % of the time with 16, 1 % with 64. A bad picture is found by halving, in two steps more.
HAILO_BATCH = 64
DEVICE_TIMEOUT_MS = 5000  # as the Hailo service documents it
SLOTS = 4  # see `padded`
ASKED, RESUMED = "asked for", "as the unfinished run"
SETTLED = (ASKED, RESUMED)  # reasons of a batch size that no model changes


@dataclass(frozen=True, slots=True)
class RuntimeRequest:
    """What was asked for; "auto" and None leave the choice to `choose`."""

    device: str = "auto"  # auto | cpu | cuda | cuda:<n> | mps | hailo | hailo:<n>
    dtype: str = "auto"  # auto or one of DTYPES
    batch_size: int | None = None
    rows: int | None = None  # how many rows will be asked in all, where that is known
    hailo: HailoRequest | None = None  # for that device, and for no other
    resumes: bool = False  # `batch_size` is that of the run that is resumed: nobody asked for one


@dataclass(frozen=True, slots=True)
class HailoRequest:
    """Which compiled networks a Hailo accelerator runs, and where the vectors of texts come from."""

    hef: str  # path of the picture tower
    text_hef: str | None = None  # path of the text tower
    text_embeddings: str | None = None  # path of a JSON of vectors in its place; neither: the checkpoint's, on the CPU
    timeout_ms: int = DEVICE_TIMEOUT_MS
    frames: int = 1  # pictures a job

    def __post_init__(self) -> None:
        if self.text_hef is not None and self.text_embeddings is not None:
            raise UsageError("--text-hef and --text-embeddings exclude each other")
        if self.timeout_ms < 1 or self.frames < 1:
            raise UsageError("a Hailo device's time-out and batch are at least 1")


@dataclass(frozen=True, slots=True)
class Runtime:
    device: Choice  # "cpu" | "cuda:<n>" | "mps" | "hailo" | "hailo:<n>"
    dtype: Choice  # one of DTYPES, or HEF
    batch_size: Choice  # a positive int


def choose(
    device: str = "auto",
    dtype: str = "auto",
    batch_size: int | None = None,
    rows: int | None = None,
    resumes: bool = False,
) -> Runtime:
    """Settle what was left open.

    Raises DeviceError for a device that is not here, UsageError for a name or number that is none.
    """
    _spin_briefly()
    where = _device(device)
    return Runtime(where, _dtype(where.value, dtype), _batch_size(where.value, batch_size, rows, resumes))


def _spin_briefly() -> None:
    """Let torch's threads give their core away when they wait for one another; works before torch is imported.

    They spin by default (GNU OpenMP), and whatever else wants a core, our own decoding for one, then makes every small
    operation wait for the scheduler: measured on two cores beside one busy process, the demo model at batch 8 ran at
    23 images/s with the default and at 334 with this. An environment that says otherwise is left as it is.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def for_pixels(runtime: Runtime, pixels: int) -> Runtime:
    """The same runtime for a model that sees `pixels` a picture: an automatic batch holds no more pixels than before.

    Automatic batches are meant for 224 x 224 pixels. A batch size that was asked for, or is a resumed run's, stays.
    """
    chosen = runtime.batch_size
    fitting = _power_of_two(max(1, chosen.value * 224 * 224 // pixels) + 1) // 2
    if chosen.reason in SETTLED or fitting >= chosen.value:
        return runtime
    reason = f"{chosen.reason}; pictures of {pixels / 1e6:.2g} million pixels"
    return replace(runtime, batch_size=Choice(fitting, reason))


def padded(rows: int) -> int:
    """How many rows a forward pass is given for `rows` rows, so that a row's answer does not depend on its slot.

    torch's float32 matrix products on a CPU round alike in every slot for 1 to 4 rows and for multiples of 4, and
    otherwise not (measured: SigLIP B/16 and CLIP B/32 at 2 to 12 threads; a tiny model on 3 or 6 threads keeps
    differences near 1e-6 that no padding of reasonable size removes).
    """
    return rows if rows <= SLOTS else -(-rows // SLOTS) * SLOTS


def refuse_unknown_device(asked: str) -> None:
    """Raise UsageError for a name that is no device's, here or elsewhere; needs no torch."""
    if not re.fullmatch(r"auto|cpu|mps|(cuda|hailo)(:[0-9]+)?", asked):
        raise UsageError(f"unknown device {asked!r}; known: auto, cpu, cuda, cuda:<n>, mps, hailo, hailo:<n>")


def is_hailo(device: str) -> bool:
    """Whether it runs compiled networks, and so needs to be told which."""
    return device.partition(":")[0] == "hailo"


def refuse_half_a_hailo(device: str, files: HailoRequest | None) -> None:
    """Raise UsageError for that device without its files, and for its files without the device."""
    if is_hailo(device) and files is None:
        raise UsageError("--device hailo needs --hef FILE.hef, the model's picture tower compiled for it")
    if files is not None and not is_hailo(device):
        raise UsageError("--hef needs --device hailo")


def _device(asked: str) -> Choice:
    import torch

    refuse_unknown_device(asked)
    if asked == "auto":
        return _best_device(torch)
    if asked == "cpu":
        return Choice("cpu", ASKED)
    if is_hailo(asked):
        return Choice(asked, ASKED)  # whether it is here is HailoRT's to say
    if asked == "mps":
        if not torch.backends.mps.is_available():
            raise DeviceError("mps was asked for, but this torch sees no Apple GPU; use --device cpu")
        return Choice("mps", ASKED)
    return _cuda(torch, int(asked.partition(":")[2] or 0))


def _best_device(torch: Any) -> Choice:
    if torch.cuda.is_available():
        return Choice("cuda:0", f"the first CUDA device, {torch.cuda.get_device_name(0)}")
    if torch.backends.mps.is_available():
        return Choice("mps", "no CUDA device; this is an Apple GPU")
    return Choice("cpu", f"no CUDA device; {torch.get_num_threads()} threads")


def _cuda(torch: Any, number: int) -> Choice:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        raise DeviceError("cuda was asked for, but this torch sees no CUDA device; use --device cpu")
    if number >= count:
        raise DeviceError(f"cuda:{number} was asked for, but the devices here are cuda:0 to cuda:{count - 1}")
    return Choice(f"cuda:{number}", ASKED)


def _dtype(device: str, asked: str) -> Choice:
    if is_hailo(device):
        if asked != "auto":
            raise UsageError(
                "--dtype has no effect on --device hailo: a HEF's numbers were settled when it was compiled"
            )
        return Choice("hef", "as it was quantised when it was compiled")
    if asked != "auto":
        if asked not in DTYPES:
            raise UsageError(f"unknown dtype {asked!r}; known: auto, {', '.join(DTYPES)}")
        return Choice(asked, ASKED)
    if device.startswith("cuda"):
        return Choice("float16", "CUDA; rows that overflow are done again in bfloat16, then float32")
    if device == "mps":
        return Choice("float32", "MPS gains little from 16 bits at these sizes, and float32 needs no second try")
    return _cpu_dtype()


def _cpu_dtype() -> Choice:
    """bfloat16 only where it is in the hardware: emulated, it is slower than float32."""
    import torch

    able = torch.cpu.get_capabilities()
    for flag, name in (("amx_bf16", "AMX-BF16"), ("avx512_bf16", "AVX512-BF16")):
        if able.get(flag):
            return Choice("bfloat16", f"the CPU has {name}")
    return Choice("float32", "the CPU has neither AVX512-BF16 nor AMX-BF16")


def _batch_size(device: str, asked: int | None, rows: int | None, resumes: bool) -> Choice:
    if asked is not None:
        if asked < 1:
            raise UsageError("the batch size must be at least 1")
        return Choice(asked, RESUMED if resumes else ASKED)
    best = _best_batch(device)
    if rows is not None and _power_of_two(rows) < best.value:
        return Choice(_power_of_two(rows), f"{counted(rows, 'row')} in all")
    return best


def _best_batch(device: str) -> Choice:
    if device == "mps":
        return Choice(MPS_BATCH, "MPS")
    if is_hailo(device):
        return Choice(HAILO_BATCH, "4 on their way at a time; the device runs empty once a batch")
    if device == "cpu":
        return Choice(CPU_BATCH, "a CPU is no faster with more, and needs more memory")
    import torch

    free_gib = torch.cuda.mem_get_info(device)[0] / 2**30
    batch = next(batch for least, batch in CUDA_BATCHES if free_gib >= least)
    return Choice(batch, f"{free_gib:.0f} GiB free on {device}")


def _power_of_two(rows: int) -> int:
    """The smallest power of two that is at least `rows`, and at least 1."""
    return 1 << max(rows - 1, 0).bit_length()
