"""Politeness: how many requests a host gets at a time, and when it is left alone.

Belongs to one event loop. Knows nothing of HTTP beyond the codes of its refusals.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from visioncli.errors import FetchError
from visioncli.io.address import Address

MAX_REST_S = 60.0  # a longer Retry-After is no pause but a refusal
REMEMBERED = 1024  # hosts; a server is given any number of them


class HostRestsError(FetchError):
    """Its host asked for more time than anyone will wait."""


@dataclass(slots=True)
class Host:
    slots: asyncio.Semaphore
    users: int = 0  # who have a slot or wait for one
    rests_until: float = 0.0  # time.monotonic()
    rest_code: str = ""

    @property
    def rest_s(self) -> float:
        return self.rests_until - time.monotonic()

    def rest(self, seconds: float, code: str) -> None:
        """Leave it alone for so long; `code` is what its URLs fail with where that is too long."""
        self.rests_until = max(self.rests_until, time.monotonic() + seconds)
        self.rest_code = code


class Hosts:
    def __init__(self, per_host: int) -> None:
        self._per_host = per_host
        self._known: OrderedDict[tuple[str, int], Host] = OrderedDict()  # the longest unused first

    def __len__(self) -> int:
        return len(self._known)

    @asynccontextmanager
    async def turn(self, address: Address) -> AsyncIterator[Host]:
        """Wait until the host has a slot and does not rest. Raises HostRestsError."""
        host = self._host(address)
        host.users += 1
        try:
            async with host.slots:
                while (rest := host.rest_s) > 0:
                    if rest > MAX_REST_S:
                        raise HostRestsError(host.rest_code, f"{address.host} asks to wait for {rest:.0f} s")
                    await asyncio.sleep(rest)
                yield host
        finally:
            host.users -= 1

    def _host(self, address: Address) -> Host:
        key = address.host, address.port
        if key not in self._known:
            self._forget_one()
            self._known[key] = Host(asyncio.Semaphore(self._per_host))
        self._known.move_to_end(key)
        return self._known[key]

    def _forget_one(self) -> None:
        """Make room: for the longest unused host that nobody waits for goes another; those that rest go last."""
        if len(self._known) < REMEMBERED:
            return
        idle = [key for key, host in self._known.items() if not host.users]
        awake = (key for key in idle if self._known[key].rest_s <= 0)
        goes = next(awake, idle[0] if idle else None)
        if goes is not None:
            del self._known[goes]
