"""Near-duplicates against the definition: every cosine in float64, compared one by one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.search.indexes import Matrix, cosines, drawn, unit
from visioncli.errors import DeviceError, UsageError
from visioncli.search import outline, pairs
from visioncli.search.cosines import lengths, rounding
from visioncli.search.groups import Group, near_duplicate_groups
from visioncli.search.pairs import near_duplicates


def cone(rows: int) -> Matrix:
    """All alike by 0.9 or so: nothing can be told from an outline."""
    return unit(drawn(rows, 64) * 0.33 + drawn(1, 64, seed=1))


def clusters(rows: int) -> Matrix:
    return unit(drawn(20, 64, seed=1)[np.arange(rows) % 20] + 0.25 * drawn(rows, 64))


def decaying(rows: int) -> Matrix:
    return unit(drawn(rows, 64) / np.arange(1, 65))


def planted(rows: int) -> Matrix:
    found = drawn(rows, 64)
    found[1::10] = unit(found[::10] + 0.2 * drawn(len(found[1::10]), 64, seed=2))
    return found


def lattice(rows: int) -> Matrix:
    """Cosines that lie exactly on simple fractions, many of them on a threshold."""
    return unit(np.random.default_rng(0).integers(-1, 2, (rows, 4)) + np.array([0.0, 0.0, 0.0, 4.0]))


def equal(rows: int) -> Matrix:
    return np.repeat(drawn(1, 64), rows, axis=0)


DATA: list[Callable[[int], Matrix]] = [cone, clusters, decaying, planted, lattice, equal]


def found(vectors: Matrix, least: float, scored: bool = True) -> dict[tuple[int, int], float]:
    parts = list(near_duplicates(vectors, least, scored=scored))
    listed = [
        ((int(a), int(b)), float(score))
        for part in parts
        for a, b, score in zip(part.a, part.b, part.scores, strict=True)
    ]
    assert len(dict(listed)) == len(listed)
    return dict(listed)


def truth(vectors: Matrix, least: float) -> dict[tuple[int, int], float]:
    scores = cosines(vectors, vectors)
    a, b = np.nonzero(np.triu(scores >= np.float32(least), 1))
    return {(int(i), int(j)): float(scores[i, j]) for i, j in zip(a, b, strict=True)}


@pytest.fixture(params=[None, 8, 32])
def tiles(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small tiles, so that their seams are met; with the outline that is chosen, and with two that are not."""
    monkeypatch.setattr(pairs, "_TILE", 50)
    if request.param is not None:
        monkeypatch.setattr(outline, "_best", lambda units, axes, least: min(request.param, axes.shape[1]))


@pytest.mark.usefixtures("tiles")
@pytest.mark.parametrize("make", DATA)
@pytest.mark.parametrize("least", [0.95, 0.9, 0.3, 1.0, -1.0])
def test_all_pairs_that_reach_the_least_score_and_no_others(make: Callable[[int], Matrix], least: float) -> None:
    vectors = make(260)
    got, expected = found(vectors, least), truth(vectors, least)
    exact = cosines(vectors, vectors)
    # Ours and the definition's float64 may round a cosine to two neighbouring float32 numbers, the line between them.
    assert all(abs(exact[pair] - least) <= 2.0**-23 for pair in got.keys() ^ expected.keys())
    assert make in (lattice, equal) or got.keys() == expected.keys()
    for pair in got.keys() & expected.keys():
        assert abs(got[pair] - expected[pair]) <= 2.0**-23


@pytest.mark.parametrize("make", DATA)
def test_unscored_pairs_are_the_same_pairs(make: Callable[[int], Matrix]) -> None:
    vectors = make(200)
    assert found(vectors, 0.93, scored=False).keys() == found(vectors, 0.93).keys()


@pytest.mark.parametrize("make", DATA)
@pytest.mark.parametrize("width", [4, 20])
def test_an_outline_never_tells_less_than_the_cosine(make: Callable[[int], Matrix], width: int) -> None:
    vectors = make(150)
    axes = np.linalg.qr(np.random.default_rng(5).standard_normal((vectors.shape[1], width)))[0]
    bound = outline._outlined(vectors, lengths(vectors), axes)
    exact = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    assert (bound @ bound.T - exact).min() >= -outline.slack(bound)


def test_float32_products_are_within_the_stated_rounding() -> None:
    for width in (3, 100, 768):
        vectors = drawn(400, width)
        exact = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
        assert np.abs(vectors @ vectors.T - exact).max() < rounding(width)


@pytest.mark.parametrize("scale", [1e-15, 1.0, 1e15])
def test_lengths_do_not_matter(scale: float) -> None:
    vectors = planted(120)
    scaled = (vectors * np.random.default_rng(0).uniform(0.5, 2, (120, 1)) * scale).astype(np.float32)
    assert found(scaled, 0.95).keys() == found(vectors, 0.95).keys() != set()


def test_rows_of_no_length_or_not_finite_are_in_no_pair() -> None:
    vectors = equal(6)
    vectors[1], vectors[2], vectors[4] = 0, np.nan, np.inf
    assert list(found(vectors, -1.0)) == [(0, 3), (0, 5), (3, 5)]


@pytest.mark.parametrize("rows", [0, 1])
def test_one_row_alone_has_no_duplicate(rows: int) -> None:
    assert found(drawn(2)[:rows], 0.5) == {}


@pytest.mark.parametrize("least", [1.01, -1.5, float("nan")])
def test_what_is_no_cosine_is_refused(least: float) -> None:
    with pytest.raises(UsageError, match="is no cosine"):
        found(drawn(3), least)


def test_a_device_that_is_not_here_is_named() -> None:
    with pytest.raises((DeviceError, UsageError), match=r"cuda was asked for|cuda:99"):
        list(near_duplicates(drawn(3), 0.5, "cuda:99"))


@pytest.mark.parametrize("make", DATA)
def test_a_torch_device_finds_the_same(make: Callable[[int], Matrix]) -> None:
    from visioncli.models.products import reaching

    left, right = make(60), make(90)
    rows, columns, values = reaching("cpu")(left, right, 0.9)
    exact = left.astype(np.float64) @ right.T.astype(np.float64)
    got = set(zip(rows.tolist(), columns.tolist(), strict=True))
    assert set(zip(*map(np.ndarray.tolist, np.nonzero(exact >= 0.9 + 1e-4)), strict=True)) <= got
    assert all(exact[a, b] > 0.9 - 1e-4 for a, b in got)
    np.testing.assert_allclose(values, exact[rows, columns], atol=1e-5)


# Groups


def by_walking(joined: dict[tuple[int, int], float]) -> set[frozenset[int]]:
    """Connected components by the textbook: from each row as far as pairs lead."""
    near: dict[int, set[int]] = {}
    for a, b in joined:
        near.setdefault(a, set()).add(b)
        near.setdefault(b, set()).add(a)
    groups = set()
    for start in near:
        seen, ahead = {start}, [start]
        while ahead:
            new = near[ahead.pop()] - seen
            seen |= new
            ahead += new
        groups.add(frozenset(seen))
    return groups


@pytest.mark.usefixtures("tiles")
@pytest.mark.parametrize("make", DATA)
@pytest.mark.parametrize("least", [0.97, 0.9])
def test_groups_are_the_connected_components(make: Callable[[int], Matrix], least: float) -> None:
    vectors = make(260)
    groups = near_duplicate_groups(vectors, least)
    assert {frozenset(group.members.tolist()) for group in groups} == by_walking(found(vectors, least))
    assert [len(group.members) for group in groups] == sorted((len(group.members) for group in groups), reverse=True)


def test_a_chain_is_one_group_and_its_middle_stands_for_it() -> None:
    angles = np.deg2rad([0, 90, 8, 16, 91])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    one, two = near_duplicate_groups(vectors, float(np.cos(np.deg2rad(9))))
    assert (one.representative, one.members.tolist()) == (2, [0, 2, 3])
    assert (two.representative, two.members.tolist()) == (1, [1, 4])
    assert isinstance(one, Group)
