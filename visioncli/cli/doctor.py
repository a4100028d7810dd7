"""`visioncli doctor`: what this machine has, and what follows from what it lacks. No connection unless --online."""

from __future__ import annotations

import json
import os
import platform
import shutil
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import typer

from visioncli.cli.findings import Finding

LIBRARIES = {  # distribution -> what happens without it
    "torch": "no model can run",
    "transformers": "texts cannot be tokenised",
    "safetensors": "no checkpoint can be read",
    "numpy": "nothing can run",
    "pyarrow": "no table can be written",
    "pillow": "no picture can be decoded",
    "pycocotools": "no masks as run lengths",
    "trimesh": "no point clouds",
    "huggingface-hub": "only demo and local directories can be used as --model",
    "hf-xet": "large files come from the hub over plain HTTP, slower",
}
CODECS = {  # format -> Pillow's name of its library; None is always there
    "JPEG": "jpg",
    "PNG": "zlib",
    "GIF": None,
    "BMP": None,
    "WEBP": "webp",
    "TIFF": "libtiff",
    "AVIF": "avif",
}
CPU_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16")  # as /proc/cpuinfo spells them
SIZES = ("memory", "disk for checkpoints", "disk of this folder")  # names whose values are bytes
ONLINE_DEADLINE_S = 10.0


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")] = False,
    online: Annotated[bool, typer.Option("--online", help="Also ask whether the hub can be reached.")] = False,
    hef: Annotated[
        Path | None,
        typer.Option(
            "--hef", metavar="FILE.hef", help="Also try this file on the Hailo devices; exit 1 if it fits none."
        ),
    ] = None,
) -> None:
    """Show what this machine has: devices, dtypes, codecs, versions, folders."""
    from visioncli.cli.doctor_hailo import hailo, hef_findings

    tried = hef_findings(hef) if hef else []
    findings = [*_system(), *_devices(), *hailo(), *tried, *_codecs(), *_libraries(), *_hub(online), *_disks()]
    if as_json:
        print(json.dumps(as_object(findings)))
    else:
        for line in as_text(findings):
            print(line)
    if any(finding.lack for finding in tried):
        raise typer.Exit(1)


def as_object(findings: list[Finding]) -> dict[str, Any]:
    """Return section -> name -> value, and under `lacks` every finding that has a consequence."""
    sections: dict[str, Any] = {}
    for finding in findings:
        sections.setdefault(finding.section, {})[finding.name] = finding.value
    return sections | {"lacks": [asdict(finding) for finding in findings if finding.lack]}


def as_text(findings: list[Finding]) -> list[str]:
    """Return a heading per section, and `name  value; what follows` below it."""
    width = max(len(finding.name) for finding in findings)
    lines: list[str] = []
    section = ""
    for finding in findings:
        if finding.section != section:
            section = finding.section
            lines.append(section)
        said = "; ".join(filter(None, (_shown(finding), finding.lack)))
        lines.append(f"  {finding.name:{width}}  {said}")
    return lines


def _shown(finding: Finding) -> str:
    if isinstance(finding.value, int) and finding.name.endswith(SIZES):
        return f"{finding.value / 1e9:.1f} GB"
    return "no" if finding.value is None else str(finding.value)


def _system() -> list[Finding]:
    limit = _read("/sys/fs/cgroup/memory.max").strip()  # control groups, version 2
    facts: dict[str, str | int | None] = {
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "platform": platform.platform(),
        "cpu": _cpuinfo("model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "usable cores": _usable_cores(),
        "instructions": " ".join(flag for flag in CPU_FLAGS if flag in _cpu_flags()) or None,
        "memory": _memory(),
        "container's memory": int(limit) if limit.isdigit() else None,
    }
    return [Finding("machine", name, value) for name, value in facts.items()]


def _usable_cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _cpuinfo(key: str) -> str:
    lines = _read("/proc/cpuinfo").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == key), "")


def _cpu_flags() -> list[str]:
    return (_cpuinfo("flags") or _cpuinfo("Features")).split()  # x86 says flags, arm64 Features


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _memory() -> int | None:
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):  # not on Windows
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _devices() -> list[Finding]:
    try:
        from visioncli.models.runtime import choose

        chosen = choose()
    except ImportError as error:
        return [Finding("devices", "auto", None, f"{error}; no model can run")]
    settled = {"device": chosen.device, "dtype": chosen.dtype, "batch size": chosen.batch_size}
    auto = [Finding("automatic choices", name, f"{one.value}: {one.reason}") for name, one in settled.items()]
    return [*auto, *(_device(name) for name in ("cpu", *_cuda_names(), "mps"))]


def _cuda_names() -> list[str]:
    """Every CUDA device that is here, or the first, to say that it is not."""
    from visioncli.errors import DeviceError
    from visioncli.models.runtime import choose

    names = ["cuda:0"]
    try:
        while choose(names[-1]):
            names.append(f"cuda:{len(names)}")
    except DeviceError:
        return names[:-1] or names
    return names


def _device(name: str) -> Finding:
    from visioncli.errors import DeviceError
    from visioncli.models.runtime import choose

    try:
        settled = choose(name)
    except DeviceError:
        return Finding("devices", name, None)
    return Finding("devices", name, f"yes, {settled.dtype.value}, batches of {settled.batch_size.value}")


def _codecs() -> list[Finding]:
    from PIL import features

    found = [_codec(name, library, features) for name, library in CODECS.items()]
    heif = _version("pillow-heif")
    lack = None if heif else "HEIC files fail with decode_unsupported_format until pillow-heif is installed"
    return [*found, Finding("codecs", "HEIC", heif and f"pillow-heif {heif}", lack)]


def _codec(name: str, library: str | None, features: Any) -> Finding:
    if library is None:
        return Finding("codecs", name, "yes")
    if not features.check(library):
        return Finding(
            "codecs",
            name,
            None,
            f"{name} files fail with decode_unsupported_format: this Pillow was built without {library}",
        )
    return Finding("codecs", name, f"{library} {features.version(library)}")


def _libraries() -> list[Finding]:
    found = {name: _version(name) for name in LIBRARIES}
    own = Finding("versions", "visioncli", _version("visioncli") or "run from its source folder")
    return [own, *(Finding("versions", name, at, None if at else LIBRARIES[name]) for name, at in found.items())]


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _hub(online: bool) -> list[Finding]:
    from visioncli.io import hub_cache

    found = [
        Finding("hub", "endpoint", hub_cache.endpoint()),
        Finding("hub", "offline", "yes, HF_HUB_OFFLINE is set" if hub_cache.offline() else None),
        Finding("hub", "HF_TOKEN", "set" if os.environ.get("HF_TOKEN") else None),
        Finding("hub", "cache", str(hub_cache.folder())),
    ]
    return [*found, _reached()] if online else found


def _reached() -> Finding:
    from visioncli.io import hub_remote

    reason = hub_remote.why_not_reached(ONLINE_DEADLINE_S)
    lack = f"{reason}; only demo, local directories and what is cached can be used as --model"
    return Finding("hub", "reachable", None if reason else "yes", lack if reason else None)


def _disks() -> list[Finding]:
    from visioncli.io import hub_cache

    folders = {"disk for checkpoints": hub_cache.folder(), "disk of this folder": Path.cwd()}
    return [Finding("free", name, shutil.disk_usage(_existing(path)).free) for name, path in folders.items()]


def _existing(path: Path) -> Path:
    return next(one for one in (path, *path.parents) if one.exists())
