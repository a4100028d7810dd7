"""Where a run's time goes: counts, busy seconds, and what kept the device waiting.

The verdict is taken from the device thread alone: while it works, the device is what holds the run back; while it
waits, whoever owes it the next batch is. Knows nothing of flags' spelling beyond the advice it ends with.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

ADVICE = {
    "fetch": "try a higher --per-host, or run nearer to the images",
    "decode": "try more --workers, or smaller images",
    "device": "try another --device or --dtype, or a smaller --model",
    "write": "try a faster disk for --output",
}


@dataclass
class Meter:
    """Counts of one run; `add` may be called from any thread."""

    inferred: int = 0  # rows that went through `forward`
    reused: int = 0  # rows answered from an equal picture of this run
    read_s: float = 0.0  # busy seconds of workers, reading local files
    decode_s: float = 0.0  # busy seconds of workers, decoding and preprocessing
    held_s: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(ADVICE, 0.0)
    )  # by whom the device waited for
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, **amounts: float) -> None:
        with self._lock:
            for name, amount in amounts.items():
                setattr(self, name, getattr(self, name) + amount)

    def hold(self, stage: str, seconds: float) -> None:
        """Book `seconds` of the device thread on `stage` (a key of ADVICE)."""
        with self._lock:
            self.held_s[stage] += seconds

    def shares(self) -> dict[str, float]:
        """Return the stages' shares of the device thread's time, summing to 1 (or all 0 when nothing ran)."""
        total = sum(self.held_s.values())
        return {stage: seconds / total if total else 0.0 for stage, seconds in self.held_s.items()}

    def verdict(self) -> tuple[str, str] | None:
        """Return (what held the run back, what to turn), or None when nothing ran."""
        shares = self.shares()
        stage = max(shares, key=lambda name: shares[name])
        return (stage, ADVICE[stage]) if shares[stage] else None
