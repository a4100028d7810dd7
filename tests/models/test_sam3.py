"""Ours against transformers' whole Sam3Model, asked each prompt by itself, and its own post-processing."""

import json
import shutil

import checkpoints
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import sam3_checkpoints
import torch
from pycocotools import mask as coco
from safetensors.torch import load_file, save_file

from visioncli import models
from visioncli.errors import ModelError, PredictError, UsageError
from visioncli.models.runtime import RuntimeRequest, choose
from visioncli.models.sam3 import load
from visioncli.samples import Facts, ImageRef, Sample
from visioncli.tasks.segment import TASK, SegmentOptions

# pycocotools 2.0.11 asks numpy 2 for an array in numpy 1's way; its `decode` warns, its `encode` does not.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

PROMPTS = ("cat", "a red car", "two dogs", "sea")
LONG = "a photo of the quick brown fox jumps over the lazy dog and many cats on mats"
CPU = RuntimeRequest("cpu", "float32")


def options(prompts=PROMPTS, **changes):
    return SegmentOptions(prompts, **{"threshold": 0.3, **changes})


def sample(picture, size=None):
    return Sample(ImageRef(0, "", None), Facts(size=size or picture.shape[:2]), picture)


def segmented(predictor, pictures, asked, batch=1):
    """One Objects per picture."""
    samples = [sample(picture) for picture in pictures]
    inputs = [predictor.preprocess(each, asked) for each in samples]
    outputs = [row for i in range(0, len(inputs), batch) for row in predictor.forward(inputs[i : i + batch], asked)]
    return predictor.postprocess(outputs, samples, asked)


def decoded(rle):
    return coco.decode({"size": rle.size, "counts": rle.counts.encode()}).astype(bool)


def overlap(one, other):
    """Intersection over union; 1 where both are empty."""
    return np.sum(one & other) / max(np.sum(one | other), 1) if np.any(one | other) else 1.0


def refuse_difference(found, truths):
    """`truths`: per prompt transformers' instances. Each of ours is the one with its label, score and box."""
    assert len(found.labels) == sum(len(truth["scores"]) for truth in truths.values())
    left = {label: [*zip(*truth.values(), strict=True)] for label, truth in truths.items()}
    for label, score, box, rle in zip(found.labels, found.scores, found.boxes, found.masks, strict=True):
        height, width = rle.size
        away = [
            abs(score - each[0]) + np.abs(box - np.clip(each[1], 0, [width, height] * 2)).max() for each in left[label]
        ]
        _, _, mask = left[label].pop(int(np.argmin(away)))
        assert min(away) < 0.01
        assert overlap(decoded(rle), mask > 0) > 0.999


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return sam3_checkpoints.sam3(tmp_path_factory.mktemp("sam3-small"))


@pytest.fixture(scope="module")
def predictor(checkpoint):
    return models.load(checkpoint, "segment", CPU)


# Against transformers


@pytest.fixture(scope="module")
def real(tmp_path_factory, pictures):
    """(predictor, picture, what it sees, transformers' answer): facebook/sam3's sizes and 1008 pixels, fewer layers."""
    folder = tmp_path_factory.mktemp("sam3-real")
    checkpoint = sam3_checkpoints.sam3(folder, sam3_checkpoints.SHALLOW)
    predictor = models.load(checkpoint, "segment", CPU)
    levels = predictor.preprocess(sample(pictures[7]), options())
    (answer,) = sam3_checkpoints.answers(checkpoint, levels, ["a red car"])
    yield predictor, pictures[7], levels, answer
    shutil.rmtree(folder)  # 0.5 GB


def test_at_the_real_size_objects_are_those_of_transformers(real):
    predictor, picture, _, answer = real
    truth = sam3_checkpoints.instances(answer, picture.shape[:2], 0.5)
    assert len(truth["scores"]) >= 10
    (found,) = segmented(predictor, [picture], options(("a red car",), threshold=0.5))
    refuse_difference(found, {"a red car": truth})


def test_at_the_real_size_pixels_are_within_a_level_of_the_definition(real):
    _, picture, levels, _ = real
    planes = torch.tensor(picture).permute(2, 0, 1)[None].double()
    truth = torch.nn.functional.interpolate(planes, (1008, 1008), mode="bilinear", antialias=True)
    assert np.abs(levels - truth[0].permute(1, 2, 0).round().numpy()).max() <= 1


@pytest.mark.parametrize("number", [3, 5, 6, 7])
def test_objects_are_those_of_transformers(checkpoint, predictor, pictures, number):
    picture, asked = pictures[number], options(mask_threshold=0.4)
    answers = sam3_checkpoints.answers(checkpoint, predictor.preprocess(sample(picture), asked), PROMPTS)
    truths = [sam3_checkpoints.instances(answer, picture.shape[:2], 0.3, 0.4) for answer in answers]
    assert sum(len(truth["scores"]) > 0 for truth in truths) >= 3
    (found,) = segmented(predictor, [picture], asked)
    refuse_difference(found, dict(zip(PROMPTS, truths, strict=True)))


@pytest.mark.parametrize("prompt", ["cat", "A Red  CAR!", "naïve café", "", LONG])
def test_tokens_are_those_of_transformers(checkpoint, predictor, prompt):
    theirs = sam3_checkpoints.tokens(checkpoint, [prompt])
    ids, real = predictor._detector._reader.tokens(prompt)
    np.testing.assert_array_equal(ids, theirs["input_ids"][0])
    np.testing.assert_array_equal(real, theirs["attention_mask"][0])


def test_a_prompt_that_is_too_long_keeps_its_end_mark(predictor):
    ids, real = predictor._detector._reader.tokens(LONG)
    assert (ids[0], ids[-1], real.sum(), len(ids)) == (49406, 49407, 16, 16)


# An answer depends on nothing but its picture and its prompt


@pytest.mark.parametrize("batch", [2, 5, 8])
def test_an_answer_does_not_depend_on_its_neighbours(predictor, pictures, batch):
    alone = segmented(predictor, pictures[:8], options())
    for one, other in zip(alone, segmented(predictor, pictures[:8], options(), batch), strict=True):
        assert one.labels == other.labels
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-3)
        np.testing.assert_allclose(one.boxes, other.boxes, atol=0.5)
        assert all(overlap(decoded(a), decoded(b)) >= 0.999 for a, b in zip(one.masks, other.masks, strict=True))


def test_an_answer_does_not_depend_on_the_prompts_beside_it(predictor, pictures):
    (together,) = segmented(predictor, [pictures[6]], options())
    (turned,) = segmented(predictor, [pictures[6]], options(PROMPTS[::-1]))
    assert len(set(together.labels)) >= 3
    for prompt in PROMPTS:
        (alone,) = segmented(predictor, [pictures[6]], options((prompt,)))
        for found in (together, turned):
            mine = [i for i, label in enumerate(found.labels) if label == prompt]
            np.testing.assert_allclose(found.scores[mine], alone.scores, atol=1e-5)
            np.testing.assert_allclose(found.boxes[mine], alone.boxes, atol=1e-2)


def test_more_pairs_than_fit_at_once_are_asked_in_turn(predictor, pictures, monkeypatch):
    (whole,) = segmented(predictor, [pictures[5]], options())
    monkeypatch.setattr("visioncli.models.sam3.detector.MASK_PIXELS", 1)
    (in_turn,) = segmented(predictor, [pictures[5]], options())
    assert whole.labels == in_turn.labels
    np.testing.assert_allclose(whole.scores, in_turn.scores, atol=1e-5)


@pytest.mark.parametrize("masks", ["rle", "polygons"])
def test_rows_fit_the_tasks_columns(predictor, pictures, masks):
    asked = options(masks=masks)
    rows = [TASK.to_row(found, asked) for found in segmented(predictor, pictures[:2], asked)]
    table = pa.Table.from_pylist(rows, schema=TASK.columns(asked, predictor.info))
    objects = pc.list_flatten(table["objects"]).combine_chunks()
    assert len(objects) >= 10
    assert all(objects.field(name).null_count == 0 for name in objects.type.names)


# What is made of it


def test_objects_are_sorted_and_lie_in_the_picture(predictor, pictures):
    (found,) = segmented(predictor, [pictures[6]], options(threshold=0.1))
    assert len(found.labels) >= 10
    assert list(found.scores) == sorted(found.scores, reverse=True)
    assert found.boxes.min() >= 0 and (found.boxes.max(0) <= [333, 500, 333, 500]).all()
    assert set(found.labels) <= set(PROMPTS) and found.phrases == found.labels
    assert {rle.size for rle in found.masks} == {(500, 333)}


def test_only_what_passes_the_threshold_is_answered(predictor, pictures):
    (many,), (few,) = (segmented(predictor, [pictures[6]], options(threshold=t)) for t in (0.3, 0.5))
    assert 0 < len(few.labels) < len(many.labels)
    np.testing.assert_array_equal(few.scores, many.scores[many.scores > 0.5])


def test_nothing_found_is_an_empty_result(predictor, pictures):
    (found,) = segmented(predictor, [pictures[6]], options(threshold=1))
    assert (found.labels, found.boxes.shape, found.masks, found.polygons) == ((), (0, 4), (), None)
    assert TASK.to_row(found, options()) == {"objects": []}


def test_a_shared_pixel_goes_to_the_best_object(predictor, pictures):
    (plain,), (resolved,) = (segmented(predictor, [pictures[6]], options(resolve_overlaps=r)) for r in (False, True))
    before, after = (np.stack([decoded(rle) for rle in found.masks]) for found in (plain, resolved))
    assert before.sum(0).max() > 1
    owner = np.where(before.any(0), before.argmax(0), -1)  # the first that covers it, and the first is the best
    np.testing.assert_array_equal(after, owner == np.arange(len(before))[:, None, None])
    assert plain.labels == resolved.labels


def test_with_priors_a_shared_pixel_goes_to_the_best_product(predictor, pictures):
    asked = options(resolve_overlaps=True, priors=(0.1, 1.0, 3.0, 0.5))
    (plain,), (resolved,) = (segmented(predictor, [pictures[6]], each) for each in (options(), asked))
    before, after = (np.stack([decoded(rle) for rle in found.masks]) for found in (plain, resolved))
    strength = plain.scores * [asked.priors[PROMPTS.index(label)] for label in plain.labels]
    owner = np.where(before.any(0), (before * (1 + strength[:, None, None])).argmax(0), -1)  # 1: of strength 0 too
    np.testing.assert_array_equal(after, owner == np.arange(len(before))[:, None, None])
    assert plain.labels == resolved.labels and (np.diff(strength) > 0).any()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"priors": (1.0,) * 4}, "unless overlaps are resolved"),
        ({"priors": (1.0,), "resolve_overlaps": True}, "1 prior for 4 prompts"),
        ({"priors": (1.0, 1.0, -1.0, 1.0), "resolve_overlaps": True}, "number from 0 on"),
        ({"priors": (1.0, 1.0, np.nan, 1.0), "resolve_overlaps": True}, "number from 0 on"),
    ],
)
def test_priors_that_mean_nothing_are_refused(changes, words):
    with pytest.raises(UsageError, match=words):
        options(**changes)


def test_outlines_are_those_of_the_masks(predictor, pictures):
    (found,) = segmented(predictor, [pictures[6]], options(masks="polygons"))
    for rings, rle in zip(found.polygons, found.masks, strict=True):
        mask = decoded(rle)
        filled = coco.decode(coco.merge(coco.frPyObjects(rings, *rle.size))) if rings else np.zeros_like(mask)
        np.testing.assert_array_equal(filled, mask)


def test_a_scaled_decoding_is_answered_in_pixels_of_the_original(predictor, pictures):
    asked, picture = options(), pictures[3]
    original = sample(picture, size=(640, 320))
    outputs = predictor.forward([predictor.preprocess(original, asked)], asked)
    (found,) = predictor.postprocess(outputs, [original], asked)
    (small,) = segmented(predictor, [picture], asked)
    np.testing.assert_allclose(found.boxes, small.boxes * [5, 10, 5, 10], rtol=1e-5, atol=1e-3)
    assert {rle.size for rle in found.masks} == {(640, 320)}


def test_what_forward_depends_on_is_in_the_batch_key(predictor):
    key = predictor.batch_key(options(), None)
    assert key == predictor.batch_key(options(mask_threshold=0.9, resolve_overlaps=True, masks="png"), None)
    assert key != predictor.batch_key(options(threshold=0.9), None)
    assert key != predictor.batch_key(options(PROMPTS[::-1]), None)


# Precision


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_in_16_bits_nearly_the_same_is_found(checkpoint, predictor, pictures, dtype):
    half = models.load(checkpoint, "segment", RuntimeRequest("cpu", dtype))
    (wide,), (narrow,) = (segmented(each, [pictures[6]], options(("cat",))) for each in (predictor, half))
    assert abs(len(wide.labels) - len(narrow.labels)) <= 3
    assert abs(wide.scores[0] - narrow.scores[0]) < 0.05


def changed(checkpoint, folder, **changes):
    """A copy with tensors put through functions; None drops one."""
    shutil.copytree(checkpoint.directory, folder)
    weights = load_file(folder / "model.safetensors")
    for name, change in changes.items():
        if change is None:
            del weights[name]
        else:
            weights[name] = change(weights[name])
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return checkpoints.of(folder)


def test_a_picture_that_overflows_is_asked_again_in_wider_numbers(checkpoint, pictures, tmp_path):
    loud = changed(checkpoint, tmp_path / "x", **{"vision_encoder.neck.fpn_layers.2.proj2.bias": lambda w: w + 1e5})
    half, full = (models.load(loud, "segment", RuntimeRequest("cpu", dtype)) for dtype in ("float16", "float32"))
    (again,), (wide,) = (segmented(each, [pictures[6]], options(("cat",), threshold=0.1)) for each in (half, full))
    assert len(wide.labels) > 0
    assert abs(len(again.labels) - len(wide.labels)) <= 5


def test_a_picture_that_is_never_finite_fails_alone(checkpoint, pictures, tmp_path):
    broken = changed(checkpoint, tmp_path / "x", **{"detr_encoder.layers.0.mlp.fc1.bias": lambda w: w * torch.nan})
    predictor = models.load(broken, "segment", RuntimeRequest("cpu", "bfloat16"))
    inputs = [predictor.preprocess(sample(picture), options()) for picture in pictures[:2]]
    outputs = predictor.forward(inputs, options())
    assert [output.code for output in outputs if isinstance(output, PredictError)] == ["non_finite"] * 2


# Checkpoints


def test_a_video_models_detector_is_the_same_model(checkpoint, predictor, pictures, tmp_path):
    video = load(sam3_checkpoints.as_video(checkpoint, tmp_path), "segment", choose("cpu", "float32"), True, True)
    (one,), (other,) = (segmented(each, [pictures[6]], options()) for each in (predictor, video))
    assert one.labels == other.labels and one.masks == other.masks
    np.testing.assert_array_equal(one.scores, other.scores)


@pytest.mark.parametrize(
    "lost",
    ["detr_decoder.query_embed.weight", "mask_decoder.instance_projection.weight", "text_projection.bias"],
)
def test_weights_that_lack_a_tensor_are_a_model_error(checkpoint, tmp_path, lost):
    with pytest.raises(ModelError, match="lack 1 tensors"):
        models.load(changed(checkpoint, tmp_path / "x", **{lost: None}), "segment", CPU)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": {"height": 96, "width": 96}}, "sees 64x64"),
        ({"image_processor_type": "SiglipImageProcessor"}, "asks for SiglipImageProcessor"),
        ({"do_resize": False}, "do_resize"),
    ],
)
def test_pixels_that_do_not_fit_the_model_are_a_model_error(checkpoint, tmp_path, changes, words):
    copy = changed(checkpoint, tmp_path / "x")
    path = copy.directory / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ModelError, match=words):
        models.load(copy, "segment", CPU)


def test_another_task_is_refused(checkpoint):
    with pytest.raises(ModelError, match="is a sam3 model: it can segment, not embed"):
        models.load(checkpoint, "embed", CPU)


def test_it_says_what_it_is(checkpoint, predictor):
    info = predictor.info
    assert (info.family, info.recipe) == ("sam3", "sam3/1 resize 64x64 bilinear mean 0.5 std 0.5")
    assert (info.id, info.commit, info.batch_size, predictor.decode_size) == (checkpoint.id, "files:test", 8, (64, 64))
