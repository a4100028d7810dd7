"""What every family must keep, whatever it is; a new row of FAMILIES and ANSWERS is picked up here."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from visioncli import models
from visioncli.jobs.rows import column
from visioncli.models import ANSWERS, FAMILIES
from visioncli.models.runtime import RuntimeRequest
from visioncli.row import size_of
from visioncli.samples import Facts, ImageRef, Sample
from visioncli.tables import look_up
from visioncli.tasks import TASKS
from visioncli.tasks.classify import ClassifyOptions, Labelled
from visioncli.tasks.depth import DepthMap, DepthOptions
from visioncli.tasks.detect import DetectOptions
from visioncli.tasks.embed import Embedded, EmbedOptions
from visioncli.tasks.objects import Objects
from visioncli.tasks.segment import SegmentOptions

ASKED = {
    "classify": [ClassifyOptions(("cat", "dog", "sea"), ("a photo of a {}",))],
    "embed": [EmbedOptions(), EmbedOptions(features="tokens")],
    # Of random weights: 0 keeps all that there is, so that no score falls to another side of it.
    "detect": [DetectOptions(("cat", "dog"), box_threshold=0.0, text_threshold=0.0)],
    "segment": [SegmentOptions(("cat", "dog"), threshold=0.0)],
    "depth": [DepthOptions()],
}
ASKED_OF_TEXT = [EmbedOptions(text_column="t"), EmbedOptions(image=False, text_column="t")]
NUMBERS = {  # what is a number in a result
    Labelled: ("scores", "logits"),
    Embedded: ("embedding", "text_embedding", "tokens"),
    Objects: ("scores", "boxes"),
    DepthMap: ("depth", "confidence", "intrinsics", "extrinsics"),
}


def cases():
    for family in FAMILIES:
        for task in ANSWERS[family]:
            reads_text = task == "embed" and "classify" in ANSWERS[family]
            for number, options in enumerate(ASKED[task] + ASKED_OF_TEXT * reads_text):
                yield pytest.param((family, task, options), id=f"{family}-{task}-{number}")


class Asked:
    """One family, one task, one set of options."""

    def __init__(self, checkpoint, task, options):
        self.checkpoint, self.options = checkpoint, options
        self.task = look_up(TASKS, task, "task")
        self.predictor = models.load(checkpoint, task, RuntimeRequest("cpu", "float32"))

    def answers(self, batch):
        """The samples' results, in order; only what may share a batch does, and only as many as the model takes."""
        inputs = [self.predictor.preprocess(sample, self.options) for sample in batch]
        groups = {}
        for place, row in enumerate(inputs):
            groups.setdefault(self.predictor.batch_key(self.options, row), []).append(place)
        found = {}
        for places in groups.values():
            size = self.predictor.info.batch_size
            for some in (places[first : first + size] for first in range(0, len(places), size)):
                outputs = self.predictor.forward([inputs[place] for place in some], self.options)
                assert all(size_of(value) > 0 for value in (*inputs, *outputs))  # what waits is bounded by it
                bare = [replace(batch[place], image=None) for place in some]  # as the pipeline does: pixels are let go
                found |= zip(some, self.predictor.postprocess(outputs, bare, self.options), strict=True)
        return [found[place] for place in range(len(batch))]


@pytest.fixture(scope="module", params=cases())
def asked(request):
    family, task, options = request.param
    return Asked(request.getfixturevalue(f"small_{family.replace('-', '_')}"), task, options)


@pytest.fixture(scope="module")
def samples(pictures):
    shapes = [*pictures[:7], np.zeros((1, 1, 3), np.uint8)]
    refs = [ImageRef(i, str(i), None, {"t": f"text {i}"}) for i in range(8)]
    return [Sample(ref, Facts(size=shape.shape[:2]), shape) for ref, shape in zip(refs, shapes, strict=True)]


@pytest.fixture(scope="module")
def together(asked, samples):
    return asked.answers(samples)


def numbers(result):
    values = [getattr(result, name) for name in NUMBERS[type(result)]]
    return [value for value in values if value is not None]


def assert_alike(result, other, exactly=False):
    """Within what the contract allows: 0.5 pixel, 1e-3 of a score, 0.999 of a mask, 1e-4 of a depth; or exactly."""
    if isinstance(result, Objects):
        return assert_same_objects(result, other)
    assert getattr(result, "labels", ()) == getattr(other, "labels", ())
    tolerance = {"rtol": 0} if exactly else {"atol": 1e-4, "rtol": 1e-5}
    for value, same in zip(numbers(result), numbers(other), strict=True):
        np.testing.assert_allclose(value, same, **({"rtol": 1e-4} if isinstance(result, DepthMap) else tolerance))
    return None


def assert_same_objects(found, other):
    """Each object has its like; not by place, as the order of nearly equal scores may change."""
    assert sorted(found.labels) == sorted(other.labels)
    free = list(range(len(other.labels)))
    for i, label in enumerate(found.labels):
        alike = [j for j in free if other.labels[j] == label and abs(found.scores[i] - other.scores[j]) <= 1e-3]
        alike = [j for j in alike if np.abs(found.boxes[i] - other.boxes[j]).max() <= 0.5]
        alike = [j for j in alike if found.masks is None or overlap(found.masks[i], other.masks[j]) >= 0.999]
        assert alike, f"{label} {found.scores[i]} {found.boxes[i]} has no like"
        free.remove(alike[0])


def overlap(mask, other):
    """Intersection over union; equal masks are the same, empty ones too."""
    from pycocotools import mask as coco

    one, two = ({"size": list(each.size), "counts": each.counts} for each in (mask, other))
    return 1.0 if mask == other else coco.iou([one], [two], [False])[0, 0]


def test_one_by_one_equals_batched(asked, samples, together):
    for sample, expected in zip(samples, together, strict=True):
        (alone,) = asked.answers([sample])
        assert_alike(alone, expected)


def test_a_row_does_not_depend_on_its_neighbours_or_its_place(asked, samples, together):
    for result, same in zip(together, asked.answers(samples[::-1])[::-1], strict=True):
        assert_alike(result, same, exactly=True)


def test_rows_fit_the_tasks_columns(asked, together):
    schema = asked.task.columns(asked.options, asked.predictor.info)
    rows = [asked.task.to_row(result, asked.options) for result in together]
    table = pa.table([column([row.get(field.name) for row in rows], field.type) for field in schema], schema=schema)
    table.validate(full=True)
    assert all(row.keys() <= set(schema.names) for row in rows)
    assert sum(table[name].null_count for name in rows[0]) == 0


def test_a_1x1_picture_survives(together):
    assert numbers(together[-1])
    assert all(np.isfinite(value).all() for value in numbers(together[-1]))


def test_there_is_something_to_compare(together):
    assert sum(value.size for result in together for value in numbers(result)) > 0
    found = [len(result.labels) for result in together if isinstance(result, Objects)]
    assert not found or sum(found) >= 10


def test_a_result_says_how_much_it_holds(together):
    for result in together:
        assert result.nbytes >= sum(value.nbytes for value in numbers(result))


def test_masks_and_depth_have_the_pixels_of_the_original(samples, together):
    for sample, result in zip(samples, together, strict=True):
        sizes = [tuple(mask.size) for mask in getattr(result, "masks", None) or ()]
        sizes += [result.depth.shape] if isinstance(result, DepthMap) else []
        assert set(sizes) <= {sample.facts.size}


def test_it_says_what_it_is(asked):
    info, decode_size = asked.predictor.info, asked.predictor.decode_size
    assert (info.id, info.commit) == (asked.checkpoint.id, asked.checkpoint.commit)
    assert 1 <= info.batch_size <= 8
    assert decode_size is None or len(decode_size) == 2
