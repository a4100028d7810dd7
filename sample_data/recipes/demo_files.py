"""Write a demo checkpoint's files, whole or not at all: for every family but the first, which has `checkpoint.py`."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from checkpoint import write_sums


def write_whole(out: Path, write: Callable[[Path], None], card: Path) -> None:
    """Let `write` fill a folder beside `out`, add card and SHA256SUMS, then move file by file, the weights last."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        write(Path(folder))
        if card.exists():
            shutil.copyfile(card, Path(folder) / "README.md")
        write_sums(Path(folder))
        for path in sorted(Path(folder).iterdir(), key=lambda path: path.suffix == ".safetensors"):
            path.chmod(0o644)
            os.replace(path, out / path.name)
