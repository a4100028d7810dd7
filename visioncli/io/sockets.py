"""The sockets of one HTTP client: counted, so that connections never use up what a process may have open.

Files, parts and names need descriptors too. At most `MOST` requests are under way, and while as many connections are
open, idle ones among them, each further one is closed after its answer.
"""

from __future__ import annotations

import asyncio
import errno
import resource
import socket
import weakref

import aiohttp

from visioncli.io.address import is_public

MOST = 1024  # more do not fetch faster, from any number of hosts
REFUSED = "refused by --guard"  # carried in an OSError's text through the connector, which mixes several into one


class Sockets:
    """Belongs to one event loop."""

    def __init__(self) -> None:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = MOST if soft == resource.RLIM_INFINITY else max(1, min(MOST, soft // 4))
        self._made: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self.room = asyncio.Semaphore(self._most)  # for a request that is under way

    @property
    def is_crowded(self) -> bool:
        return len(self._made) >= self._most and sum(made.fileno() >= 0 for made in self._made) >= self._most

    def free(self, info: aiohttp.connector.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, _ = info
        made = socket.socket(family, kind, protocol)
        self._made.add(made)
        return made

    def guarded(self, info: aiohttp.connector.AddrInfoType) -> socket.socket:
        """Judge the very address that is about to be connected to, whatever name or redirect led here."""
        place = str(info[4][0])
        if not is_public(place):
            raise PermissionError(errno.EACCES, f"{place} {REFUSED}")
        return self.free(info)
