"""What changed between two outputs, against planted changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.report.outputs import classified, failed, seen, written
from visioncli.errors import UsageError
from visioncli.report import DiffOptions, Limit, Results, compare, summary
from visioncli.report.changes import iou, matched
from visioncli.report.comparison import Comparison


def compared(folder: Path, task: str, old: list[Any], new: list[Any], **provenance: Any) -> Comparison:
    one = written(folder / "old.parquet", task, old)
    other = written(folder / "new.parquet", task, new, **provenance)
    with Results(str(one)) as before, Results(str(other)) as after:
        return compare(before, after)


def test_rows_are_matched_by_id_and_repeated_ids_by_occurrence(tmp_path: Path) -> None:
    old = [classified("cat", 0.5, id=name) for name in ("a", "b", "b", "gone", *"cdefghij")]
    new = [classified("cat", 0.5, id=name) for name in (*"jihgfedc", "b", "new", "a", "b", "b")]
    pair = compared(tmp_path, "classify", old, new)
    by_id = dict(zip(pair.new_rows.tolist(), pair.old_rows.tolist(), strict=True))
    assert by_id == {n: 11 - n for n in range(8)} | {8: 1, 10: 0, 11: 2}
    assert (pair.removed.tolist(), pair.added.tolist()) == ([3], [9, 12])


def test_flips_drift_and_failures_are_found_in_any_order(tmp_path: Path) -> None:
    old = [classified("cat", n / 40, id=str(n)) for n in range(30)]
    new = [dict(row) for row in old]
    new[3] |= classified("dog", 0.9)
    new[20] |= classified("cat", 0.75)
    new[7] = failed("empty_file", id="7")
    old[9] = failed("empty_file", id="9")
    pair = compared(tmp_path, "classify", old, new[::-1])
    drift = dict(zip(pair.old_rows.tolist(), pair.drift.tolist(), strict=True))
    assert pair.flips == {("cat", "dog"): 1}
    assert pair.old_rows[pair.flipped].tolist() == [3]
    assert [pair.old_rows[kind].tolist() for kind in (pair.new_failures, pair.mended)] == [[7], [9]]
    assert {row: value for row, value in drift.items() if value > 0} == pytest.approx({3: 0.825, 20: 0.25}, abs=1e-6)
    assert [row for row, value in drift.items() if np.isnan(value)] == [9, 7]


def test_embeddings_drift_by_their_angle(tmp_path: Path) -> None:
    angles = np.linspace(0, 1, 20)
    old = [{"embedding": [1.0, 0, 0, 0]}] * 20
    new = [{"embedding": [2 * np.cos(a), 2 * np.sin(a), 0, 0]} for a in angles]
    pair = compared(tmp_path, "embed", old, new)
    np.testing.assert_allclose(pair.drift, 1 - np.cos(angles), atol=1e-6)
    with pytest.raises(UsageError, match="embed has no labels that could flip"):
        pair.passed(DiffOptions(max_flips=Limit(0)))


def test_a_vector_has_not_drifted_from_itself_and_one_of_zeros_has_no_angle(tmp_path: Path) -> None:
    drawn = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32).tolist()
    nothing, infinite = [0.0] * 4, [float("inf")] * 4
    old = [{"embedding": vector} for vector in (*drawn, nothing, nothing, drawn[0], infinite)]
    new = [{"embedding": vector} for vector in (*drawn, nothing, drawn[0], nothing, infinite)]
    assert compared(tmp_path, "embed", old, new).drift.tolist() == [0.0] * 50 + [0, 1, 1, 0]


def test_vectors_in_side_files_are_no_proof_of_no_drift(tmp_path: Path) -> None:
    file = written(tmp_path / "a.parquet", "embed", [{"embedding": [1, 0, 0, 0]}, failed("empty_file")])
    table = pq.read_table(file)
    paths = pa.array(["a.parquet.files/00/0.tokens.npz", None])
    pq.write_table(table.drop_columns("embedding").append_column("tokens_path", paths), file)
    with Results(str(file)) as one, Results(str(file)) as other:
        pair = compare(one, other)
    assert pair.passed(DiffOptions(max_new_failures=Limit(0))) == []
    with pytest.raises(UsageError, match="side files, which are not compared"):
        pair.passed(DiffOptions(max_drift=Limit(0)))


def test_depth_drifts_in_parts_of_its_old_range(tmp_path: Path) -> None:
    ends = [((1, 5), (1, 5)), ((1, 5), (1, 6)), ((1, 5), (2, 5.5))]
    old, new = ([{"depth_min": a, "depth_max": b, "metric": True} for a, b in side] for side in zip(*ends, strict=True))
    np.testing.assert_allclose(compared(tmp_path, "depth", old, new).drift, [0, 0.25, 0.25], atol=1e-6)


FLAT = [  # (old ends, new ends, drift): over the old range, but at least 1% of the largest depth
    ((2, 2), (2, 2), 0),
    ((2, 2), (2.01, 2.01), 0.01 / 0.0201),
    ((0, 0), (0, 0), 0),
    ((0, 0), (0, 4), 100),
    ((100, 100.5), (100, 101), 0.5 / 1.01),
    ((-8, -8), (-8, -8.04), 0.04 / 0.0804),
]


@pytest.mark.parametrize(("old", "new", "drift"), FLAT)
def test_a_flat_depth_map_has_a_drift_that_means_something(tmp_path: Path, old: Any, new: Any, drift: float) -> None:
    sides = [[{"depth_min": near, "depth_max": far, "metric": True}] for near, far in (old, new)]
    np.testing.assert_allclose(compared(tmp_path, "depth", *sides).drift, [drift], rtol=1e-3)


@pytest.mark.parametrize("limit", ["max_flips", "max_drift", "max_new_failures"])
@pytest.mark.parametrize("rows", [0, 3])
def test_a_limit_on_rows_that_have_no_id_in_common_is_refused(tmp_path: Path, limit: str, rows: int) -> None:
    old = [classified("cat", 0.9, id=f"a/{n}.jpg") for n in range(rows)]
    pair = compared(tmp_path, "classify", old, [classified("dog", 0.9)])
    with pytest.raises(
        UsageError, match=r"^there is nothing to compare: no id of .*/old.parquet is in .*/new.parquet \("
    ):
        pair.passed(DiffOptions(**{limit: Limit(0.5, True)}))
    assert pair.passed(DiffOptions()) == []


@pytest.mark.parametrize("limit", ["max_flips", "max_drift"])
def test_a_limit_on_answers_is_refused_where_no_row_has_two(tmp_path: Path, limit: str) -> None:
    pair = compared(tmp_path, "classify", [classified("cat", 0.9)] * 3, [failed("empty_file")] * 3)
    flag = "--" + limit.replace("_", "-")
    with pytest.raises(UsageError, match=rf"^{flag}: none of 3 rows was answered by both runs \(3 fail anew\)$"):
        pair.passed(DiffOptions(**{limit: Limit(0.5, True)}))
    assert pair.passed(DiffOptions(max_new_failures=Limit(3))) == []


def test_rows_that_are_gone_are_told(tmp_path: Path) -> None:
    rows = [classified("cat", 0.9, id=str(n)) for n in range(4)]
    told = [compared(tmp_path, "classify", rows, new).left_out for new in (rows, rows[1:], rows[:1])]
    assert told == [
        None,
        *(
            f"{n} of 4 rows of {tmp_path}/old.parquet {verb} not in {tmp_path}/new.parquet"
            for n, verb in ((1, "is"), (3, "are"))
        ),
    ]


def test_a_small_drift_is_shown_in_its_own_digits(tmp_path: Path) -> None:
    old, new = ([classified("cat", score)] * 3 for score in (0.0, 3.25e-6))
    drift = {
        name: value for name, value in summary(compared(tmp_path, "classify", old, new))[0].rows if "drift" in name
    }
    assert drift == dict.fromkeys(("drift, median", "drift, 95 of 100 below", "drift, largest"), 3.25e-6)


def test_objects_are_the_same_by_label_and_place(tmp_path: Path) -> None:
    cat, moved = seen("cat", 0.9, 0, 0, 10, 10), seen("cat", 0.7, 1, 0, 11, 10)
    far, dog = seen("cat", 0.9, 30, 30, 40, 40), seen("dog", 0.9, 0, 0, 10, 10)
    old = [{"objects": found} for found in ([cat], [cat], [cat], [], [cat, far])]
    new = [{"objects": found} for found in ([moved], [far], [dog], [cat], [far, cat])]
    pair = compared(tmp_path, "detect", old, new)
    assert pair.flipped is not None and pair.flipped.tolist() == [False, True, True, True, False]
    np.testing.assert_allclose(pair.drift, [0.2, 0, 0, 0, 0], atol=1e-6)
    assert pair.flips == {("cat", "nothing"): 2, ("nothing", "cat"): 2, ("nothing", "dog"): 1}


def test_the_best_overlap_is_matched_first() -> None:
    a, b = seen("x", 0.5, 0, 0, 10, 10), seen("x", 0.5, 2, 0, 12, 10)
    stayed, gone, come = matched([a], [b, a])
    assert (stayed, gone, come) == ([(a, a)], [], [b])
    assert iou(a, b) == pytest.approx(80 / 120)
    assert (iou(a, seen("x", 1, 20, 20, 30, 30)), iou(seen("x", 1, 5, 5, 5, 5), seen("x", 1, 5, 5, 5, 5))) == (0, 1)


@pytest.mark.parametrize(
    ("limits", "passed"),
    [
        (DiffOptions(), []),
        (DiffOptions(max_flips=Limit(2)), []),
        (DiffOptions(max_flips=Limit(1)), ["2 of 10 rows flipped, more than --max-flips 1"]),
        (DiffOptions(max_flips=Limit(0.2, True)), []),
        (DiffOptions(max_flips=Limit(0.19, True)), ["2 of 10 rows flipped, more than --max-flips 19%"]),
        (DiffOptions(max_drift=Limit(0.5)), []),
        (DiffOptions(max_drift=Limit(0.3, True)), ["the largest drift is 0.4, more than --max-drift 30%"]),
        (DiffOptions(max_new_failures=Limit(0)), ["1 row fails anew, more than --max-new-failures 0"]),
    ],
)
def test_a_limit_that_is_passed_is_a_sentence(tmp_path: Path, limits: DiffOptions, passed: list[str]) -> None:
    old = [classified("cat", 0.5) for _ in range(10)]
    new = [classified("dog", 0.9), classified("dog", 0.5), failed("non_finite"), *old[3:]]
    assert compared(tmp_path, "classify", old, new).passed(limits) == passed


def test_other_provenance_is_listed_and_another_task_refused(tmp_path: Path) -> None:
    rows = [classified("cat", 0.5)]
    pair = compared(tmp_path, "classify", rows, rows, dtype="float16", parameters={"labels": ["cat"]})
    assert pair.differences == (("dtype", "null", "float16"), ("labels", "null", '["cat"]'))
    other = written(tmp_path / "depth.parquet", "depth", [failed("empty_file")])
    with (
        Results(str(other)) as before,
        Results(str(tmp_path / "new.parquet")) as after,
        pytest.raises(UsageError, match=r"of the task depth and .* of classify: they cannot be compared"),
    ):
        compare(before, after)
