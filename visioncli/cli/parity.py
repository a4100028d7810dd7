"""parity: does another device, or another precision, give the same answers?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from visioncli.cli.given import announce, without
from visioncli.cli.hailo_options import DeviceTimeout, Hef, TextEmbeddings, TextHef, requested
from visioncli.cli.idle import HAILO, PARITY, READING
from visioncli.cli.options import Dtype, ReadFlags, flag, with_flags
from visioncli.cli.run import Inputs, listing_options, settings
from visioncli.cli.summary_file import refuse_unusable_summary, write_summary
from visioncli.cli.values import auto_or_count, items
from visioncli.errors import UsageError
from visioncli.wording import counted

if TYPE_CHECKING:
    from visioncli.jobs import Job
    from visioncli.models.runtime import HailoRequest, RuntimeRequest
    from visioncli.parity import Parity, Seen
    from visioncli.provenance import Checkpoint
    from visioncli.samples import ImageRef

Side: TypeAlias = tuple[str, str]  # device and dtype

_WHAT, _MODEL, _SAY = "What is compared", "Model", "What is said"


@dataclass(frozen=True)
class ParityFlags(ReadFlags):
    """Flags of parity."""

    device: Annotated[
        list[str] | None,
        flag(
            "--device",
            panel=_WHAT,
            metavar="DEVICE[:DTYPE]",
            help="Given twice: the one that is right, and the one that is tried; cpu:float32, cuda:0:float16, hailo.",
        ),
    ] = None
    labels: Annotated[
        list[str] | None,
        flag(
            "--labels",
            "-l",
            panel=_WHAT,
            metavar="A,B,C|@FILE",
            help="Count the pictures whose best label changes; repeatable. (default: whose nearest neighbour changes)",
        ),
    ] = None
    tolerance: Annotated[
        float,
        flag("--tolerance", panel=_WHAT, min=0, max=2, help="Largest 1 - cosine of two vectors; beyond it exit 3."),
    ] = 0.01
    model: Annotated[
        str | None, flag("--model", "-m", panel=_MODEL, metavar="ID|DIR|ALIAS|demo", help="A model that embeds.")
    ] = None
    revision: Annotated[
        str | None, flag("--revision", panel=_MODEL, metavar="REVISION", help="Branch, tag or commit of the hub id.")
    ] = None
    batch_size: Annotated[
        str, flag("--batch-size", panel=_MODEL, metavar="auto|N", help="Pictures per forward pass.")
    ] = "auto"
    offline: Annotated[bool, flag("--offline", panel=_MODEL, help="Never reach for the model hub.")] = False
    hef: Hef = None
    text_hef: TextHef = None
    text_embeddings: TextEmbeddings = None
    device_timeout_ms: DeviceTimeout = None
    summary: Annotated[
        str | None, flag("--summary", panel=_SAY, metavar="FILE.json", help="Write the comparison as JSON.")
    ] = None
    quiet: Annotated[bool, flag("--quiet", "-q", panel=_SAY, help="Only warnings and errors beside the result.")] = (
        False
    )


@without(*HAILO, *PARITY, *READING)
@with_flags(ParityFlags)
def parity(ctx: typer.Context, inputs: Inputs = None, *, flags: ParityFlags) -> None:
    """Compare two devices, or two precisions of one: the same pictures through both, their vectors side by side.

    Exit 3 when a distance is beyond --tolerance, or a picture was not answered.
    """
    from visioncli.cli import console
    from visioncli.jobs.checks import fetch, refuse_unusable, resolve
    from visioncli.models.runtime import RuntimeRequest, is_hailo
    from visioncli.parity import compare

    console.set_up(flags.quiet, verbose=False)
    announce(ctx)
    refuse_unusable_summary(flags.summary, "-", inputs or ())
    sides = _two(flags.device or [])
    files = _files(flags, sides)
    batch_size = auto_or_count(flags.batch_size, "--batch-size")
    job = _job(inputs, flags)
    refuse_unusable(job)
    model = resolve(job)
    refs = _refs(job)
    requests = [
        RuntimeRequest(device, dtype, batch_size, len(refs), files if is_hailo(device) else None)
        for device, dtype in sides
    ]
    checkpoint = fetch(model)
    first, second = (_seen(*side, checkpoint, job, refs) for side in zip(flags.device or [], requests, strict=True))
    found = compare([ref.id for ref in refs], first, second)
    for line in _sentences(found, flags.tolerance):
        print(line)
    if flags.summary:
        write_summary(found.to_json(), flags.summary)
    if found.deviation > flags.tolerance or any(found.failed.values()):
        raise typer.Exit(3)


def _two(devices: list[str]) -> list[Side]:
    """Raises UsageError."""
    from visioncli.models.runtime import refuse_unknown_device

    if len(devices) != 2 or devices[0] == devices[1]:
        raise UsageError("--device is needed twice, and not the same: --device cpu:float32 --device cpu:bfloat16")
    found = []
    for text in devices:
        device, _, dtype = text.rpartition(":")
        named = (device, dtype) if dtype in list(Dtype) and device else (text, "auto")
        refuse_unknown_device(named[0])
        found.append(named)
    return found


def _files(flags: ParityFlags, sides: list[Side]) -> HailoRequest | None:
    """Return what a Hailo accelerator runs, where there is one. Raises UsageError."""
    from visioncli.models.runtime import is_hailo, refuse_half_a_hailo

    files = requested(flags.hef, flags.text_hef, flags.text_embeddings, flags.device_timeout_ms)
    devices = [device for device, _ in sides]
    refuse_half_a_hailo(next(filter(is_hailo, devices), devices[0]), files)
    return files


def _job(inputs: list[str] | None, flags: ParityFlags) -> Job:
    """Return what both sides do. Raises UsageError."""
    from visioncli.jobs import Job
    from visioncli.tasks.classify import ClassifyOptions
    from visioncli.tasks.embed import EmbedOptions

    labels = ClassifyOptions(items(flags.labels, "--labels"), top_k=1) if flags.labels else None
    return Job(
        "embed" if labels is None else "classify",
        EmbedOptions() if labels is None else labels,
        output="-",
        inputs=tuple(inputs or ()),
        model=flags.model,
        revision=flags.revision,
        offline=flags.offline,
        listing=listing_options(flags),
        settings=settings(flags),
        limit=flags.limit,
    )


def _refs(job: Job) -> list[ImageRef]:
    """Raises UsageError."""
    from visioncli.io.listing import refs
    from visioncli.jobs import Stop
    from visioncli.jobs.listings import announce_remarks, survey_job
    from visioncli.tables import look_up
    from visioncli.tasks import TASKS

    listing = survey_job(job, look_up(TASKS, job.task, "task"), Stop())  # Ctrl-C ends a comparison as it ends Python
    found: list[ImageRef] = []
    for batch in listing.batches(limit=job.limit):
        found += refs(batch, len(found))
    announce_remarks(listing)
    return found


def _seen(device: str, request: RuntimeRequest, checkpoint: Checkpoint, job: Job, refs: list[ImageRef]) -> Seen:
    from functools import partial

    from visioncli import models
    from visioncli.parity import look

    load = partial(models.load, checkpoint, job.task, request)
    return look(device, load, refs, job.options if job.task == "classify" else None, job.settings)


def _sentences(found: Parity, tolerance: float) -> list[str]:
    speed = [f"{device}: {rate:,.1f} images/s" for device, rate in found.images_per_s.items()]
    failed = [
        f"{device}: {count} failed with {code}"
        for device, codes in found.failed.items()
        for code, count in codes.items()
    ]
    if found.cosine_min is None:
        return [*speed, *failed, f"none of {counted(found.rows, 'row')} was answered by both"]
    cosines = f"min {found.cosine_min:.6f}, median {found.cosine_median:.6f}, max {found.cosine_max:.6f}"
    named = f" ({', '.join(found.flipped)}{', ...' if found.flips > len(found.flipped) else ''})" if found.flips else ""
    within = "within" if found.deviation <= tolerance else "beyond"
    return [
        *speed,
        *failed,
        f"{found.compared:,} of {counted(found.rows, 'row')} compared; cosine {cosines}",
        f"largest deviation {found.deviation:.2e} at {found.worst}, {within} the tolerance of {tolerance:g}",
        f"{found.flips:,} of {found.compared:,} {found.top_1} changed{named}",
    ]
