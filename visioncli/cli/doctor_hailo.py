"""What `visioncli doctor` says of Hailo accelerators, and which of them a HEF fits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from visioncli.cli.findings import Finding
from visioncli.errors import VisioncliError

HAILO, TRIED = "hailo", "hef"


def hailo() -> list[Finding]:
    """Return the library and each device, or why there is none; opens nothing for longer than it takes to ask."""
    from visioncli.models.hailo.device import found, library

    try:
        version = Finding(HAILO, "HailoRT", library().__version__)
    except VisioncliError as error:
        return [Finding(HAILO, "HailoRT", None, str(error))]
    try:
        devices = found()
    except VisioncliError as error:
        return [version, Finding(HAILO, "devices", None, str(error))]
    named = [
        Finding(HAILO, f"hailo:{number}", f"{device}, serial number {device.serial}")
        for number, device in enumerate(devices)
    ]
    return [version, *(named or [Finding(HAILO, "devices", None)])]


def hef_findings(path: Path) -> list[Finding]:
    """Return what the file takes and gives, and whether each device takes it; one that does is enough."""
    from visioncli.models.hailo.device import by, layout

    if not path.is_file():
        return [Finding(TRIED, "file", None, f"--hef: {path} is not there")]
    try:
        shapes = layout(path)
    except VisioncliError as error:
        return [Finding(TRIED, "file", None, str(error))]
    return [
        Finding(TRIED, "file", str(path)),
        Finding(TRIED, "input", f"{shapes.input_name} {by(shapes.input_shape)}"),
        Finding(TRIED, "output", f"{shapes.output_name} {by(shapes.output_shape)}"),
        *_fits(path),
    ]


def _fits(path: Path) -> list[Finding]:
    from visioncli.models.hailo.device import found

    try:
        count = len(found())
    except VisioncliError:
        count = 0  # opening says why
    tried = [_fit(path, number) for number in range(max(1, count))]
    if any(finding.lack is None for finding in tried):
        tried = [replace(one, value=one.value or f"no, {one.lack}", lack=None) for one in tried]
    return tried if count > 1 else [replace(tried[0], name="fits")]


def _fit(path: Path, number: int) -> Finding:
    from visioncli.models.hailo.device import held, release
    from visioncli.models.hailo.programme import Programme

    name = f"fits hailo:{number}"
    try:
        device = held(number)
        Programme(device, path, "UINT8", 1, 1000).ready()
        return Finding(TRIED, name, f"yes, {device.device}")
    except VisioncliError as error:
        return Finding(TRIED, name, None, str(error))
    finally:
        release()
