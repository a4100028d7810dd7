"""Numbers in sentences. Knows nothing of what is counted."""

from __future__ import annotations


def counted(number: int, thing: str, things: str | None = None) -> str:
    """Return `1 row`, `2 rows`, `1,000 rows`; `things` where more than one is not `thing` with an s."""
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"
