"""segment and detect: what the pictures show, and where."""

from __future__ import annotations

from typing import Annotated

import typer

from visioncli.cli.given import without
from visioncli.cli.idle import JOB, READING
from visioncli.cli.options import TASK_PANEL, SharedFlags, flag, with_flags
from visioncli.cli.run import Inputs, finish, make_job
from visioncli.cli.values import items
from visioncli.errors import UsageError

Prompts = Annotated[
    list[str] | None,
    flag(
        "--prompts",
        "-p",
        panel=TASK_PANEL,
        metavar="A,B,C|@FILE",
        help="What to look for; @FILE has one a line; repeatable.",
    ),
]
Overlay = Annotated[
    str | None,
    flag("--overlay", panel=TASK_PANEL, metavar="DIR", help="Also draw what was found on each picture that is asked."),
]


@without(*JOB, *READING)
@with_flags(SharedFlags)
def segment(
    ctx: typer.Context,
    inputs: Inputs = None,
    prompts: Prompts = None,
    threshold: Annotated[
        float, flag("--threshold", panel=TASK_PANEL, min=0, max=1, help="Objects with a lower score are left out.")
    ] = 0.5,
    mask_threshold: Annotated[
        float,
        flag("--mask-threshold", panel=TASK_PANEL, min=0, max=1, help="A pixel belongs to the mask above this."),
    ] = 0.5,
    resolve_overlaps: Annotated[
        bool, flag("--resolve-overlaps", panel=TASK_PANEL, help="Give each pixel to one object, the best-scoring.")
    ] = False,
    masks: Annotated[
        str,
        flag(
            "--masks",
            panel=TASK_PANEL,
            metavar="rle|polygons|png",
            help="COCO run lengths, outlines, or a PNG file per object.",
        ),
    ] = "rle",
    overlay: Overlay = None,
    *,
    flags: SharedFlags,
) -> None:
    """Instance masks for text prompts."""
    from visioncli.tasks.segment import SegmentOptions

    options = SegmentOptions(_asked(prompts), threshold, mask_threshold, resolve_overlaps, masks)
    finish(ctx, make_job("segment", options, inputs, flags, overlay=overlay), flags)


@without(*JOB, *READING)
@with_flags(SharedFlags)
def detect(
    ctx: typer.Context,
    inputs: Inputs = None,
    prompts: Prompts = None,
    box_threshold: Annotated[
        float, flag("--box-threshold", panel=TASK_PANEL, min=0, max=1, help="Boxes with a lower score are left out.")
    ] = 0.4,
    text_threshold: Annotated[
        float,
        flag("--text-threshold", panel=TASK_PANEL, min=0, max=1, help="A word belongs to the phrase above this."),
    ] = 0.3,
    nms: Annotated[
        float | None,
        flag(
            "--nms",
            panel=TASK_PANEL,
            min=0,
            max=1,
            metavar="IOU",
            help="Of two boxes of one label that overlap more, the lesser goes. (default: all stay)",
        ),
    ] = None,
    overlay: Overlay = None,
    *,
    flags: SharedFlags,
) -> None:
    """Boxes for text prompts."""
    from visioncli.tasks.detect import DetectOptions

    options = DetectOptions(_asked(prompts), box_threshold, text_threshold, nms)
    finish(ctx, make_job("detect", options, inputs, flags, overlay=overlay), flags)


def _asked(prompts: list[str] | None) -> tuple[str, ...]:
    asked = items(prompts or (), "--prompts")
    if not asked:
        raise UsageError("--prompts is needed: --prompts 'person,car' or --prompts @prompts.txt")
    return asked
