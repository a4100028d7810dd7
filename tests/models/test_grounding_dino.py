import json
import shutil
import socket
from dataclasses import dataclass
from typing import Any

import checkpoints
import grounding_dino_checkpoints
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from visioncli import models
from visioncli.errors import ModelError, PredictError, UsageError
from visioncli.models.grounding_dino.pixels import sight_from
from visioncli.models.runtime import RuntimeRequest
from visioncli.samples import Facts, ImageRef, Sample
from visioncli.tasks.detect import DetectOptions

CPU = RuntimeRequest("cpu", "float32")
PROMPTS = ("a cat", "the red car", "car", "traffic light", "Zebra")
LOW = {"box_threshold": 0.25, "text_threshold": 0.2}  # under which random weights find enough
FAMILIES = ["grounding_dino", "mm_grounding_dino"]
SQUARE = {"height": 96, "width": 96}


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    made = {}

    def get(family, **config):
        key = family, tuple(config.items())
        if key not in made:
            made[key] = tmp_path_factory.mktemp(family)
            small = {**grounding_dino_checkpoints.SMALL, **config}
            getattr(grounding_dino_checkpoints, family)(made[key], grounding_dino_checkpoints.SMALL_SIZE, **small)
        return checkpoints.of(made[key])

    return get


@pytest.fixture(scope="session")
def small(folders):
    return folders("grounding_dino")


@pytest.fixture(scope="session")
def predictor(small):
    return models.load(small, "detect", CPU)


@pytest.fixture
def copy(small, tmp_path):
    shutil.copytree(small.directory, tmp_path / "copy")
    return checkpoints.of(tmp_path / "copy")


def sample(image):
    return Sample(ImageRef(0, "0", None), Facts(size=image.shape[:2]), image)


def ask(predictor, images, options):
    """The pictures' answers in one batch, whose inputs must agree."""
    samples = [sample(image) for image in images]
    inputs = [predictor.preprocess(each, options) for each in samples]
    assert len({predictor.batch_key(options, row) for row in inputs}) == 1
    return predictor.postprocess(predictor.forward(inputs, options), samples, options)


@dataclass
class Oracle:
    """transformers' own processor, model and post-processing, one picture at a time."""

    processor: Any
    model: Any

    def __call__(self, image, prompts, box_threshold, text_threshold):
        """Scores, boxes (N, 4) clipped, phrases, and labels by the characters that each token came from."""
        text = ". ".join(prompt.lower() for prompt in prompts) + "."
        inputs = self.processor(images=Image.fromarray(image), text=text, return_tensors="pt")
        with torch.inference_mode():
            outputs = self.model(**inputs)
        (found,) = self.processor.post_process_grounded_object_detection(
            outputs, threshold=box_threshold, text_threshold=text_threshold, target_sizes=[image.shape[:2]]
        )
        height, width = image.shape[:2]
        boxes = found["boxes"].numpy().clip(0, [width, height, width, height])
        labels = self._labels(outputs.logits[0].sigmoid().numpy(), text, prompts, box_threshold)
        rank = np.argsort(-found["scores"].numpy(), kind="stable")
        texts = [found["text_labels"][i] for i in rank]
        return found["scores"].numpy()[rank], boxes[rank], texts, [labels[i] for i in rank]

    def _labels(self, probabilities, text, prompts, threshold):
        """By the characters that each token came from."""
        offsets = self.processor.tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
        starts = [sum(len(prompt) + 2 for prompt in prompts[:i]) for i in range(len(prompts))]
        own = [
            [t for t, (first, end) in enumerate(offsets) if start <= first < end <= start + len(prompt)]
            for start, prompt in zip(starts, prompts, strict=True)
        ]
        kept = probabilities[probabilities.max(axis=1) > threshold]
        return [prompts[int(np.argmax([row[tokens].max() for tokens in own]))] for row in kept]


def oracle(checkpoint):
    from transformers import (
        AutoImageProcessor,
        AutoModelForZeroShotObjectDetection,
        AutoTokenizer,
        GroundingDinoProcessor,
    )

    images = AutoImageProcessor.from_pretrained(checkpoint.directory, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint.directory, local_files_only=True)
    model = AutoModelForZeroShotObjectDetection.from_pretrained(checkpoint.directory, local_files_only=True).eval()
    return Oracle(GroundingDinoProcessor(images, tokenizer), model)


def assert_parity(found, expected):
    scores, boxes, phrases, labels = expected
    np.testing.assert_allclose(found.scores, scores, atol=1e-5)
    places = same_places(found, scores, boxes)
    np.testing.assert_allclose(found.boxes, boxes[places], atol=0.02)
    assert found.phrases == tuple(phrases[place] for place in places)
    assert found.labels == tuple(labels[place] for place in places)


def same_places(found, scores, boxes):
    """Where each object found stands in the oracle's list: scores that differ in their last bits may change places."""
    left, places = list(range(len(scores))), []
    for score, box in zip(found.scores, found.boxes, strict=True):
        tied = [place for place in left if abs(scores[place] - score) <= 1e-5]
        places.append(min(tied, key=lambda place: np.abs(boxes[place] - box).max()))
        left.remove(places[-1])
    return places


# Pixels


@pytest.mark.parametrize("size", [{"shortest_edge": 800, "longest_edge": 1333}, {"height": 128, "width": 96}])
@pytest.mark.parametrize("number", range(0, 16, 3))
def test_pixels_are_those_of_the_stock_processor(pictures, size, number):
    from transformers import GroundingDinoImageProcessorPil

    file = {**grounding_dino_checkpoints.PROCESSOR, "size": size}
    image = pictures[number]
    stock = GroundingDinoImageProcessorPil(size=size)(Image.fromarray(image), return_tensors="np")["pixel_values"][0]
    sight = sight_from(file)
    values = (sight.apply(image, image.shape[:2]) * sight.recipe.scale - sight.recipe.mean) / sight.recipe.std
    np.testing.assert_allclose(values.transpose(2, 0, 1), stock, atol=1e-6)


def test_sizes_are_those_of_transformers_and_never_vanish():
    from transformers.image_transforms import get_size_with_aspect_ratio

    sight, rng = sight_from({}), np.random.default_rng(0)
    for original in [*rng.integers(1, 3000, (2000, 2)).tolist(), [800, 800], [800, 1333], [1333, 800], [800, 1334]]:
        expected = get_size_with_aspect_ratio(tuple(original), 800, 1333)
        assert sight.size(tuple(original)) == tuple(max(1, side) for side in expected)
    assert sight.size((1, 65000)) == (1, 1333)


@pytest.mark.parametrize(
    ("file", "edges"),
    [
        ({}, (800, 1333)),
        ({"size": 600}, (600, 1333)),
        ({"size": 600, "max_size": 900}, (600, 900)),
        ({"size": SQUARE}, None),
    ],
)
def test_sizes_are_read_in_every_form(file, edges):
    assert sight_from(file).edges == edges


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size": {"shortest_edge": 800}}, "longest_edge"),
        ({"size": {"max_height": 9, "max_width": 9}}, "height"),
        ({"do_resize": False}, "do_resize"),
        ({"image_processor_type": "SamImageProcessor"}, "SamImageProcessor"),
        ({"pad_size": SQUARE}, "padding"),
        ({"resample": 9}, "filter"),
    ],
)
def test_a_recipe_that_is_not_understood_is_refused(change, words):
    with pytest.raises(ModelError, match=words):
        sight_from({**grounding_dino_checkpoints.PROCESSOR, **change})


def test_a_scaled_decoding_is_seen_at_the_size_that_the_original_has(predictor, pictures):
    small, options = sample(pictures[7][::4, ::4]), DetectOptions(PROMPTS)
    assert predictor.preprocess(small, options).shape == (96, 128, 3)
    original = Sample(small.ref, Facts(size=(480, 650)), small.image)
    assert predictor.preprocess(original, options).shape == (96, 130, 3)


# Parity


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("config", [{}, {"decoder_bbox_embed_share": False}], ids=["shared", "own"])
def test_small_models_answer_as_transformers(folders, family, config, pictures):
    checkpoint = folders(family, **config)
    predictor, stock = models.load(checkpoint, "detect", CPU), oracle(checkpoint)
    for image in pictures[4:8]:
        (found,) = ask(predictor, [image], DetectOptions(PROMPTS, **LOW))
        assert len(found.labels) >= 5
        assert_parity(found, stock(image, PROMPTS, **LOW))


def test_the_real_architecture_answers_as_transformers(tmp_path, pictures):
    size = {"shortest_edge": 800, "longest_edge": 1333}
    grounding_dino_checkpoints.grounding_dino(tmp_path, size, **grounding_dino_checkpoints.TINY)
    image = np.ascontiguousarray(pictures[7])  # 480x640, seen as 800x1066
    expected = oracle(checkpoints.of(tmp_path))(image, PROMPTS, **LOW)
    assert len(expected[0]) >= 10
    (found,) = ask(models.load(checkpoints.of(tmp_path), "detect", CPU), [image], DetectOptions(PROMPTS, **LOW))
    assert_parity(found, expected)


# Neighbours, texts and precisions


def test_a_picture_is_answered_alike_alone_and_beside_others(copy, pictures):
    file = {**grounding_dino_checkpoints.PROCESSOR, "size": SQUARE}  # so that pictures of any size share a batch
    checkpoints.write_json(copy.directory / "preprocessor_config.json", file)
    predictor, options = models.load(copy, "detect", CPU), DetectOptions(PROMPTS)
    rows = [predictor.preprocess(sample(pictures[i]), options) for i in (7, 3, 4, 6, 2, 5, 12, 15)]
    alone = [predictor.forward([row], options)[0] for row in rows]
    for count in (2, 5, 8):
        np.testing.assert_array_equal(predictor.forward(rows[:count], options), alone[:count])


def test_prompts_and_shapes_are_not_mixed_in_a_batch_and_thresholds_are(predictor, pictures):
    square, wide = (predictor.preprocess(sample(pictures[i]), DetectOptions(PROMPTS)) for i in (4, 7))
    key = predictor.batch_key(DetectOptions(PROMPTS), square)
    assert key == predictor.batch_key(DetectOptions(PROMPTS, 0.1, 0.2, nms=0.5), square)
    assert key != predictor.batch_key(DetectOptions(PROMPTS), wide)
    assert key != predictor.batch_key(DetectOptions(PROMPTS[:2]), square)


def test_prompts_of_several_texts_find_what_each_text_finds(predictor, pictures):
    prompts = tuple(f"{words} {letter}" for words in ("the red car", "two hats") for letter in "abcdef")
    texts = [text.prompts for text in predictor._phrases.texts(prompts)]
    assert [len(some) for some in texts] == [7, 5]
    (together,) = ask(predictor, [pictures[7]], DetectOptions(prompts, **LOW))
    parts = [ask(predictor, [pictures[7]], DetectOptions(some, **LOW))[0] for some in texts]
    rows = sorted((row for part in parts for row in rows_of(part)), key=lambda row: -row[0])
    assert rows_of(together) == rows
    assert all(len(part.labels) for part in parts)


def rows_of(found):
    return list(zip(found.scores.tolist(), found.labels, found.phrases, found.boxes.tolist(), strict=True))


def test_the_backbone_sees_a_picture_once_however_many_texts(small, pictures):
    predictor, seen = models.load(small, "detect", CPU), []
    backbone = predictor._detector._module.model.backbone
    backbone.conv_encoder.register_forward_hook(lambda module, pixels, features: seen.append(len(pixels[0])))
    prompts = tuple(f"the red car {letter}" for letter in "abcdefghijkl")
    for _ in range(2):
        ask(predictor, [pictures[4], pictures[3], pictures[5]], DetectOptions(prompts))
    assert seen == [1] * 6


def test_a_batch_that_was_filled_up_costs_what_it_holds(small, pictures):
    predictor, seen = models.load(small, "detect", CPU), []
    predictor._detector._module.model.register_forward_hook(lambda *_: seen.append(1))
    row = predictor.preprocess(sample(pictures[4]), DetectOptions(PROMPTS))
    assert len(predictor.forward([row] * 8, DetectOptions(PROMPTS))) == 8
    assert len(seen) == 1


@pytest.mark.parametrize(("dtype", "least", "most"), [("bfloat16", 0.4, 0.003), ("float16", 0.8, 0.0005)])
@pytest.mark.parametrize("family", FAMILIES)
def test_lower_precisions_move_places_little(folders, family, dtype, least, most, pictures):
    """Where a query gets another of two nearly equal places, there is nothing to compare."""
    checkpoint, options = folders(family), DetectOptions(PROMPTS)
    exact, rough = (models.load(checkpoint, "detect", RuntimeRequest("cpu", name)) for name in ("float32", dtype))
    rows = [exact.preprocess(sample(pictures[i]), options) for i in (3, 4, 5, 11)]
    expected, found = (np.stack(each.forward(rows, options)) for each in (exact, rough))
    moved = np.abs(found - expected)[..., :4].max(axis=-1)
    alike = moved < 0.05
    assert alike.mean() > least
    assert np.median(moved[alike]) < most
    assert np.median(np.abs(found - expected)[..., 4:][alike]) < 0.01


def test_what_overflows_in_float16_is_asked_in_bfloat16(copy, pictures):
    path = copy.directory / "model.safetensors"
    weights = load_file(path)
    layer = "model.encoder.layers.0.deformable_layer."
    for name in ("fc1.weight", "fc1.bias"):
        weights[layer + name] *= 2.0**17  # beyond float16 between the two, and nowhere else
    weights[layer + "fc2.weight"] *= 2.0**-17
    save_file(weights, path, {"format": "pt"})
    rows = []
    for dtype in ("float16", "bfloat16"):
        predictor = models.load(copy, "detect", RuntimeRequest("cpu", dtype))
        rows += predictor.forward(
            [predictor.preprocess(sample(pictures[4]), DetectOptions(PROMPTS))], DetectOptions(PROMPTS)
        )
    np.testing.assert_array_equal(*rows)


def test_a_model_that_answers_nothing_finite_fails_the_row(copy, pictures):
    path = copy.directory / "model.safetensors"
    save_file(load_file(path) | {"model.level_embed": torch.full((4, 64), torch.inf)}, path, {"format": "pt"})
    predictor = models.load(copy, "detect", CPU)
    (row,) = predictor.forward(
        [predictor.preprocess(sample(pictures[4]), DetectOptions(PROMPTS))], DetectOptions(PROMPTS)
    )
    assert isinstance(row, PredictError)
    assert row.code == "non_finite"


# From probabilities to objects: [CLS] a cat . the red car . car . [SEP]

WORDS = ("A cat", "the Red car", "car")
CLS, A, CAT, DOT, THE, RED, CAR, LONE, SEP = 0, 1, 2, 3, 4, 5, 6, 8, 10


def read(predictor, rows, options, size=(200, 100)):
    """The objects of queries that have these boxes (centre and extent in shares) and probabilities by place."""
    output = np.full((len(rows), 4 + 11), 0.01, np.float32)
    for row, (box, probabilities) in zip(output, rows, strict=True):
        row[:4] = box
        row[[4 + place for place in probabilities]] = list(probabilities.values())
    about = Sample(ImageRef(0, "0", None), Facts(size=size), None)
    return predictor.postprocess([output], [about], options)[0]


BOX = (0.5, 0.5, 0.2, 0.1)


@pytest.mark.parametrize(
    ("probabilities", "label", "score", "phrase"),
    [
        ({CAT: 0.9}, "A cat", 0.9, "cat"),
        ({A: 0.4, CAT: 0.6}, "A cat", 0.6, "a cat"),
        ({CAR: 0.7, LONE: 0.6}, "the Red car", 0.7, "car car"),
        ({CAR: 0.6, LONE: 0.7}, "car", 0.7, "car car"),
        ({RED: 0.7, LONE: 0.7}, "the Red car", 0.7, "red car"),  # equal: the first of the prompts
        ({CAT: 0.2, DOT: 0.8, SEP: 0.5}, "A cat", 0.8, ". [SEP]"),  # a mark wins: its score, the best prompt's label
        ({CLS: 0.8, LONE: 0.2}, "car", 0.8, ""),
    ],
)
def test_a_label_is_the_prompt_with_the_best_token_of_its_own(predictor, probabilities, label, score, phrase):
    found = read(predictor, [(BOX, probabilities)], DetectOptions(WORDS, 0.3, 0.25))
    assert (found.labels, found.phrases) == ((label,), (phrase,))
    assert found.scores.tolist() == [np.float32(score)]


def test_thresholds_must_be_exceeded(predictor):
    rows = [(BOX, {CAT: 0.5}), (BOX, {CAT: 0.51, A: 0.5})]
    found = read(predictor, rows, DetectOptions(WORDS, 0.5, 0.5))
    assert (found.phrases, found.scores.tolist()) == (("cat",), [np.float32(0.51)])


def test_boxes_are_pixels_of_the_original_clipped_to_it_and_best_first(predictor):
    rows = [((0.5, 0.5, 0.2, 0.1), {CAT: 0.5}), ((0.0, 1.0, 0.5, 0.5), {CAR: 0.9})]
    found = read(predictor, rows, DetectOptions(WORDS))
    assert found.labels == ("the Red car", "A cat")
    np.testing.assert_allclose(found.boxes, [[0, 150, 25, 200], [40, 90, 60, 110]], atol=1e-4)


def test_nothing_found_is_an_empty_answer(predictor):
    found = read(predictor, [(BOX, {CAT: 0.2})], DetectOptions(WORDS, nms=0.5))
    assert (found.labels, found.phrases, found.scores.shape, found.boxes.shape) == ((), (), (0,), (0, 4))


@pytest.mark.parametrize(
    ("nms", "kept"),
    [(None, "ABCDEF"), (1.0, "ABCDEF"), (0.5, "ACDEF"), (0.3, "ACDF"), (0.1, "ADEF")],
)
def test_nms_drops_the_lesser_of_boxes_of_one_label(predictor, nms, kept):
    rows = {  # overlaps: A and B 0.67, A and C 0.25, C and E 0.43, A and E 0; D is of another label, F elsewhere
        "A": ((0.2, 0.5, 0.2, 0.2), {CAT: 0.95}),
        "B": ((0.24, 0.5, 0.2, 0.2), {CAT: 0.9}),
        "C": ((0.32, 0.5, 0.2, 0.2), {CAT: 0.85}),
        "D": ((0.2, 0.5, 0.2, 0.2), {LONE: 0.8}),
        "E": ((0.4, 0.5, 0.2, 0.2), {CAT: 0.75}),
        "F": ((0.8, 0.1, 0.2, 0.2), {CAT: 0.7}),
    }
    found = read(predictor, list(rows.values()), DetectOptions(WORDS, nms=nms))
    names = {np.float32(next(iter(p.values()))): name for name, (_, p) in rows.items()}
    assert "".join(names[score] for score in found.scores) == kept


# Strips, refusals, loading


@pytest.mark.parametrize("shape", [(1, 1), (1, 65000), (65000, 1), (3, 2000)])
def test_a_strip_survives(predictor, shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    (found,) = ask(predictor, [image], DetectOptions(PROMPTS, 0.0, 0.0))
    assert len(found.labels) == 20
    assert (found.boxes <= [shape[1], shape[0]] * 2).all() and np.isfinite(found.boxes).all()


def test_a_strip_with_fewer_places_than_queries_fails_its_row(folders):
    predictor, options = models.load(folders("grounding_dino", num_queries=60), "detect", CPU), DetectOptions(PROMPTS)
    row = predictor.preprocess(sample(np.zeros((1, 65000, 3), np.uint8)), options)
    with pytest.raises(PredictError, match="1x160 as the model sees it, that it has 38 places") as failed:
        predictor.forward([row], options)
    assert failed.value.code == "preprocess_failed"


def test_a_row_without_a_picture_fails(predictor):
    with pytest.raises(PredictError) as failed:
        predictor.preprocess(Sample(ImageRef(0, "0", None), Facts(), None), DetectOptions(PROMPTS))
    assert failed.value.code == "input_missing"


@pytest.mark.parametrize("prompts", [("cat " * 16,), ("cat", "?"), ("cat", "dog", "cat.")])
def test_prompts_that_cannot_be_read_are_refused_before_any_picture(predictor, prompts):
    with pytest.raises(UsageError):
        predictor.check(DetectOptions(prompts))


def test_it_can_detect_and_nothing_else(small):
    with pytest.raises(ModelError, match="is a grounding-dino model: it can detect, not segment"):
        models.load(small, "segment")


def test_an_automatic_batch_is_one_picture_and_says_why(small):
    info = models.load(small, "detect", CPU).info
    assert (info.batch_size, info.choices["batch_size"].reason[:28]) == (1, "each picture is asked alone,")
    assert models.load(small, "detect", RuntimeRequest("cpu", "float32", 6)).info.batch_size == 6


@pytest.mark.parametrize(
    "name",
    ["model.decoder.reference_points_head.layers.0.weight", "model.text_backbone.encoder.layer.0.output.dense.bias"],
)
def test_missing_weights_are_named(copy, name):
    path = copy.directory / "model.safetensors"
    save_file({key: value for key, value in load_file(path).items() if key != name}, path, {"format": "pt"})
    with pytest.raises(ModelError, match=name):
        models.load(copy, "detect", CPU)


@pytest.mark.parametrize(
    "change",
    [
        {"backbone": "swin_tiny_patch4_window7_224", "use_timm_backbone": True, "backbone_config": None},
        {"backbone": "microsoft/swin-tiny-patch4-window7-224", "use_pretrained_backbone": True},
        {"backbone_config": {"model_type": "timm_backbone", "backbone": "swin_tiny_patch4_window7_224"}},
    ],
)
def test_a_backbone_that_would_be_fetched_is_refused(copy, change):
    path = copy.directory / "config.json"
    checkpoints.write_json(path, json.loads(path.read_text()) | change)
    with pytest.raises(ModelError, match="names a backbone"):
        models.load(copy, "detect", CPU)


def test_the_older_fields_of_the_hubs_files_do_no_harm(copy):
    path = copy.directory / "config.json"
    older = {"backbone": None, "backbone_kwargs": None, "use_pretrained_backbone": False, "use_timm_backbone": False}
    checkpoints.write_json(path, json.loads(path.read_text()) | older)
    assert models.load(copy, "detect", CPU).info.family == "grounding-dino"


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "model.safetensors", "tokenizer.json"])
def test_a_missing_or_damaged_file_is_named(copy, name):
    for ruin in (lambda path: path.write_bytes(b"{"), lambda path: path.unlink()):
        ruin(copy.directory / name)
        with pytest.raises(ModelError, match=name):
            models.load(copy, "detect", CPU)


@pytest.mark.parametrize("family", FAMILIES)
def test_heads_that_a_file_repeats_are_read_as_those_it_leaves_out(folders, family, tmp_path, pictures):
    checkpoint = folders(family)
    shutil.copytree(checkpoint.directory, tmp_path, dirs_exist_ok=True)
    saved = load_file(tmp_path / "model.safetensors")
    module = models.load(checkpoint, "detect", CPU)._detector._module
    full = {name: value.clone() for name, value in module.state_dict().items()}  # as the hub's files: each head in full
    assert len(full) > len(saved)
    save_file(full, tmp_path / "model.safetensors", {"format": "pt"})
    first, second = (models.load(c, "detect", CPU) for c in (checkpoint, checkpoints.of(tmp_path)))
    options = DetectOptions(PROMPTS, **LOW)
    assert rows_of(*ask(first, [pictures[4]], options)) == rows_of(*ask(second, [pictures[4]], options))


def test_loading_and_asking_need_no_network(small, pictures, monkeypatch):
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was attempted")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    ask(models.load(small, "detect", CPU), [pictures[4]], DetectOptions(PROMPTS))


def test_what_made_an_answer_is_known(small):
    info = models.load(small, "detect", RuntimeRequest("cpu", "float32", 3)).info
    assert (info.id, info.commit, info.family, info.dimension) == (small.id, small.commit, "grounding-dino", 64)
    assert info.recipe == (
        "grounding-dino/1 resize 96x160 bilinear mean 0.485,0.456,0.406 std 0.229,0.224,0.225 "
        "aspect kept, shortest 96 longest 160; answers/1"
    )
    assert json.dumps(info.resolved)
