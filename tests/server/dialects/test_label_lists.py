"""Labels that repeat, over a task that is asked for each once."""

from __future__ import annotations

import numpy as np

from visioncli.server.dialects.label_lists import best_first, distinct, in_places, softmax
from visioncli.tasks.classify import Labelled

LIST = ["b", "a", "b"]
FOUND = Labelled(("a", "b"), np.array([0.75, 0.5], np.float32), np.zeros(2, np.float32))  # best first


def test_each_label_is_asked_once_and_scored_in_all_its_places() -> None:
    assert distinct(LIST) == ("b", "a")
    assert in_places(LIST, FOUND).tolist() == [0.5, 0.75, 0.5]


def test_equal_scores_keep_the_order_of_the_list() -> None:
    assert best_first(in_places(LIST, FOUND)) == [1, 0, 2]


def test_softmax_of_large_numbers_does_not_overflow() -> None:
    np.testing.assert_allclose(softmax(np.array([1e4, 1e4, -1e4])), [0.5, 0.5, 0.0])
