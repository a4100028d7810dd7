"""What visioncli itself writes beside a table, told by its name: no walk takes it for somebody's pictures.

A name is looked at, never a file's content. Whoever wants such pictures asked about names them: their folder, or each
in a list. Knows nothing of how they are written.
"""

from __future__ import annotations

import os
import re

from visioncli.io.sinks import SUFFIXES

SIDE_FILES, RUN = ".files", ".run"  # behind an output's name: the folder of its side files, and its run directory
OVERLAY = "overlay", "jpg"  # kind and extension of a drawing's name

_DRAWN = os.fsencode(".".join(("", *OVERLAY)))
_ENDINGS = {os.fsencode(ending) for ending in (SIDE_FILES, RUN)}
_OF_FILE = tuple(os.fsencode(suffix) for suffix in SUFFIXES)
_ROW = re.compile(rb".+-[0-9a-f]{24}", re.DOTALL)  # as `side_files.SideFolder.name` makes it


def is_own_folder(parent: bytes, name: bytes) -> bool:
    """Whether `name` in the folder `parent` is an output's: `a.parquet.files`, `a.parquet.run`, or `a.files` and
    `a.run` where `a` beside it is a folder of parts.
    """
    output, ending = os.path.splitext(name)
    return ending in _ENDINGS and (
        output.endswith(_OF_FILE) or os.path.lexists(os.path.join(parent, output, b"_run.json"))
    )


def is_own_file(name: bytes) -> bool:
    """Whether a file of this name is a drawing of --overlay, of this run or of an earlier one."""
    return name.endswith(_DRAWN) and _ROW.fullmatch(name.removesuffix(_DRAWN)) is not None
