"""What HailoRT says when something is wrong -> one sentence with what to do.

Knows nothing of models or pictures.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from visioncli.errors import DeviceError, ModelError, RunError
from visioncli.models.hailo.protocol import Library


class LostDevice(DeviceError):
    """It answers no more, and has to be opened again before it is asked again."""


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
    "the Hailo device {where} did not answer within {timeout_ms} ms: raise --device-timeout-ms, or look at hailort.log"
)

_VERSIONS = (
    "HailoRT {version}, its driver and the device's firmware are of different versions ({said}): install the three of "
    "one release and restart"
)
_NO_DRIVER = "Hailo's driver is not loaded ({said}): install the one of HailoRT {version} and restart"
_CHIP = "{hef} was compiled for another chip than {where}: take the file of the same name for this one"
_BUSY = (  # HailoRT's VDevice::create: a Hailo-10H's own server knows of groups, for a Hailo-8 only the host's service
    "the Hailo device is held by another process ({said}): end it; a Hailo-10H is shared with processes that open it "
    "with the group SHARED, as this does, a Hailo-8 or 8L with none"
)
_GONE = "the Hailo device {at}answers no more ({said}): look at `dmesg | grep -i hailo`"
SENTENCES: dict[str, tuple[type[RunError], str]] = {  # class name, or status in the text -> error, sentence
    "InvalidProtocolVersionException": (DeviceError, _VERSIONS),
    "HAILO_INVALID_DRIVER_VERSION": (DeviceError, _VERSIONS),
    "HAILO_UNSUPPORTED_CONTROL_PROTOCOL_VERSION": (DeviceError, _VERSIONS),
    "HAILO_INVALID_FIRMWARE": (DeviceError, _VERSIONS),
    "HAILO_INVALID_SERVICE_VERSION": (DeviceError, _VERSIONS),
    "HAILO_DRIVER_NOT_INSTALLED": (DeviceError, _NO_DRIVER),
    "HAILO_PCIE_DRIVER_NOT_INSTALLED": (DeviceError, _NO_DRIVER),  # before 4.20
    "HAILO_OUT_OF_PHYSICAL_DEVICES": (DeviceError, _BUSY),
    "HAILO_DEVICE_IN_USE": (DeviceError, _BUSY),
    "HailoRTHEFNotCompatibleWithDevice": (ModelError, _CHIP),
    "HAILO_INVALID_DEVICE_ARCHITECTURE": (ModelError, _CHIP),
    "HailoRTInvalidHEFException": (
        ModelError,
        "{hef} is damaged, no HEF, or compiled for a newer HailoRT than {version}: fetch it again",
    ),
    "HAILO_HEF_NOT_SUPPORTED": (  # 5.x, of files that do not begin as a HEF does, too
        ModelError,
        "{hef} is no HEF, or not of a version that HailoRT {version} reads: take the file of the model zoo's release "
        "for it",
    ),
    "HAILO_HEF_FILE_CORRUPTED": (ModelError, "{hef} is damaged or cut short: fetch it again"),
    "HailoRTDriverOperationFailedException": (LostDevice, _GONE),
    "HailoRTPCIeDriverException": (LostDevice, _GONE),  # before 4.20
    "HailoCommunicationClosedException": (LostDevice, _GONE),
    "HAILO_DEVICE_NOT_CONNECTED": (LostDevice, _GONE),
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
    named = {"where": where or hef or "the device", "at": f"{where} " if where else "", "hef": hef}
    return found(sentence.format(version=version, said=said, **named))


@contextmanager
def in_sentences(library: Library, *, where: str = "", hef: str = "") -> Iterator[None]:
    """Let what HailoRT raises within come out as DeviceError or ModelError.

    Device.scan(), Device(), a HEF's streams and VDevice.release() stand outside the package's own wrapper: they let the
    extension's class through, which is no HailoRTException and says a number alone.
    """
    try:
        with library.pyhailort.pyhailort.ExceptionWrapper():
            yield
    except library.HailoRTException as error:
        raise explained(error, version=library.__version__, where=where, hef=hef) from error
