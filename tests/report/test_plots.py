"""The geometry of plots."""

from __future__ import annotations

import numpy as np
import pytest

from visioncli.report.plots import HEIGHT, WIDTH, bars, histogram, histogram_of


@pytest.mark.parametrize("filled", [(7, 400), (0, 400), (0, 1), (399, 400), (3, 44), (359, 400), (0, 395), (10, 90)])
def test_the_bars_of_a_histogram_are_of_one_width_and_hold_all(filled: tuple[int, int]) -> None:
    counts = np.zeros(400, np.int64)
    counts[filled[0] : filled[1]] = np.arange(filled[1] - filled[0]) + 1
    plot = histogram("x", counts, np.linspace(-1, 1, 401))
    assert plot is not None and len(plot.steps) <= 40
    width = WIDTH / len(plot.steps)
    np.testing.assert_allclose([step.width for step in plot.steps], width, atol=0.02)
    np.testing.assert_allclose([step.x for step in plot.steps], width * np.arange(len(plot.steps)), atol=0.02)
    told = [int(step.said.rpartition(": ")[2].replace(",", "")) for step in plot.steps]
    assert (sum(told), max(told)) == (counts.sum(), plot.most)


def test_one_value_is_a_bar_on_an_axis_that_names_it() -> None:
    plot = histogram_of("x", np.array([2.5, 2.5, np.nan], np.float32))
    assert plot is not None
    assert [(step.x + step.width / 2, step.height, step.said) for step in plot.steps] == [(WIDTH / 2, HEIGHT, "2.5: 2")]
    assert plot.steps[0].width < WIDTH / 20
    assert (plot.ticks, plot.most) == (((WIDTH / 2, "2.5"),), 2)


@pytest.mark.parametrize(
    ("most", "rest"), [(50, ("15 others (bar cut)", 15 * 10, 1.0)), (400, ("15 others", 15 * 10, 150 / 400))]
)
def test_labels_beyond_the_first_have_a_bar_too(most: int, rest: tuple[str, int, float]) -> None:
    counts = {"first": most} | {f"label {n:02}": 10 for n in range(39)}
    *shown, others = bars("Labels", counts).bars
    assert [(bar.count, bar.share) for bar in shown] == [(most, 1.0)] + [(10, 10 / most)] * 24
    assert (others.label, others.count, others.share) == rest
