"""Where embeddings lie: which rows are near-duplicates, and a map of those shown. Knows nothing of pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from visioncli.report.page import Group
from visioncli.report.plots import Map, scatter
from visioncli.report.results import Results, Rows
from visioncli.report.vectors import column_of, plane, vectors
from visioncli.search.groups import near_duplicate_groups
from visioncli.wording import counted

MOST_ROWS = 50_000  # whose vectors are compared with each other; of more, as many are drawn
_MOST_GROUPS = 100  # that are listed, the largest first
_MOST_MEMBERS = 24  # of one


@dataclass(frozen=True, slots=True)
class Together:
    """Near-duplicates: each group's rows with its representative first, the largest group first."""

    groups: tuple[Rows, ...]
    note: str

    @property
    def rows(self) -> Rows:
        """The rows that a page would list."""
        listed = [rows[:_MOST_MEMBERS] for rows in self.groups[:_MOST_GROUPS]]
        return np.concatenate([np.zeros(0, np.int64), *listed])

    @property
    def all(self) -> Rows:
        """Every row that is in a group."""
        return np.concatenate([np.zeros(0, np.int64), *self.groups])


@dataclass(frozen=True, slots=True)
class Layout:
    map: Map
    groups: tuple[Group, ...]
    note: str


def duplicates(results: Results, rows: Rows, min_score: float) -> Together | None:
    """Return the near-duplicates among these rows, or among MOST_ROWS of them; None where there are no vectors."""
    name = column_of(results) if results.task == "embed" else None
    if name is None:
        return None
    among = f"the {counted(len(rows), 'row')} with a vector"
    if len(rows) > MOST_ROWS:
        among = f"{MOST_ROWS:,} rows drawn from {len(rows):,} (visioncli similar --groups compares all)"
        rows = np.sort(np.random.default_rng(0).choice(rows, MOST_ROWS, replace=False))
    found = near_duplicate_groups(vectors(results.take(rows, [name])[name]), min_score)
    groups = [rows[_first(group.members, group.representative)] for group in found]
    told = counted(len(groups), "group") if groups else "None"
    linked = f"each linked to another of its group by a cosine of at least {min_score:g} (--min-score)"
    return Together(tuple(groups), f"{told} among {among}, {linked}.")


def _first(members: Rows, one: int) -> Rows:
    return np.concatenate([[one], members[members != one]])


def lay_out(results: Results, rows: Rows, together: Together | None) -> Layout | None:
    """Return the map of the rows that are shown, and their groups; None where they have no vectors."""
    name = column_of(results)
    if together is None or name is None:
        return None
    table = results.take(rows, ["id", name])
    found = vectors(table[name])
    known = np.isfinite(found).all(axis=1) if found.size else np.zeros(len(found), bool)
    if known.sum() < 2:
        return None
    places, (first, second) = plane(found[known])
    grouped = set(together.all.tolist())
    title = f"First two principal components: {first:.0%} and {second:.0%} of the variance. Near-duplicates are red."
    ids = table["id"].filter(pa.array(known)).to_pylist()
    return Layout(
        scatter(title, places, rows[known].tolist(), ids, grouped), _shown(together, set(rows.tolist())), together.note
    )


def _shown(together: Together, shown: set[int]) -> tuple[Group, ...]:
    """The groups that are listed, each with those of its rows that are shown."""
    listed = [(rows, [row for row in rows[:_MOST_MEMBERS].tolist() if row in shown]) for rows in together.groups]
    return tuple(Group(tuple(there), len(rows)) for rows, there in listed[:_MOST_GROUPS] if there)
