"""A `map` over shards. Knows nothing about images.

An engine makes a worker where it runs it, gives it shards, and passes on what the worker reports.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TypeVar

ShardT = TypeVar("ShardT")
ReportT = TypeVar("ReportT")

ENGINES = {"local": "visioncli.engines:local"}


def local(
    make_worker: Callable[[], Callable[[ShardT], Iterator[ReportT]]], shards: Iterable[ShardT]
) -> Generator[ReportT, None, None]:
    """One worker, in this process, one shard after the other."""
    work = make_worker()
    for shard in shards:
        yield from work(shard)
