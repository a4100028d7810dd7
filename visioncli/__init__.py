"""visioncli turns pictures into tables: a row in, a row out, in order, whatever happens to the picture.

The library, complete without the command line (each name is imported when it is first used):

    predictor = visioncli.load("embed", "demo")
    for outcome in visioncli.answer(refs, predictor, visioncli.EmbedOptions()): ...
    summary = visioncli.run(visioncli.Job("embed", visioncli.EmbedOptions(), "out.parquet", ("photos/",)))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from visioncli.tables import look_up

if TYPE_CHECKING:
    from visioncli.errors import (
        DecodeError,
        DeviceError,
        ErrorRateError,
        FetchError,
        HubUnreachableError,
        InterruptedRunError,
        LockHeldError,
        ModelError,
        NotNowError,
        OutOfTimeError,
        OutputError,
        PredictError,
        ReaderLeftError,
        RowError,
        RunError,
        SourceError,
        UsageError,
        VisioncliError,
    )
    from visioncli.io.decode import DecodeOptions
    from visioncli.io.fetch import FetchOptions
    from visioncli.io.listing import ListingOptions
    from visioncli.jobs.job import Device, Job, Policy, Progress, Stop
    from visioncli.jobs.rows import record_batches
    from visioncli.jobs.steps import run, steps
    from visioncli.jobs.summary import Summary
    from visioncli.models.runtime import HailoRequest
    from visioncli.pipeline import answer, load
    from visioncli.samples import Answer, Facts, Failure, ImageRef
    from visioncli.settings import Settings
    from visioncli.tasks.classify import ClassifyOptions, Labelled
    from visioncli.tasks.depth import DepthMap, DepthOptions
    from visioncli.tasks.detect import DetectOptions
    from visioncli.tasks.embed import Embedded, EmbedOptions
    from visioncli.tasks.objects import Objects
    from visioncli.tasks.segment import SegmentOptions

_NAMES = {
    "Answer": "visioncli.samples:Answer",
    "ClassifyOptions": "visioncli.tasks.classify:ClassifyOptions",
    "DecodeError": "visioncli.errors:DecodeError",
    "DecodeOptions": "visioncli.io.decode:DecodeOptions",
    "DepthMap": "visioncli.tasks.depth:DepthMap",
    "DepthOptions": "visioncli.tasks.depth:DepthOptions",
    "DetectOptions": "visioncli.tasks.detect:DetectOptions",
    "Device": "visioncli.jobs:Device",
    "DeviceError": "visioncli.errors:DeviceError",
    "EmbedOptions": "visioncli.tasks.embed:EmbedOptions",
    "Embedded": "visioncli.tasks.embed:Embedded",
    "ErrorRateError": "visioncli.errors:ErrorRateError",
    "Facts": "visioncli.samples:Facts",
    "Failure": "visioncli.samples:Failure",
    "FetchError": "visioncli.errors:FetchError",
    "FetchOptions": "visioncli.io.fetch:FetchOptions",
    "HailoRequest": "visioncli.models.runtime:HailoRequest",
    "HubUnreachableError": "visioncli.errors:HubUnreachableError",
    "ImageRef": "visioncli.samples:ImageRef",
    "InterruptedRunError": "visioncli.errors:InterruptedRunError",
    "Job": "visioncli.jobs:Job",
    "Labelled": "visioncli.tasks.classify:Labelled",
    "ListingOptions": "visioncli.io.listing:ListingOptions",
    "LockHeldError": "visioncli.errors:LockHeldError",
    "ModelError": "visioncli.errors:ModelError",
    "NotNowError": "visioncli.errors:NotNowError",
    "Objects": "visioncli.tasks.objects:Objects",
    "OutOfTimeError": "visioncli.errors:OutOfTimeError",
    "OutputError": "visioncli.errors:OutputError",
    "Policy": "visioncli.jobs:Policy",
    "PredictError": "visioncli.errors:PredictError",
    "Progress": "visioncli.jobs:Progress",
    "ReaderLeftError": "visioncli.errors:ReaderLeftError",
    "RowError": "visioncli.errors:RowError",
    "RunError": "visioncli.errors:RunError",
    "SegmentOptions": "visioncli.tasks.segment:SegmentOptions",
    "Settings": "visioncli.settings:Settings",
    "SourceError": "visioncli.errors:SourceError",
    "Stop": "visioncli.jobs:Stop",
    "Summary": "visioncli.jobs:Summary",
    "UsageError": "visioncli.errors:UsageError",
    "VisioncliError": "visioncli.errors:VisioncliError",
    "answer": "visioncli.pipeline:answer",
    "load": "visioncli.pipeline:load",
    "record_batches": "visioncli.jobs.rows:record_batches",
    "run": "visioncli.jobs.steps:run",
    "steps": "visioncli.jobs.steps:steps",
}
__all__ = [
    "Answer",
    "ClassifyOptions",
    "DecodeError",
    "DecodeOptions",
    "DepthMap",
    "DepthOptions",
    "DetectOptions",
    "Device",
    "DeviceError",
    "EmbedOptions",
    "Embedded",
    "ErrorRateError",
    "Facts",
    "Failure",
    "FetchError",
    "FetchOptions",
    "HailoRequest",
    "HubUnreachableError",
    "ImageRef",
    "InterruptedRunError",
    "Job",
    "Labelled",
    "ListingOptions",
    "LockHeldError",
    "ModelError",
    "NotNowError",
    "Objects",
    "OutOfTimeError",
    "OutputError",
    "Policy",
    "PredictError",
    "Progress",
    "ReaderLeftError",
    "RowError",
    "RunError",
    "SegmentOptions",
    "Settings",
    "SourceError",
    "Stop",
    "Summary",
    "UsageError",
    "VisioncliError",
    "answer",
    "load",
    "record_batches",
    "run",
    "steps",
]


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'visioncli' has no attribute {name!r}")
    return look_up(_NAMES, name, "name")


def __dir__() -> list[str]:
    return sorted(_NAMES)
