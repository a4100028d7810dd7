"""The one loop: references in, one outcome each out, in order, whatever happens to the picture.

    feeder thread -> [remote: one asynchronous client] -> workers: read, hash, decode, preprocess
                  -> device thread: batches in order of arrival -> postprocess thread -> the caller, in order

Bounded in rows and bytes everywhere. Knows nothing of tables, run directories or flags.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable
from contextlib import closing
from typing import Any, TypeVar

from visioncli.flow import Flow
from visioncli.meter import Meter
from visioncli.models import Predictor
from visioncli.models.runtime import HailoRequest, RuntimeRequest
from visioncli.reading import Known
from visioncli.samples import Answer, Failure, ImageRef, Kept
from visioncli.settings import Save, Settings

__all__ = ["Known", "Save", "Settings", "answer", "bursts", "load"]

OptionsT = TypeVar("OptionsT")
ResultT = TypeVar("ResultT")


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
) -> Generator[Answer[ResultT] | Failure | Kept, None, None]:
    """Yield exactly one outcome per reference, in order; `Kept` only where `known` said so.

    `known(ref, None)` is asked before anything is read, `known(ref, sha256)` before anything is decoded; it is called
    from several threads. When `stop` is set, what is finished and next in order is yielded, and no more.
    Raises RunError when no further row can be answered; what `refs` raises comes through. Its threads end with it:
    `close` it where it is left early.
    """
    together = bursts(refs, predictor, options, settings, known=known, save=save, stop=stop, meter=meter)
    with closing(together):
        for burst in together:
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
) -> Generator[list[Answer[ResultT] | Failure | Kept], None, None]:
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
