"""What the real package has as an extension: numbers of failures, and the one class that it raises them as."""

import os

STATUSES = {
    4: "HAILO_TIMEOUT",
    6: "HAILO_INVALID_OPERATION",
    8: "HAILO_INTERNAL_FAILURE",
    26: "HAILO_INVALID_HEF",
    36: "HAILO_DRIVER_OPERATION_FAILED",
    61: "HAILO_NOT_FOUND",
    62: "HAILO_COMMUNICATION_CLOSED",
    63: "HAILO_STREAM_ABORT",
    64: "HAILO_DRIVER_NOT_INSTALLED",
    74: "HAILO_OUT_OF_PHYSICAL_DEVICES",
    76: "HAILO_INVALID_DRIVER_VERSION",
    82: "HAILO_QUEUE_IS_FULL",
    91: "HAILO_HEF_FILE_CORRUPTED",
    92: "HAILO_HEF_NOT_SUPPORTED",
    93: "HAILO_HEF_NOT_COMPATIBLE_WITH_DEVICE",
}
BEFORE_4_20 = {36: "HAILO_DRIVER_FAIL", 64: "HAILO_PCIE_DRIVER_NOT_INSTALLED"}  # release notes of 4.20
__version__ = os.environ.get("HAILO_DOUBLE_VERSION", "5.2.0")


class HailoRTStatusException(Exception):
    """Says the number alone, and is no HailoRTException."""


def get_status_message(number):
    is_old = tuple(map(int, __version__.split(".")[:2])) < (4, 20)
    return (is_old and BEFORE_4_20.get(number)) or STATUSES.get(number, "")
