"""The double of HailoRT and the HEFs that it takes; see tests/hailo_double."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

DOUBLE = Path(__file__).parents[1] / "hailo_double"


def hef(folder: Path, checkpoint: Path, kind: str = "image", architecture: str = "HAILO10H") -> str:
    path = folder / f"{kind}-{architecture}.hef"
    path.write_text(json.dumps({"kind": kind, "checkpoint": str(checkpoint), "architecture": architecture}))
    return str(path)


@contextmanager
def plugged_in(monkeypatch: Any, **knobs: str) -> Iterator[Any]:
    """The double as `hailo_platform`, new; let go of afterwards."""
    from visioncli.models.hailo.device import release

    monkeypatch.syspath_prepend(DOUBLE)
    for name, value in knobs.items():
        monkeypatch.setenv(f"HAILO_DOUBLE_{name}", value)
    sys.modules.pop("hailo_platform", None)
    import hailo_platform

    try:
        yield hailo_platform
    finally:
        release()
        sys.modules.pop("hailo_platform", None)


def events(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]
