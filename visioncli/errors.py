"""Everything that is raised on purpose.

    VisioncliError
    ├── UsageError          asked wrongly: bad flag, an INPUT that matches nothing, another run key
    ├── RunError            the run cannot go on
    │   ├── ModelError      checkpoint not found, gated, not cached, not of a known family
    │   ├── DeviceError     the device fails whatever it is given
    │   ├── OutputError     the disk is full, the folder cannot be written
    │   └── ErrorRateError  more failures than --max-error-rate allows
    ├── NotNowError         the same command later may pass
    │   ├── LockHeldError   another run works on this output
    │   ├── HubUnreachableError
    │   └── OutOfTimeError  --max-runtime is over; the run is resumable
    ├── InterruptedRunError Ctrl-C or SIGTERM; the run is resumable
    ├── ReaderLeftError     nobody reads our standard output any more: an end, and no fault
    └── RowError            one input has no answer; becomes a row, with a code of CODES
        ├── SourceError     the manifest names nothing that could be read
        ├── FetchError      its bytes did not come
        ├── DecodeError     its bytes are no picture
        └── PredictError    the model did not answer

Knows nothing of exit codes or HTTP status: whoever faces a person translates (`cli/`, `server/`).
"""

from __future__ import annotations


class VisioncliError(Exception):
    """One clear sentence for a person, without a trailing full stop; `code` is stable."""

    code = "failed"
    after = ""  # the end of the sentence: what becomes of the run that the error ended

    def __str__(self) -> str:
        return "; ".join(filter(None, (super().__str__(), self.after)))


class UsageError(VisioncliError):
    code = "usage"


class RunError(VisioncliError):
    pass


class ModelError(RunError):
    code = "model"


class DeviceError(RunError):
    code = "device"


class OutputError(RunError):
    code = "output"


class ErrorRateError(RunError):
    code = "max_error_rate"


class NotNowError(VisioncliError):
    code = "not_now"


class LockHeldError(NotNowError):
    code = "lock_held"


class HubUnreachableError(NotNowError):
    code = "hub_unreachable"


class OutOfTimeError(NotNowError):
    code = "max_runtime"


class InterruptedRunError(VisioncliError):
    """`signal_number` is 2 (SIGINT) or 15 (SIGTERM)."""

    code = "interrupted"

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number


class ReaderLeftError(VisioncliError):
    code = "reader_left"


class RowError(VisioncliError):
    """`code` is stable and one of CODES (or `http_<status>`); the message is one sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type[RowError], tuple[str, str]]:
        return type(self), (self.code, str(self))


class SourceError(RowError):
    pass


class FetchError(RowError):
    pass


class DecodeError(RowError):
    pass


class PredictError(RowError):
    pass


def first_line(error: BaseException) -> str:
    """What another library's error says, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


CODES: dict[str, str] = {
    "input_missing": "the manifest's cell is empty",
    "file_not_found": "the path does not exist",
    "file_unreadable": "the path exists, but reading it failed (permission, I/O error)",
    "not_a_file": "the path is a folder, a socket or a device",
    "file_changed": "the file changed while it was read",
    "empty_file": "zero bytes",
    "too_many_bytes": "larger than --max-bytes",
    "url_invalid": "not a URL that can be fetched, or a scheme that is not supported",
    "url_refused": "--guard is on and the address is private, loopback or link-local",
    "fetch_timeout": "no complete answer within --timeout",
    "fetch_connection": "the connection was refused, reset, or the name was not found",
    "fetch_tls": "the server's certificate or its TLS handshake was refused",
    "fetch_truncated": "the body ended before its announced length",
    "fetch_redirects": "too many redirects, or a redirect to nowhere",
    "http_<status>": "the server answered with this status (404, 403, 429, 500, …)",
    "decode_not_an_image": "the bytes are no picture of a known format (HTML called .jpg, say)",
    "decode_truncated": "the picture ends too early",
    "decode_corrupt": "the picture's data are damaged",
    "decode_unsupported_mode": "a pixel format without an exact 8-bit meaning (32-bit integer or float)",
    "decode_unsupported_format": "a picture format whose library is not installed (HEIC, AVIF)",
    "decode_too_many_pixels": "more pixels than --max-pixels",
    "base64_invalid": "a request's picture is no base64",
    "text_missing": "the text cell is empty",
    "text_unknown": "the file of --text-embeddings does not have this text",
    "preprocess_failed": "the model's preprocessing refused the picture",
    "out_of_memory": "one picture alone does not fit into the device's memory",
    "device_failed": "the device fails on this picture, alone, again",
    "non_finite": "the model answered with NaN or infinity, in every precision tried",
}

_PASSING = (
    frozenset({"file_unreadable", "file_changed", "fetch_timeout", "fetch_connection", "fetch_truncated"})
    | {f"http_{status}" for status in (408, 425, 429, 500, 502, 503, 504)}
    | frozenset({"out_of_memory", "device_failed"})
)


def is_passing(code: str) -> bool:
    """Whether the same input may be answered later without anyone changing it."""
    return code in _PASSING
