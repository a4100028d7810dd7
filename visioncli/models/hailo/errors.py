"""What HailoRT says when something is wrong -> one sentence with what to do.

Knows nothing of models or pictures.
"""

from __future__ import annotations

import re

from visioncli.errors import DeviceError, ModelError, RunError

NOT_INSTALLED = (
    "--device hailo needs HailoRT's Python package hailo_platform, which is on no package index: install the wheel of "
    "Hailo's Developer Zone, or on a Raspberry Pi the system's hailo-h10-all (Hailo-10H) or hailo-all (Hailo-8, 8L)"
)
NOT_LOADABLE = (
    "hailo_platform is installed but cannot be imported ({error}): its wheel must be of this Python, of the installed "
    "HailoRT and, before Python 3.13, for NumPy 1"
)
NO_DEVICE = (
    "HailoRT {version} finds no Hailo device here: is the card seated (`lspci | grep Hailo`) and its driver loaded "
    "(`lsmod | grep hailo`)? use --device cpu meanwhile"
)
LATE = (
    "the Hailo device {where} did not answer within {timeout_ms} ms: raise --device-timeout-ms, or look at "
    "hailort.log; finished rows are kept, the same command goes on from there"
)

_VERSIONS = (
    "HailoRT {version}, its driver and the device's firmware are of different versions ({said}): install the three of "
    "one release and restart"
)
_CHIP = "{hef} was compiled for another chip than {where}: take the file of the same name for this one"
_BUSY = (
    "the Hailo device is held by another process ({said}): end it, or let it open the device with the group SHARED, "
    "as this does"
)
_GONE = (
    "the Hailo device {where} answers no more ({said}): look at `dmesg | grep -i hailo`; finished rows are kept, the "
    "same command goes on from there"
)
SENTENCES: dict[str, tuple[type[RunError], str]] = {  # class name, or status in the text -> error, sentence
    "InvalidProtocolVersionException": (DeviceError, _VERSIONS),
    "HAILO_INVALID_DRIVER_VERSION": (DeviceError, _VERSIONS),
    "HAILO_UNSUPPORTED_CONTROL_PROTOCOL_VERSION": (DeviceError, _VERSIONS),
    "HAILO_INVALID_FIRMWARE": (DeviceError, _VERSIONS),
    "HAILO_INVALID_SERVICE_VERSION": (DeviceError, _VERSIONS),
    "HAILO_DRIVER_NOT_INSTALLED": (
        DeviceError,
        "Hailo's driver is not loaded ({said}): install the one of HailoRT {version} and restart",
    ),
    "HAILO_OUT_OF_PHYSICAL_DEVICES": (DeviceError, _BUSY),
    "HAILO_DEVICE_IN_USE": (DeviceError, _BUSY),
    "HailoRTHEFNotCompatibleWithDevice": (ModelError, _CHIP),
    "HAILO_INVALID_DEVICE_ARCHITECTURE": (ModelError, _CHIP),
    "HailoRTInvalidHEFException": (
        ModelError,
        "{hef} is damaged, no HEF, or compiled for a newer HailoRT than {version}: fetch it again",
    ),
    "HailoRTDriverOperationFailedException": (DeviceError, _GONE),
    "HailoCommunicationClosedException": (DeviceError, _GONE),
}
_OTHER = (DeviceError, "HailoRT {version} failed on {where}: {said}; hailort.log has more")
_STATUS = re.compile(r"\((HAILO_[A-Z_]+)\)")


def kind(error: Exception) -> str:
    """Return a key of SENTENCES, or whatever else names the failure."""
    status = _STATUS.search(str(error))
    return status[1] if status else type(error).__name__


def explained(error: Exception, *, version: str, where: str = "", hef: str = "") -> RunError:
    """Return the sentence for what HailoRT raised; `where` is the device, `hef` the file that was asked of it."""
    found, sentence = SENTENCES.get(kind(error), _OTHER)
    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return found(sentence.format(version=version, where=where or "the device", hef=hef, said=said))
