"""What a run has to say of itself."""

from __future__ import annotations

import pyarrow as pa
import pytest

from visioncli.errors import UsageError
from visioncli.jobs import Policy
from visioncli.jobs.summary import Count, summarise
from visioncli.meter import ADVICE, Meter


@pytest.mark.parametrize(
    ("inferred", "seconds", "told"),
    [(500, 60.0, ("fetch", ADVICE["fetch"])), (3, 0.4, (None, None)), (0, 60.0, (None, None))],
    ids=["a night", "three pictures", "no picture was asked"],
)
def test_what_held_a_run_back_is_told_where_it_was_held(
    inferred: int, seconds: float, told: tuple[str | None, str | None]
) -> None:
    meter = Meter(inferred=inferred)
    meter.hold("fetch", seconds * 0.75)
    meter.hold("device", seconds * 0.25)
    found = summarise("out.parquet", Count(None), meter, 0, seconds)
    assert (found.verdict, found.advice) == told
    assert found.held_back == {"fetch": 0.75, "decode": 0.0, "device": 0.25, "write": 0.0}


def test_pieces_of_a_table_are_counted_by_code() -> None:
    count = Count(None)
    for codes in (["http_404", None], [None, None], ["http_404", "empty_file"]):
        count.add(pa.table({"error_code": pa.array(codes, pa.string())}))
    assert (count.rows, count.ok, dict(count.failed)) == (6, 3, {"http_404": 2, "empty_file": 1})


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_a_run_without_any_time_is_refused(seconds: float) -> None:
    with pytest.raises(UsageError, match=r"^--max-runtime leaves no time for a row"):
        Policy(max_runtime_s=seconds)
