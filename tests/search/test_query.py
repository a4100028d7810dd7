"""What is looked for: one query a term, or one weighted sum."""

from pathlib import Path

import numpy as np
import pytest

from visioncli.errors import UsageError
from visioncli.search.query import Sum, Term, sums

RED, BLUE, CAT = Term("text", "red"), Term("text", "blue"), Term("image", "cat.jpg")
ASKED = [
    ((["red", "blue"], [], [], []), [("red", [(RED, 1)]), ("blue", [(BLUE, 1)])]),
    ((["red"], ["cat.jpg"], ["7"], []), [("red", [(RED, 1)]), ("cat.jpg", [(CAT, 1)]), ("7", [(Term("row", "7"), 1)])]),
    ((["red"], [], [], ["blue"]), [("red - blue", [(RED, 1), (BLUE, -1)])]),
    ((["red"], ["cat.jpg*0.5"], [], []), [("red + cat.jpg*0.5", [(RED, 1), (CAT, 0.5)])]),
    (
        (["red*2"], [], ["a*2"], ["blue*.5"]),
        [("red*2 + a*2 - blue*0.5", [(RED, 2), (Term("row", "a*2"), 1), (BLUE, -0.5)])],
    ),
    ((["red*-1"], [], [], []), [("- red", [(RED, -1)])]),
    ((["3*4*1"], [], [], []), [("3*4", [(Term("text", "3*4"), 1)])]),
    ((["red*1e-1"], [], [], []), [("red*0.1", [(RED, 0.1)])]),
    ((["red * +2.5E1 "], [], [], []), [("red*25", [(RED, 25)])]),
    ((["a b *2"], [], [], []), [("a b*2", [(Term("text", "a b"), 2)])]),
    ((["red*much"], [], [], []), [("red*much", [(Term("text", "red*much"), 1)])]),
    ((["red*"], [], [], []), [("red*", [(Term("text", "red*"), 1)])]),
    (([], [], [], []), []),
]


@pytest.mark.parametrize(("given", "expected"), ASKED)
def test_terms_are_queries_or_one_sum(given: tuple[list[str], ...], expected: list[tuple[str, list[object]]]) -> None:
    assert sums(*given) == tuple(Sum(tuple(terms), name) for name, terms in expected)


def test_a_picture_whose_name_ends_like_a_weight_is_a_picture(tmp_path: Path) -> None:
    (tmp_path / "a.jpg*2").touch()
    assert sums([], [str(tmp_path / "a.jpg*2")], [], [])[0].terms == ((Term("image", str(tmp_path / "a.jpg*2")), 1.0),)


def test_a_sum_is_of_vectors_of_length_one() -> None:
    vectors = {RED: np.array([5.0, 0, 0]), BLUE: np.array([0, 0.1, 0])}
    query = sums(["red"], [], [], ["blue*0.5"])[0].vector(vectors)
    np.testing.assert_allclose(query, np.array([1, -0.5, 0]) / np.sqrt(1.25))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((["red"], [], [], ["red"]), "cancel out"),
        (([], [], [], ["red"]), "--minus takes from something"),
        (([" "], [], [], []), "empty text"),
        ((["red*1e999"], [], [], []), r"the weight of 'red\*1e999' is larger than numbers go"),
    ],
)
def test_what_cannot_be_looked_for_is_refused(given: tuple[list[str], ...], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        sums(*given)[0].vector({RED: np.array([1.0, 0])})
