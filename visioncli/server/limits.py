"""How much one request may ask, and how long it may take.

What is more is refused by its length alone, before anything is made of it. What is allowed may still be long: then it
is done in a thread, because the loop has others to answer. Knows nothing of dialects.
"""

from __future__ import annotations

import asyncio
import reprlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from visioncli.errors import UsageError
from visioncli.server.refusals import TooLate

T = TypeVar("T")

MOST_TEXTS = 4_096  # labels, prompts or texts: more would hold the device for minutes
MOST_CHARACTERS = 2**20  # of labels or prompts together: they are compared, and kept with what was made of them
MOST_PICTURES = 256  # all their bytes are held at once, and a URL costs its sender nothing
MOST_SCORES = 2**18  # pictures times labels of one answer that names each: some 10 MB of JSON
SHORT = 5_000  # characters to read or numbers to write: a thousand are less than a millisecond's work
SHOWN = 100  # characters of a client's own words in a sentence


def refuse_many(count: int, most: int, what: str) -> None:
    """Raise UsageError for more than `most` of `what`, in the plural."""
    if count > most:
        raise UsageError(f"{count} {what} are more than the {most} that one request may have")


def brief(given: Any) -> str:
    """Return a client's own value as a sentence shows it, cut; no more than that is made of a long one."""
    return (reprlib.repr(given) if isinstance(given, (dict, list)) else str(given))[:SHOWN]


async def in_turn(size: int, work: Callable[[], T]) -> T:
    """Return what `work` returns, which it does here unless `size`, as SHORT counts, says that it takes long."""
    return work() if size < SHORT else await asyncio.to_thread(work)


@asynccontextmanager
async def in_time(seconds: float | None) -> AsyncIterator[None]:
    """Raise TooLate where what is inside takes longer; None: it may take as long as it likes."""
    try:
        async with asyncio.timeout(seconds) as limit:
            yield
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise TooLate("the request's time is over") from error
