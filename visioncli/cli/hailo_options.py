"""The flags of a Hailo accelerator, for the commands that a compiled picture tower can answer.

Knows nothing of HailoRT.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from visioncli.cli.options import SharedFlags, flag
from visioncli.errors import UsageError

if TYPE_CHECKING:
    from visioncli.models.runtime import HailoRequest

PANEL = "Hailo (--device hailo)"

Hef = Annotated[
    str | None,
    flag("--hef", panel=PANEL, metavar="FILE.hef", help="The model's picture tower, compiled for the device."),
]
TextHef = Annotated[
    str | None,
    flag(
        "--text-hef",
        panel=PANEL,
        metavar="FILE.hef",
        help="Its text tower (Hailo-10H, 15H). (default: the model's own, on the CPU)",
    ),
]
TextEmbeddings = Annotated[
    str | None,
    flag(
        "--text-embeddings",
        panel=PANEL,
        metavar="FILE.json",
        help="Texts with their vectors, computed before, in place of a text tower.",
    ),
]
DeviceTimeout = Annotated[
    int | None,
    flag("--device-timeout-ms", panel=PANEL, min=1, help="How long the device may take for a picture. (default: 5000)"),
]


@dataclass(frozen=True)
class HailoFlags(SharedFlags):
    """Flags of the commands that a HEF can answer."""

    hef: Hef = None
    text_hef: TextHef = None
    text_embeddings: TextEmbeddings = None
    device_timeout_ms: DeviceTimeout = None


def requested(
    hef: str | None, text_hef: str | None, text_embeddings: str | None, timeout_ms: int | None, frames: int = 1
) -> HailoRequest | None:
    """Return what the flags ask of the device, None where they ask nothing. Raises UsageError."""
    from visioncli.models.runtime import DEVICE_TIMEOUT_MS, HailoRequest

    if hef is None:
        others = {"--text-hef": text_hef, "--text-embeddings": text_embeddings, "--device-timeout-ms": timeout_ms}
        for name, value in others.items():
            if value is not None:
                raise UsageError(f"{name} needs --device hailo with --hef FILE.hef")
        return None
    return HailoRequest(hef, text_hef, text_embeddings, timeout_ms or DEVICE_TIMEOUT_MS, frames)


def hailo_of(flags: SharedFlags, task: str) -> HailoRequest | None:
    """As `requested`, of a command's flags. Raises UsageError for a task that no HEF answers."""
    from visioncli.models.runtime import is_hailo

    if isinstance(flags, HailoFlags):
        return requested(flags.hef, flags.text_hef, flags.text_embeddings, flags.device_timeout_ms)
    if is_hailo(flags.device):
        raise UsageError(f"--device hailo can classify and embed, not {task}")
    return None
