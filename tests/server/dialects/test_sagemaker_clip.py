"""sagemaker-clip on a real socket: the document's request, the container's arithmetic, SageMaker's paths and boto3."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from tests import misbehaving
from tests.models import checkpoints
from tests.server.dialects.serving import KEY, Truth, sample, serving, settings_of, softmax, truth
from tests.server.transcripts import sagemaker_clip as document
from tests.server.transcripts.reading import alike, has, parsed, replaced, run_in_shell
from visioncli.provenance import Checkpoint
from visioncli.server.dialects.sagemaker_answers import classification

FILES = {"one.jpg": sample(101), "two.jpg": sample(102)}
IMAGES = [base64.b64encode(file).decode() for file in FILES.values()]
CLASSES = [["cat", 1], ["dog", 0], ["a red car", 1], ["two dogs in the park", 0]]
SMALL = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
SHOWN = [{"classification": 1, "confidence": 0.84, "prompts": ([5], ["woman with a bag"], [0.84])}]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return checkpoints.of(checkpoints.clip(tmp_path_factory.mktemp("small-clip"), **SMALL))


@pytest.fixture(scope="module")
def url(clip: Checkpoint) -> Iterator[str]:
    with serving("sagemaker-clip", settings_of("sagemaker-clip", str(clip.directory))) as running:
        yield running


@pytest.fixture(scope="module")
def known(clip: Checkpoint) -> Truth:
    texts = [f"a photo of a {text}" for text, _ in CLASSES]
    return truth(clip, list(FILES.values()), texts, 77)


@pytest.fixture(scope="module")
def pictures() -> Iterator[misbehaving.Server]:
    with misbehaving.serve(FILES) as running:
        yield running


def invoke(url: str, images: Any, classes: Any, path: str = "/invocations") -> requests.Response:
    return requests.post(url + path, json={"images": images, "classes": classes}, timeout=60)


# The document


@pytest.fixture(scope="module")
def command(url: str, pictures: misbehaving.Server) -> str:
    here = [pictures.url(f"/ok/{name}").decode() for name in FILES]
    return replaced(document.COMMAND, {document.HOST: url, **dict(zip(document.IMAGES, here, strict=True))})


def test_what_the_printed_curl_command_sends_is_answered_as_printed(command: str) -> None:
    answered = parsed(command).send()
    assert alike(SHOWN, answered) and alike(SHOWN, json.loads(document.RESPONSE))
    assert [len(part) for image in answered for part in image["prompts"]] == [3] * 6


@pytest.mark.skipif(not has("bash", "curl"), reason="needs curl")
def test_the_printed_curl_command_runs(command: str, tmp_path: Path) -> None:
    assert alike(SHOWN, run_in_shell(command, tmp_path))


def test_the_printed_classifications_follow_from_the_printed_probabilities() -> None:
    flags = [flag for _, flag in json.loads(parsed(document.COMMAND).body)["classes"]]
    for image in json.loads(document.RESPONSE):
        places, _, chances = image["prompts"]
        assert classification(chances, [bool(flags[place]) for place in places]) == image["classification"]
        assert image["confidence"] == chances[0]


def test_ping_answers_a_line_break(url: str) -> None:
    answered = requests.get(url + "/ping", timeout=60)
    assert (answered.status_code, answered.text, answered.headers["content-type"]) == (200, "\n", "application/json")


def test_ping_is_404_before_the_model_is_there() -> None:
    with serving("sagemaker-clip", start=False) as url:
        assert requests.get(url + "/ping", timeout=60).status_code == 404


# Arithmetic


def test_probabilities_are_the_softmax_of_a_hundred_times_the_whole_models_cosines(url: str, known: Truth) -> None:
    for image, chances in zip(invoke(url, IMAGES, CLASSES).json(), softmax(100 * known.cosines), strict=True):
        places, texts, listed = image["prompts"]
        best = np.argsort(-chances)[:3]
        assert (places, texts) == (best.tolist(), [CLASSES[place][0] for place in best])
        np.testing.assert_allclose(listed, chances[best], atol=1e-3)
        assert image["confidence"] == listed[0]


@pytest.mark.parametrize(
    ("chances", "flags", "expected"),
    [
        ([0.9, 0.06, 0.04], [True, False, False], 1),
        ([0.9, 0.06, 0.04], [False, True, True], 0),
        ([0.5, 0.49, 0.01], [False, True, False], 1),
        ([0.02, 0.0], [False, True], 1),  # exactly 0.02 below is within
        ([0.5, 0.47, 0.03], [False, True, True], 0),
        ([1.0], [True], 1),
    ],
)
def test_the_class_is_1_where_a_flag_is_set_close_to_the_best(
    chances: list[float], flags: list[bool], expected: int
) -> None:
    assert classification(chances, flags) == expected


def test_classes_as_texts_alone_get_the_older_answer(url: str) -> None:
    texts = [text for text, _ in CLASSES]
    newer, older = (invoke(url, IMAGES[:1], classes).json() for classes in (CLASSES, texts))
    assert older == [image["prompts"] for image in newer]
    assert alike([([5], ["woman with a bag"], [0.84])], older)


def test_a_class_listed_twice_stands_twice_and_shares(url: str, known: Truth) -> None:
    (image,) = invoke(url, IMAGES[:1], [CLASSES[0], CLASSES[0]]).json()
    assert image["prompts"] == [[0, 1], ["cat", "cat"], [0.5, 0.5]]


def test_fewer_classes_than_three_shorten_the_lists_and_no_image_makes_no_answer(url: str) -> None:
    (image,) = invoke(url, IMAGES[:1], CLASSES[:1]).json()
    assert image == {"classification": 1, "confidence": 1.0, "prompts": [[0], ["cat"], [1.0]]}
    assert invoke(url, [], CLASSES).json() == []


def test_urls_data_uris_and_base64_give_the_same_answer(url: str, pictures: misbehaving.Server) -> None:
    place = pictures.url("/ok/one.jpg").decode()
    first, *others = invoke(url, [IMAGES[0], place, f"data:image/jpeg;base64,{IMAGES[0]}"], CLASSES).json()
    for other in others:  # they need not have shared a batch
        assert other["prompts"][:2] == first["prompts"][:2]
        assert other["prompts"][2] == pytest.approx(first["prompts"][2], abs=1e-5)


# Refusals


@pytest.mark.parametrize(
    ("images", "classes", "words"),
    [
        (None, CLASSES, "images must be a list"),
        ([5], CLASSES, "images must be a list"),
        (IMAGES, None, "classes must be a list"),
        (IMAGES, [], "classes must be a list"),
        (IMAGES, [["cat", 1], "dog"], "each of the classes"),
        (IMAGES, [["cat", 1, 2]], "each of the classes"),
        (["file:///etc/passwd"], CLASSES, "file"),
        (["/etc/passwd"], CLASSES, "picture"),
        ([IMAGES[0], "bm8gcGljdHVyZQ=="], CLASSES, "no known picture format"),
    ],
)
def test_what_cannot_be_answered_is_400_with_a_sentence(url: str, images: Any, classes: Any, words: str) -> None:
    answered = invoke(url, images, classes)
    assert answered.status_code == 400 and words in answered.json()["error"]


def test_one_image_that_is_not_there_fails_the_request(url: str, pictures: misbehaving.Server) -> None:
    answered = invoke(url, [IMAGES[0], pictures.url("/ok/nowhere.jpg").decode()], CLASSES)
    assert (answered.status_code, list(answered.json())) == (400, ["error"])


def test_a_private_address_is_refused_without_a_request(clip: Checkpoint) -> None:
    settings = settings_of("sagemaker-clip", str(clip.directory), guarded=True)
    with misbehaving.serve(FILES) as private, serving("sagemaker-clip", settings) as url:
        answered = invoke(url, [private.url("/ok/one.jpg").decode()], CLASSES)
        assert private.requests == []
    assert answered.status_code == 400 and "127.0.0.1" in answered.json()["error"]


@pytest.mark.parametrize("kind", ["text/plain", "application/jsonlines", ""])
def test_another_content_type_is_400_in_the_containers_very_bytes(url: str, kind: str) -> None:
    answered = requests.post(url + "/invocations", data=b"{}", headers={"Content-Type": kind}, timeout=60)
    assert (answered.status_code, answered.text) == (400, '{"reason" : "Request should be application/json"}')


def test_json_may_name_its_charset_and_must_be_an_object(url: str) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    for body, status in ((json.dumps({"images": [], "classes": CLASSES}), 200), ("[]", 400), ("{", 400)):
        answered = requests.post(url + "/invocations", data=body, headers=headers, timeout=60)
        assert answered.status_code == status


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/", 404), ("GET", "/invocations", 405)])
def test_other_paths_and_methods_get_an_empty_object(url: str, method: str, path: str, status: int) -> None:
    answered = requests.request(method, url + path, timeout=60)
    assert (answered.status_code, answered.json()) == (status, {})


def test_a_full_queue_is_503_and_a_body_over_6_mib_413(clip: Checkpoint) -> None:
    settings = settings_of("sagemaker-clip", str(clip.directory), max_queue=0)
    with serving("sagemaker-clip", settings) as url:
        full, large = invoke(url, [], CLASSES), invoke(url, ["A" * 6 * 2**20], CLASSES)
    assert (full.status_code, full.headers["Retry-After"], list(full.json())) == (503, "1", ["error"])
    assert large.status_code == 413


def test_a_key_is_wanted_but_for_ping(clip: Checkpoint) -> None:
    with serving("sagemaker-clip", settings_of("sagemaker-clip", str(clip.directory), api_keys=(KEY,))) as url:
        body = {"images": [], "classes": CLASSES}
        given = ({}, {"x-api-key": "wrong"}, {"x-api-key": KEY}, {"Authorization": f"Bearer {KEY}"})
        asked = [requests.post(url + "/invocations", json=body, headers=headers, timeout=60) for headers in given]
        assert requests.get(url + "/ping", timeout=60).status_code == 200
    assert [each.status_code for each in asked] == [403, 403, 200, 200]
    assert asked[0].headers["x-amzn-ErrorType"] == "AccessDeniedException"
