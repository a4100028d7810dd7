"""The pictures of one request: fetched or unpacked a few at a time, in order, within limits.

Knows nothing of HTTP status or of what is asked about the pictures.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from visioncli.errors import FetchError
from visioncli.server.payloads import Picture

T = TypeVar("T")

AT_ONCE = 8  # as many as FetchOptions.per_host lets go to one host
TOTAL_BYTES = 256 * 2**20  # of one request's pictures: a hundred photographs of 2.5 MB


async def read_pictures(read: Callable[[T], Coroutine[Any, Any, Picture]], given: Sequence[T]) -> list[Picture]:
    """Return the picture that `read` (of Payloads, say) makes of each.

    Raises the RowError of the first that has one; what lies far behind it is not fetched.
    """
    pictures: list[Picture] = []
    size = 0
    for first in range(0, len(given), AT_ONCE):
        coming = [read(each) for each in given[first : first + AT_ONCE]]
        for found in await asyncio.gather(*coming, return_exceptions=True):
            if isinstance(found, BaseException):
                raise found
            pictures.append(found)
            size += len(found.data)
        if size > TOTAL_BYTES:
            raise FetchError("too_many_bytes", f"the pictures have more than {TOTAL_BYTES} bytes together")
    return pictures
