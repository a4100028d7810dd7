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
from visioncli.models import grounding_dino
from visioncli.models.grounding_dino.pixels import sight_from
from visioncli.models.runtime import RuntimeRequest, choose
from visioncli.models.weights import read_preprocessor
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
    np.testing.assert_allclose(found.boxes, boxes, atol=0.02)
    assert found.phrases == tuple(phrases)
    assert found.labels == tuple(labels)


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
    [({}, (800, 1333)), ({"size": 600}, (600, 1333)), ({"size": 600, "max_size": 900}, (600, 900)), ({"size": SQUARE}, None)],
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
