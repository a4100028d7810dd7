"""The classes that the numbers become, wherever the real package says `with ExceptionWrapper()`."""

from hailo_platform.pyhailort import _pyhailort


class HailoRTException(Exception):
    pass


class HailoRTTimeout(HailoRTException):
    pass


class HailoRTInvalidHEFException(HailoRTException):
    pass


class HailoRTHEFNotCompatibleWithDevice(HailoRTException):
    pass


class HailoRTInvalidOperationException(HailoRTException):
    pass


class HailoRTNotFoundException(HailoRTException):
    pass


class HailoRTStreamAborted(HailoRTException):
    pass


class HailoRTDriverOperationFailedException(HailoRTException):
    pass


class HailoRTPCIeDriverException(HailoRTException):
    """Its name before 4.20."""


class HailoCommunicationClosedException(HailoRTException):
    pass


_LOG = "See hailort.log for more information"
CLASSES = {
    "HAILO_TIMEOUT": (HailoRTTimeout, "Received a timeout - hailort has failed because a timeout had occurred"),
    "HAILO_STREAM_ABORT": (HailoRTStreamAborted, "Stream was aborted"),
    "HAILO_INVALID_OPERATION": (HailoRTInvalidOperationException, f"Invalid operation. {_LOG}"),
    "HAILO_NOT_FOUND": (HailoRTNotFoundException, f"Item not found. {_LOG}"),
    "HAILO_INVALID_HEF": (HailoRTInvalidHEFException, f"Invalid HEF. {_LOG}"),
    "HAILO_HEF_NOT_COMPATIBLE_WITH_DEVICE": (
        HailoRTHEFNotCompatibleWithDevice,
        f"HEF file is not compatible with device. {_LOG}",
    ),
    "HAILO_DRIVER_OPERATION_FAILED": (
        HailoRTDriverOperationFailedException,
        "Failure in hailort driver ioctl. run 'dmesg | grep hailo' for more information",
    ),
    "HAILO_DRIVER_FAIL": (
        HailoRTPCIeDriverException,
        "PCIe driver failure. run 'dmesg | grep hailo' for more information",
    ),
    "HAILO_COMMUNICATION_CLOSED": (
        HailoCommunicationClosedException,
        "Communication closed failure. Check server-client connection",
    ),
}


class ExceptionWrapper:
    def __enter__(self):
        pass

    def __exit__(self, exception_type, value, traceback):
        if exception_type is _pyhailort.HailoRTStatusException:
            raise self.create_exception_from_status(int(value.args[0])) from value

    @staticmethod
    def create_exception_from_status(number):
        name = _pyhailort.get_status_message(number)
        kind, words = CLASSES.get(name, (HailoRTException, f"libhailort failed with error: {number} ({name})"))
        return kind(words)
