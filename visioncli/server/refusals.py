"""What a request is refused with, besides what the floors below raise; every dialect has its own words and status.

    Refusal
    ├── Busy       the queue is full
    ├── Stopping   the server ends, or the model's device is being started again
    ├── TooLate    the request's deadline passed
    ├── TooSlow    the body does not come in
    ├── TooLarge   the body has more bytes or values than allowed
    ├── NotJson    the body is not what was announced
    ├── NotLoaded  the model is not loaded, and is not loaded by asking
    └── ClientLeft nobody waits for the answer any more

Knows nothing of HTTP.
"""

from __future__ import annotations

from visioncli.errors import VisioncliError


class Refusal(VisioncliError):
    pass


class Busy(Refusal):
    """`retry_after_s` is when to come back, whole seconds."""

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Stopping(Busy):
    pass


class TooLate(Refusal):
    pass


class TooSlow(Refusal):
    pass


class TooLarge(Refusal):
    pass


class NotJson(Refusal):
    pass


class NotLoaded(Refusal):
    pass


class ClientLeft(Refusal):
    pass
