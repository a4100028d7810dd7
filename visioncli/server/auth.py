"""Whether one of the keys that a request carries is one that was configured; compared in constant time.

Where a dialect's clients put their keys is the dialect's. Knows nothing of HTTP beyond one header's usual form.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence


def is_allowed(keys: Sequence[str], candidates: Iterable[str]) -> bool:
    """Return True where no key is configured, or any candidate is one of `keys`. Every pair is compared."""
    if not keys:
        return True
    given = [candidate.encode("utf-8", "surrogatepass") for candidate in candidates]
    matches = [hmac.compare_digest(key.encode(), candidate) for key in keys for candidate in given]
    return any(matches)


def bearer(authorization: str | None) -> list[str]:
    """Return the key of `Authorization: Bearer KEY` (RFC 6750, 2.1), as a list of none or one."""
    scheme, _, key = (authorization or "").strip().partition(" ")
    return [key.strip()] if scheme.lower() == "bearer" and key.strip() else []
