"""The pictures of one request: fetched or unpacked a few at a time, in order, within limits.

Knows nothing of HTTP status or of what is asked about the pictures.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from visioncli.errors import FetchError
from visioncli.server.payloads import Payloads, Picture
from visioncli.server.refusals import TooLate

AT_ONCE = 8  # as many as FetchOptions.per_host lets go to one host
TOTAL_BYTES = 256 * 2**20  # of one request's pictures: a hundred photographs of 2.5 MB


async def read_pictures(payloads: Payloads, given: Sequence[str], deadline_s: float) -> list[Picture]:
    """Return the picture of each base64 text, data URI or URL.

    Raises the RowError of the first that has one; what lies far behind it is not fetched. Raises TooLate.
    """
    if len(given) == 1:
        return [await payloads.picture(given[0])]  # its own time-out is shorter
    try:
        async with asyncio.timeout(deadline_s):
            return await _read(payloads, given)
    except TimeoutError as error:
        raise TooLate("fetching the pictures took too long") from error


async def _read(payloads: Payloads, given: Sequence[str]) -> list[Picture]:
    pictures: list[Picture] = []
    size = 0
    for first in range(0, len(given), AT_ONCE):
        coming = (payloads.picture(text) for text in given[first : first + AT_ONCE])
        for found in await asyncio.gather(*coming, return_exceptions=True):
            if isinstance(found, BaseException):
                raise found
            pictures.append(found)
            size += len(found.data)
        if size > TOTAL_BYTES:
            raise FetchError("too_many_bytes", f"the pictures have more than {TOTAL_BYTES} bytes together")
    return pictures
