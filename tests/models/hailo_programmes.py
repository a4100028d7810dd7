"""The double of HailoRT and the HEFs that it takes; see tests/hailo_double."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

DOUBLE = Path(__file__).parents[1] / "hailo_double"


def hef(
    folder: Path, checkpoint: Path, kind: str = "image", architecture: str = "HAILO10H", is_whole: bool = True
) -> str:
    path = folder / f"{kind}-{architecture}.hef"
    content = {"kind": kind, "checkpoint": str(checkpoint), "architecture": architecture, "is_whole": is_whole}
    path.write_text(json.dumps(content))
    return str(path)


@contextmanager
def plugged_in(monkeypatch: Any, **knobs: str) -> Iterator[Any]:
    """The double as `hailo_platform`, new; let go of afterwards."""
    from visioncli.models.hailo.device import release

    monkeypatch.syspath_prepend(DOUBLE)
    for name, value in knobs.items():
        monkeypatch.setenv(f"HAILO_DOUBLE_{name}", value)
    _forget()
    import hailo_platform

    try:
        yield hailo_platform
    finally:
        release()
        _forget()


def _forget() -> None:
    """All of it but the networks, which stay loaded."""
    for name in [name for name in sys.modules if re.match(r"hailo_platform(\.pyhailort|$)", name)]:
        del sys.modules[name]


def events(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]
