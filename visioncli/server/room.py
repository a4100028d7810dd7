"""So many bytes for what is decoded and not yet answered, of all requests together.

Who does not fit waits without holding a thread, and is called when there is room, in order. What is larger than all of
the room goes in alone. Knows nothing of pictures.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

ROOM_BYTES = 2 * 2**30  # fourteen photographs of twelve megapixels at once, or one picture of the most that is allowed


class Room:
    """Thread-safe."""

    def __init__(self, size: int = ROOM_BYTES) -> None:
        self._size = size
        self.used = 0  # bytes
        self._waiting: OrderedDict[Hashable, tuple[int, Callable[[], None]]] = OrderedDict()  # who -> bytes, call
        self._lock = threading.Lock()

    def enter(self, who: Hashable, size: int, call: Callable[[], None]) -> bool:
        """Take so many bytes and return True; or return False, and `call` when they are taken, from any thread."""
        with self._lock:
            if not self._waiting and self._fits(size):
                self.used += size
                return True
            self._waiting[who] = size, call
            return False

    def change(self, by: int) -> None:
        """Give back bytes (negative), or take more than were thought at first: that waits for nobody."""
        self._move(by, None)

    def forget(self, who: Hashable) -> None:
        """Take out of the line whoever stands in it."""
        self._move(0, who)

    def _move(self, by: int, who: Hashable | None) -> None:
        with self._lock:
            self.used += by
            self._waiting.pop(who, None)
            calls = []
            while self._waiting and self._fits(next(iter(self._waiting.values()))[0]):
                _, (size, call) = self._waiting.popitem(last=False)
                self.used += size
                calls.append(call)
        for call in calls:
            call()

    def _fits(self, size: int) -> bool:
        return self.used <= 0 or self.used + size <= self._size
