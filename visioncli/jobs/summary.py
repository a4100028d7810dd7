"""What a run has to say: counts, speed, and what held it back. Read from the table itself, or from its parts so far."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from visioncli.jobs.hashes import U64, contents, identities, mask, with_ranks
from visioncli.jobs.previous import Previous, of_rows
from visioncli.jobs.rows import STALE
from visioncli.meter import Meter

_TOLD_FROM_S = 5.0  # what held back a shorter run is nobody's trouble


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
    rows: int  # of the table, or done so far
    ok: int
    failed: dict[str, int]  # by code
    new_failures: int | None  # rows that fail and did not fail in the earlier output (all, where there was none)
    inferred: int  # rows that went through the model in this run; where it ended early, some of them were not kept
    reused: int  # rows answered from an equal picture in this run; likewise
    done_before: int  # rows that earlier, interrupted runs had finished
    seconds: float  # this run, without loading the model
    rows_per_s: float
    held_back: dict[str, float]  # shares of the device thread's time
    verdict: str | None  # the stage that held the run back; None for a short one, and where the model was not asked
    advice: str | None
    repeated_ids: int = 0
    changes: Changes | None = None
    choices: dict[str, Any] = field(default_factory=dict)
    finished: bool = True
    rows_left: int | None = 0  # None: a stream does not know
    error_code: str | None = None  # of what ended the run early, and its sentence
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of_json(cls, values: dict[str, Any]) -> Summary:
        changes = values["changes"]
        return cls(**{**values, "changes": None if changes is None else Changes(**changes)})


@dataclass
class Count:
    """Counts over a table's rows, a piece at a time."""

    previous: Previous | None
    ok: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    _identity: list[U64] = field(default_factory=list)
    _content: list[U64] = field(default_factory=list)
    _stale: list[NDArray[np.bool_]] = field(default_factory=list)
    _failed: list[NDArray[np.bool_]] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return self.ok + self.failed.total()

    @property
    def columns(self) -> list[str]:
        """The columns that are read, as far as a table has them."""
        if self.previous is None:
            return ["error_code"]
        names, text = ["id", "source", "error_code", "sha256", STALE.name], self.previous.text_column
        return names if text is None else [*names, text]

    def add(self, table: pa.Table) -> None:
        codes = [code for code in table["error_code"].to_pylist() if code is not None]
        self.failed.update(codes)
        self.ok += len(table) - len(codes)
        if self.previous is not None:
            self._failed.append(mask(pc.is_valid(table["error_code"])))
            stale = mask(table[STALE.name]) if STALE.name in table.schema.names else np.zeros(len(table), bool)
            self._stale.append(stale)
            self._identity.append(identities(table))
            self._content.append(contents(table, self.previous.text_column))

    def new_failures(self) -> int:
        """Return how many rows fail that did not fail before."""
        if self.previous is None:
            return self.failed.total()
        was = self.previous.match(with_ranks(_joined(self._identity, np.uint64)))
        return int((_joined(self._failed, bool) & of_rows(self.previous.ok, was, True)).sum())

    def changes(self) -> Changes:
        """Return what became of the earlier output's rows. A moved row is new here, and its content vanished there."""
        assert self.previous is not None
        content, stale = _joined(self._content, np.uint64), _joined(self._stale, bool)
        was = self.previous.match(with_ranks(_joined(self._identity, np.uint64)))
        same = (was >= 0) & (content == of_rows(self.previous.content, was, 0))
        gone = np.ones(self.previous.rows, bool)
        gone[was[was >= 0]] = False
        left = Counter(self.previous.content[gone].tolist())
        moved = sum((Counter(content[(was < 0) & (content != 0)].tolist()) & left).values())
        return Changes(
            unchanged=int((same & ~stale).sum()),
            new=int((was < 0).sum()) - moved,
            changed=int(((was >= 0) & ~same & ~stale).sum()),
            moved=moved,
            stale=int(stale.sum()),
            vanished=int(gone.sum()) - moved,
        )


def _joined(pieces: list[NDArray[Any]], dtype: Any) -> NDArray[Any]:
    return np.concatenate([np.zeros(0, dtype), *pieces])


def summarise(output: str, total: Count, meter: Meter, done_before: int, seconds: float, **more: Any) -> Summary:
    """Return the summary of a run that did `total`."""
    # While few pictures are on their way, stages wait for each other whatever is turned; without any, nothing is held.
    verdict = meter.verdict() if meter.inferred and seconds >= _TOLD_FROM_S else None
    return Summary(
        output=output,
        rows=total.rows,
        ok=total.ok,
        failed=dict(total.failed.most_common()),
        new_failures=total.new_failures(),
        inferred=int(meter.inferred),
        reused=int(meter.reused),
        done_before=done_before,
        seconds=round(seconds, 3),
        rows_per_s=round((total.rows - done_before) / seconds, 2) if seconds > 0 else 0.0,
        held_back={stage: round(share, 3) for stage, share in meter.shares().items()},
        verdict=verdict[0] if verdict else None,
        advice=verdict[1] if verdict else None,
        **more,
    )
