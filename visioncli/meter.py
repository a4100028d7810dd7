"""Where a run's time goes: counts, busy seconds, and what kept the device waiting.

The verdict is taken from the device thread alone: while it works, the device is what holds the run back; while it
waits, whoever owes it the next batch is. Knows nothing of flags' spelling beyond the advice it ends with.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

ADVICE = {  # whom the device waits for, or itself -> what to turn
    "fetch": "try a higher --per-host, or run nearer to the images",
    "decode": "try more --workers, or smaller images",
    "device": "try another --device or --dtype, or a smaller --model",
    "results": "try more --workers, or fewer and smaller files (--export, --depth-size, --masks, --overlay)",
    "write": "try a faster disk for --output",
}
STAGES = {"fetch": ("fetch",), "decode": ("decode",), "device": ("device",), "write": ("results", "write")}  # as told


@dataclass
class Meter:
    """Counts of one run; `add` may be called from any thread."""

    inferred: int = 0  # rows that went through `forward`
    reused: int = 0  # rows answered from an equal picture of this run
    read_s: float = 0.0  # busy seconds of workers, reading local files
    decode_s: float = 0.0  # busy seconds of workers, decoding and preprocessing
    results_s: float = 0.0  # busy seconds of workers, making answers of what the device gave, and their files
    held_s: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(ADVICE, 0.0)
    )  # by whom the device waited for
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, **amounts: float) -> None:
        with self._lock:
            for name, amount in amounts.items():
                setattr(self, name, getattr(self, name) + amount)

    def hold(self, whom: str, seconds: float) -> None:
        """Book `seconds` of the device thread on `whom` (a key of ADVICE)."""
        with self._lock:
            self.held_s[whom] += seconds

    def shares(self) -> dict[str, float]:
        """Return the stages' shares of the device thread's time, summing to 1 (or all 0 when nothing ran)."""
        total = sum(self.held_s.values())
        return {
            stage: sum(self.held_s[whom] for whom in parts) / total if total else 0.0 for stage, parts in STAGES.items()
        }

    def verdict(self) -> tuple[str, str] | None:
        """Return (what held the run back, what to turn), or None when nothing ran."""
        shares = self.shares()
        stage = max(shares, key=lambda name: shares[name])
        most = max(STAGES[stage], key=lambda whom: self.held_s[whom])
        return (stage, ADVICE[most]) if shares[stage] else None
