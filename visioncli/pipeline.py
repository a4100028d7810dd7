"""The one loop: references in, one outcome each out, in order, whatever happens to the picture.

    feeder thread -> [remote: one asynchronous client] -> workers: read, hash, decode, preprocess
                  -> device thread: batches in order of arrival -> postprocess thread -> the caller, in order

Bounded in rows and bytes everywhere. Knows nothing of tables, run directories or flags.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from visioncli.flow import Flow
from visioncli.io.decode import DecodeOptions
from visioncli.io.fetch import FetchOptions
from visioncli.meter import Meter
from visioncli.models import Predictor
from visioncli.models.runtime import HailoRequest, RuntimeRequest
from visioncli.samples import Answer, Failure, ImageRef, Kept, Sample

OptionsT = TypeVar("OptionsT")
ResultT = TypeVar("ResultT")
Known: TypeAlias = Callable[[ImageRef, str | None], bool]


@dataclass(frozen=True, slots=True)
class Settings:
    """How to get at the pictures. Nothing here but `decode` changes an answer."""

    fetch: FetchOptions = field(default_factory=FetchOptions)
    decode: DecodeOptions = field(default_factory=DecodeOptions)
    workers: int | None = None  # threads that read and decode; None: one per core, at most 16
    ahead_rows: int = 8192  # how far the newest admitted row may be ahead of the next one to be yielded
    ahead_bytes: int = 256 * 2**20  # of fetched files and prepared inputs that wait
    saving_bytes: int = 2**30  # of results that are made and saved at the same time, as their pictures' sizes tell
    flush_after_s: float = 1.0  # how long a row waits for others to fill its batch while more may come


@dataclass(frozen=True, slots=True)
class Save:
    """What is done with each result on its way out: written as files, say, and returned lighter.

    A row whose result is saved is never answered from an equal picture's: each has files of its own.
    """

    write: Callable[[Sample, Any], Any]  # (sample, result) -> result; called from several threads; raises OutputError
    needs_pixels: bool = False  # whether the sample has its picture then, as it was decoded


def answer(
    refs: Iterable[ImageRef],
    predictor: Predictor[OptionsT, ResultT],
    options: OptionsT,
    settings: Settings | None = None,
    *,
    known: Known | None = None,
    save: Save | None = None,
    stop: threading.Event | None = None,
    meter: Meter | None = None,
) -> Iterator[Answer[ResultT] | Failure | Kept]:
    """Yield exactly one outcome per reference, in order; `Kept` only where `known` said so.

    `known(ref, None)` is asked before anything is read, `known(ref, sha256)` before anything is decoded; it is called
    from several threads. When `stop` is set, what is finished and next in order is yielded, and no more.
    Raises RunError when no further row can be answered; what `refs` raises comes through.
    """
    for burst in bursts(refs, predictor, options, settings, known=known, save=save, stop=stop, meter=meter):
        yield from burst


def bursts(
    refs: Iterable[ImageRef],
    predictor: Predictor[OptionsT, ResultT],
    options: OptionsT,
    settings: Settings | None = None,
    *,
    known: Known | None = None,
    save: Save | None = None,
    stop: threading.Event | None = None,
    meter: Meter | None = None,
) -> Iterator[list[Answer[ResultT] | Failure | Kept]]:
    """`answer`, with the outcomes that are ready at the same time together."""
    flow = Flow(
        refs, predictor, options, settings or Settings(), known, save, stop or threading.Event(), meter or Meter()
    )
    try:
        yield from flow.outcomes()
    finally:
        flow.close()


def load(
    task: str,
    model: str | None = None,
    *,
    revision: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    batch_size: int | None = None,
    offline: bool = False,
    hailo: HailoRequest | None = None,
) -> Predictor[Any, Any]:
    """Return a loaded model for `task` (a key of TASKS); `model` is a hub id, a directory, an alias or `demo`.

    `hailo` goes with the device of that name, and with no other.

    Raises ModelError when it is not there, gated or of an unknown family; HubUnreachableError; DeviceError.
    """
    from visioncli import models
    from visioncli.io import hub

    checkpoint = hub.locate(model or hub.DEFAULTS[task], task, revision, offline)
    return models.load(checkpoint, task, RuntimeRequest(device, dtype, batch_size, hailo=hailo))
