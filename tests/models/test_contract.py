"""What every family must keep, whatever it is; a new row of FAMILIES is picked up here."""

import numpy as np
import pyarrow as pa
import pytest

from visioncli import models
from visioncli.models import FAMILIES
from visioncli.models.runtime import RuntimeRequest
from visioncli.samples import Facts, ImageRef, Sample
from visioncli.tables import look_up
from visioncli.tasks import TASKS
from visioncli.tasks.classify import ClassifyOptions
from visioncli.tasks.embed import EmbedOptions

ASKED = [
    ("classify", ClassifyOptions(("cat", "dog", "sea"), ("a photo of a {}",))),
    ("embed", EmbedOptions()),
    ("embed", EmbedOptions(text_column="t")),
    ("embed", EmbedOptions(image=False, text_column="t")),
]


@pytest.fixture(params=FAMILIES)
def checkpoint(request):
    return request.getfixturevalue(f"small_{request.param}")


@pytest.fixture(params=ASKED, ids=lambda asked: asked[0])
def asked(request, checkpoint):
    task, options = request.param
    return look_up(TASKS, task, "task"), options, models.load(checkpoint, task, RuntimeRequest("cpu", "float32"))


def samples(pictures):
    shapes = [*pictures[:7], np.zeros((1, 1, 3), np.uint8)]
    return [Sample(ImageRef(i, str(i), None, {"t": f"text {i}"}), Facts(), shape) for i, shape in enumerate(shapes)]


def rows(asked, batch):
    task, options, predictor = asked
    inputs = [predictor.preprocess(sample, options) for sample in batch]
    assert len({predictor.batch_key(options, row) for row in inputs}) == 1
    results = predictor.postprocess(predictor.forward(inputs, options), batch, options)
    return [task.to_row(result, options) for result in results]


def numbers(row):
    return np.concatenate([np.atleast_1d(v).astype(np.float64) for k, v in row.items() if k not in ("label", "labels")])


def test_one_by_one_equals_batched(asked, pictures):
    together = rows(asked, samples(pictures))
    for sample, expected in zip(samples(pictures), together, strict=True):
        (alone,) = rows(asked, [sample])
        assert [alone.get(k) for k in ("label", "labels")] == [expected.get(k) for k in ("label", "labels")]
        np.testing.assert_allclose(numbers(alone), numbers(expected), atol=1e-4, rtol=1e-5)


def test_a_row_does_not_depend_on_its_neighbours_or_its_place(asked, pictures):
    forwards, backwards = rows(asked, samples(pictures)), rows(asked, samples(pictures)[::-1])
    for row, same in zip(forwards, backwards[::-1], strict=True):
        np.testing.assert_array_equal(numbers(row), numbers(same))


def test_rows_fit_the_tasks_columns(asked, pictures):
    task, options, predictor = asked
    schema = task.columns(options, predictor.info)
    table = pa.Table.from_pylist(rows(asked, samples(pictures)), schema=schema)
    assert table.num_rows == 8
    assert sum(column.null_count for column in table.columns) == 0


def test_a_1x1_picture_survives(asked, pictures):
    row = rows(asked, samples(pictures)[-1:])[0]
    assert np.isfinite(numbers(row)).all()


def test_it_says_what_it_is(checkpoint, asked):
    info = asked[2].info
    assert (info.id, info.commit, info.batch_size) == (checkpoint.id, checkpoint.commit, 8)
    assert asked[2].decode_size is None or len(asked[2].decode_size) == 2
