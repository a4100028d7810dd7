"""depth: one depth map per picture."""

from __future__ import annotations

from typing import Annotated

import typer

from visioncli.cli.given import without
from visioncli.cli.idle import DEPTH, JOB, READING
from visioncli.cli.options import TASK_PANEL, SharedFlags, flag, with_flags
from visioncli.cli.run import Inputs, finish, make_job
from visioncli.cli.values import items
from visioncli.errors import UsageError


@without(*JOB, *DEPTH, *READING)
@with_flags(SharedFlags)
def depth(
    ctx: typer.Context,
    inputs: Inputs = None,
    export: Annotated[
        list[str] | None,
        flag(
            "--export",
            panel=TASK_PANEL,
            metavar="png16,npz,glb,ply,preview",
            help="Files to write for each picture: 16-bit PNG, arrays, point clouds, colours to look at; repeatable. "
            "(default: png16)",
        ),
    ] = None,
    depth_size: Annotated[
        str,
        flag(
            "--depth-size",
            panel=TASK_PANEL,
            metavar="original|model",
            help="The map's pixels: the picture's own, or the fewer that the model gives.",
        ),
    ] = "original",
    focal: Annotated[
        float | None,
        flag(
            "--focal",
            panel=TASK_PANEL,
            metavar="PX",
            help="Focal length in pixels of the picture, for models that give metres. (default: the EXIF's)",
        ),
    ] = None,
    focal_col: Annotated[
        str | None,
        flag(
            "--focal-col", panel=TASK_PANEL, metavar="COLUMN", help="The manifest's column of focal lengths in pixels."
        ),
    ] = None,
    *,
    flags: SharedFlags,
) -> None:
    """One depth map per picture; larger is farther."""
    from visioncli.tasks.depth import DepthOptions

    exports = tuple(dict.fromkeys(items(export or ("png16",), "--export")))
    if not exports:
        raise UsageError("--export names nothing to write")
    options = DepthOptions(exports, depth_size, focal, focal_col)
    finish(ctx, make_job("depth", options, inputs, flags, focal_column=focal_col), flags)
