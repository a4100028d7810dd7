"""How much memory several threads may use at the same time. Knows nothing of what for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Allowance:
    """Bytes that are given out and come back; who asks for more than there are waits, but one is always served."""

    def __init__(self, size: int) -> None:
        self._size, self._used = size, 0
        self._returned = threading.Condition()

    @contextmanager
    def of(self, size: int) -> Iterator[None]:
        """Wait for `size` bytes, and hold them while the block runs. From any thread."""
        with self._returned:
            self._returned.wait_for(lambda: not self._used or self._used + size <= self._size)
            self._used += size
        try:
            yield
        finally:
            with self._returned:
                self._used -= size
                self._returned.notify_all()
