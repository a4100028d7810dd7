"""Statistics against planted answers, and which rows are chosen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.report.outputs import classified, failed, seen, written
from visioncli.errors import UsageError
from visioncli.report.choose import choose
from visioncli.report.results import Results
from visioncli.report.survey import BINS, Survey, survey


def surveyed(path: Path) -> Survey:
    with Results(str(path)) as results:
        return survey(results)


def test_labels_scores_and_failures_are_counted_over_all_row_groups(tmp_path: Path) -> None:
    scores = [n / 20 + 0.0025 for n in range(20)]  # the middles of bins
    rows = [classified("dog" if n % 3 == 0 else "cat", score) for n, score in enumerate(scores)] + [
        failed("empty_file")
    ] * 8
    found = surveyed(written(tmp_path / "a.parquet", "classify", rows))
    assert (found.rows, found.failed, found.labels) == (28, {"empty_file": 8}, {"cat": 13, "dog": 7})
    assert found.examples == {"empty_file": [20, 21, 22, 23, 24]}
    np.testing.assert_allclose(found.score, scores + [np.nan] * 8, rtol=1e-6)
    np.testing.assert_allclose(found.certainty[:20], [2 * score - 1 for score in scores], atol=1e-6)
    edges = np.linspace(-1, 1, BINS + 1)
    np.testing.assert_array_equal(found.scores, np.histogram(scores, edges)[0])


def test_an_objects_certainty_is_its_distance_from_the_threshold(tmp_path: Path) -> None:
    box = (0, 0, 9, 9)
    rows = [{"objects": [seen("a", 0.9, *box), seen("b", 0.45, *box)]}, {"objects": []}, failed("non_finite")]
    found = surveyed(written(tmp_path / "a.parquet", "detect", rows, parameters={"box_threshold": 0.4}))
    np.testing.assert_allclose(found.score, [0.9, np.nan, np.nan], rtol=1e-6)
    np.testing.assert_allclose(found.certainty, [0.05, np.nan, np.nan], atol=1e-6)
    assert found.labels == {"a": 1, "b": 1}


def test_a_vector_is_compared_with_the_mean_of_all(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(30, 4))
    rows = [{"embedding": vector} for vector in vectors] + [failed("empty_file")]
    found = surveyed(written(tmp_path / "a.parquet", "embed", rows))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    mean = unit.mean(axis=0) / np.linalg.norm(unit.mean(axis=0))
    np.testing.assert_allclose(found.score, [*(unit @ mean), np.nan], atol=1e-6)


def planted(rows: int = 5000) -> Survey:
    draw = np.random.default_rng(1)
    found = Survey(rows, draw.random(rows) > 0.1, draw.random(rows, np.float32), draw.random(rows, np.float32))
    found.failed["rare"], found.failed["usual"] = 1, int((~found.ok).sum()) - 1
    failures = np.flatnonzero(~found.ok)
    found.examples["usual"], found.examples["rare"] = failures[:5].tolist(), failures[-1:].tolist()
    found.score[~found.ok] = found.certainty[~found.ok] = np.nan
    return found


@pytest.mark.parametrize("most", [10, 11, 100, 2000])
def test_extremes_and_every_kind_of_failure_are_among_the_chosen(most: int) -> None:
    found = planted()
    chosen = choose(found, most, seed=3)
    assert len(set(chosen.tolist())) == len(chosen) == most
    extremes = [np.nanargmax(found.score), np.nanargmin(found.score), np.nanargmin(found.certainty)]
    assert {*extremes, found.examples["rare"][0], found.examples["usual"][0]} <= set(chosen.tolist())
    assert (~found.ok[chosen]).sum() == min(most // 2, (~found.ok).sum())


def test_a_seed_names_a_choice() -> None:
    first, again, other = (choose(planted(), 200, seed).tolist() for seed in (1, 1, 2))
    assert first == again != other
    assert choose(planted(50), 100, 0).tolist() == list(range(50))


def test_an_unknown_task_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet", "classify", [classified("cat", 0.5)], task="sing")
    with pytest.raises(UsageError, match="of the task 'sing'; what can be shown is classify, embed, detect, segment"):
        surveyed(path)
