"""What a finished run has to say: counts, speed, and what held it back. Read from the table itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from visioncli.jobs.previous import Previous, identities, with_ranks
from visioncli.jobs.rows import STALE
from visioncli.meter import Meter


@dataclass(frozen=True)
class Changes:
    """What --update found; every row of the new table is counted once, and `vanished` besides."""

    unchanged: int = 0
    new: int = 0
    changed: int = 0
    moved: int = 0
    stale: int = 0
    vanished: int = 0


@dataclass(frozen=True)
class Summary:
    output: str
    rows: int
    ok: int
    failed: dict[str, int]  # by code
    new_failures: int  # rows that fail and did not fail in the earlier output (all, where there was none)
    inferred: int  # rows that went through the model in this run
    reused: int  # rows answered from an equal picture in this run
    done_before: int  # rows that earlier, interrupted runs had finished
    seconds: float  # this run, without loading the model
    rows_per_s: float
    held_back: dict[str, float]  # shares of the device thread's time
    verdict: str | None  # the stage that held the run back
    advice: str | None
    repeated_ids: int = 0
    changes: Changes | None = None
    choices: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Count:
    """Counts over a table's rows, a piece at a time."""

    previous: Previous | None
    ok: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    stale: int = 0
    _identity: list[NDArray[np.uint64]] = field(default_factory=list)
    _sha: list[NDArray[np.uint64]] = field(default_factory=list)
    _stale: list[NDArray[np.bool_]] = field(default_factory=list)
    _failed: list[NDArray[np.bool_]] = field(default_factory=list)

    def add(self, table: pa.Table) -> None:
        codes = table["error_code"].to_pylist()
        bad = np.array([code is not None for code in codes], dtype=bool)
        self.failed.update(code for code in codes if code is not None)
        self.ok += int((~bad).sum())
        self._failed.append(bad)
        if self.previous is not None:
            stale = table[STALE.name].to_pylist() if STALE.name in table.schema.names else [False] * len(table)
            self._stale.append(np.array(stale, dtype=bool))
            self._identity.append(identities(table))
            self._sha.append(np.array([int(v[:16], 16) if v else 0 for v in table["sha256"].to_pylist()], np.uint64))

    def new_failures(self) -> int:
        """Return how many rows fail that did not fail before."""
        failed = np.concatenate(self._failed) if self._failed else np.zeros(0, bool)
        if self.previous is None or not len(failed):
            return int(failed.sum())
        was = self.previous.match(with_ranks(np.concatenate(self._identity)))
        return int((failed & ((was < 0) | self.previous.ok[was])).sum()) if self.previous.rows else int(failed.sum())

    def changes(self) -> Changes:
        """Return what became of the earlier output's rows. A moved row is new here, and its content vanished there."""
        assert self.previous is not None
        if not self._identity:
            return Changes(vanished=self.previous.rows)
        sha, stale = np.concatenate(self._sha), np.concatenate(self._stale)
        was = self.previous.match(with_ranks(np.concatenate(self._identity)))
        same = (was >= 0) & (sha == self.previous.sha[was])
        gone = np.ones(self.previous.rows, bool)
        gone[was[was >= 0]] = False
        left = Counter(self.previous.sha[gone].tolist())
        moved = sum((Counter(sha[(was < 0) & (sha != 0)].tolist()) & left).values())
        return Changes(
            unchanged=int((same & ~stale).sum()),
            new=int((was < 0).sum()) - moved,
            changed=int(((was >= 0) & ~same & ~stale).sum()),
            moved=moved,
            stale=int(stale.sum()),
            vanished=int(gone.sum()) - moved,
        )


LIGHT = ("id", "source", "error_code", "sha256", STALE.name)  # the columns that Count reads


def count(tables: Iterable[pa.Table], previous: Previous | None) -> Count:
    total = Count(previous)
    for table in tables:
        total.add(table)
    return total


def summarise(output: str, total: Count, meter: Meter, done_before: int, seconds: float, **more: Any) -> Summary:
    """Return the summary of a finished run."""
    rows = total.ok + total.failed.total()
    verdict = meter.verdict()
    return Summary(
        output=output,
        rows=rows,
        ok=total.ok,
        failed=dict(total.failed.most_common()),
        new_failures=total.new_failures(),
        inferred=int(meter.inferred),
        reused=int(meter.reused),
        done_before=done_before,
        seconds=round(seconds, 3),
        rows_per_s=round((rows - done_before) / seconds, 2) if seconds > 0 else 0.0,
        held_back={stage: round(share, 3) for stage, share in meter.shares().items()},
        verdict=verdict[0] if verdict else None,
        advice=verdict[1] if verdict else None,
        **more,
    )
