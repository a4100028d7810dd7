"""hf-endpoint on a real socket: the toolkit's ways in, the numbers, the refusals."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import requests

from tests import misbehaving
from tests.server.dialects.serving import DEMO, DEMO_LENGTH, KEY, Truth, sample, serving, settings_of, softmax, truth
from visioncli.server.dialects.hf_modes import Question, detect

FILES = [sample(101), sample(102), sample(103)]
CAT, DOG, BIRD = (base64.b64encode(file).decode() for file in FILES)
LABELS = ["a photo of a dog", "a photo of a cat", "a photo of a bird", "a photo of a car"]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving("hf-endpoint") as running:
        yield running


@pytest.fixture(scope="module")
def known() -> Truth:
    return truth(DEMO, FILES, LABELS, DEMO_LENGTH)


def ask(url: str, inputs: Any, **parameters: Any) -> Any:
    answered = requests.post(url, json={"inputs": inputs, "parameters": parameters}, timeout=60)
    assert answered.status_code == 200, answered.text
    return answered.json()


def refused(url: str, body: Any) -> str:
    answered = requests.post(url, json=body, timeout=60)
    assert answered.status_code == 400 and list(answered.json()) == ["error"]
    return str(answered.json()["error"])


def scores(found: list[dict[str, Any]]) -> list[float]:
    by_label = {each["label"]: each["score"] for each in found}
    return [by_label[label] for label in LABELS]


# Numbers: transformers' own model from the same files


def test_scores_are_the_softmax_of_the_whole_models_logits(url: str, known: Truth) -> None:
    found = ask(url, [CAT, DOG, BIRD], candidate_labels=LABELS)
    np.testing.assert_allclose([scores(row) for row in found], known.softmax, atol=1e-4)
    assert [row[0]["label"] for row in found] == [LABELS[1], LABELS[0], LABELS[2]]


def test_the_original_scores_are_the_softmax_of_raw_cosines(known: Truth) -> None:
    with serving("hf-endpoint", settings_of("hf-endpoint", fidelity="original")) as url:
        found = ask(url, CAT, candidate_labels=LABELS)
        assert ask(url, [CAT], candidate_labels=LABELS) == found  # a flat list for one image in a list
        assert list(ask(url, "a short text")[0]) == ["embedding"]
        assert "similarity needs" in refused(url, {"inputs": {"image": CAT}})
    np.testing.assert_allclose(scores(found), softmax(known.cosines[0]), atol=1e-5)


def test_embeddings_are_the_whole_models_unit_vectors(url: str, known: Truth) -> None:
    images = [row["embedding"] for row in ask(url, [CAT, DOG, BIRD], mode="image_embedding")]
    texts = [row["embedding"] for row in ask(url, LABELS, mode="text_embedding")]
    np.testing.assert_allclose(images, known.images, atol=1e-4)
    np.testing.assert_allclose(texts, known.texts, atol=1e-4)


def test_similarities_are_the_cosines_of_images_and_texts(url: str, known: Truth) -> None:
    found = ask(url, {"images": [CAT, DOG, BIRD], "texts": [*LABELS, LABELS[0]]})
    assert (found["image_count"], found["text_count"]) == (3, 5)
    expected = np.hstack([known.cosines, known.cosines[:, :1]])
    np.testing.assert_allclose(found["similarity_scores"], expected, atol=1e-4)


def test_a_label_listed_twice_has_two_places_that_share(url: str, known: Truth) -> None:
    found = ask(url, CAT, candidate_labels=[LABELS[0], LABELS[1], LABELS[1]])
    logits = (known.cosines[0] * known.scale + known.bias)[[0, 1, 1]]
    assert [each["label"] for each in found] == [LABELS[1], LABELS[1], LABELS[0]]
    np.testing.assert_allclose(sorted(each["score"] for each in found), sorted(softmax(logits)), atol=1e-4)


def test_a_template_puts_labels_into_sentences(url: str) -> None:
    long = ask(url, CAT, candidate_labels=LABELS[:2])
    short = ask(url, CAT, candidate_labels=["dog", "cat"], hypothesis_template="a photo of a {}")
    assert [each["score"] for each in short] == [each["score"] for each in long]
    assert [each["label"] for each in short] == ["cat", "dog"]


# Which mode


@pytest.mark.parametrize(
    ("inputs", "parameters", "mode", "original"),
    [
        ({"image": "x", "texts": ["y"]}, {"candidate_labels": ["y"]}, "similarity", "similarity"),
        ({"images": ["x"], "text": "y"}, {}, "similarity", "similarity"),
        ({"image": "x"}, {"candidate_labels": ["y"]}, "zero_shot", "similarity"),
        ({"image": "x"}, {}, "image_embedding", "similarity"),
        (["a short text"], {"candidate_labels": ["y"]}, "zero_shot", "zero_shot"),
        (["a short text", "x" * 499], {}, "text_embedding", "text_embedding"),
        (["a short text", "x" * 500], {}, "image_embedding", "image_embedding"),
        (["a short text", "https://a/b.jpg"], {}, "image_embedding", "image_embedding"),
        (["data:image/png;base64,AAAA"], {}, "image_embedding", "image_embedding"),
        ("a short text", {}, "image_embedding", "text_embedding"),
        ("https://a/b.jpg", {}, "image_embedding", "image_embedding"),
    ],
)
def test_a_mode_is_detected_in_the_documents_order(
    inputs: Any, parameters: dict[str, Any], mode: str, original: str
) -> None:
    assert detect(Question(inputs, parameters)) == mode
    assert detect(Question(inputs, parameters), is_original=True) == original


def test_the_answers_nesting_follows_the_inputs(url: str) -> None:
    alone, listed = (ask(url, given, candidate_labels=LABELS) for given in (CAT, [CAT]))
    assert listed == [alone]
    assert ask(url, {"image": CAT}, candidate_labels=LABELS) == alone  # as the JavaScript client sends it
    assert ask(url, f"data:image/jpeg;base64,{CAT}", candidate_labels=",".join(LABELS)) == alone
    assert ask(url, {"image": CAT}) == ask(url, CAT) == ask(url, [CAT], mode="image_embedding")


# Ways in


@pytest.mark.parametrize("path", ["/", "/health"])
def test_health_says_ok(url: str, path: str) -> None:
    answered = requests.get(url + path, timeout=60)
    assert (answered.status_code, answered.text, answered.headers["content-type"]) == (
        200,
        "Ok",
        "text/plain; charset=utf-8",
    )


def test_health_is_503_before_the_models_are_there() -> None:
    with serving("hf-endpoint", start=False) as url:
        assert requests.get(url + "/health", timeout=60).status_code == 503


@pytest.mark.parametrize("kind", ["image/jpeg", "image/x-image", "application/octet-stream", None])
def test_a_picture_may_be_the_body_and_the_query_its_parameters(url: str, kind: str | None) -> None:
    query = {"candidate_labels": ",".join(LABELS), "top_k": "2"}
    headers = {} if kind is None else {"Content-Type": kind}
    answered = requests.post(f"{url}/predict", params=query, data=FILES[0], headers=headers, timeout=60)
    assert answered.json() == ask(url, CAT, candidate_labels=LABELS)[:2]


def test_parameters_of_the_body_hide_those_of_the_query(url: str) -> None:
    body = {"inputs": "a text", "parameters": {"mode": "text_embedding"}}
    for path in ("/?mode=similarity", "/predict?mode=similarity"):
        assert list(requests.post(url + path, json=body, timeout=60).json()[0]) == ["embedding"]


@pytest.mark.parametrize("kind", ["application/json; charset=UTF-8", "application/x-www-form-urlencoded", ""])
def test_json_is_read_whatever_it_is_called(url: str, kind: str) -> None:
    body = b' {"inputs": ["a", "b"]}'
    answered = requests.post(url, data=body, headers={"Content-Type": kind}, timeout=60)
    assert len(answered.json()) == 2


# Refusals


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "Body needs to be an object with the key inputs"),
        (["x"], "Body needs to be an object with the key inputs"),
        ({"inputs": "a cat!"}, "the picture is no base64"),
        ({"inputs": "file:///etc/passwd"}, "file"),
        ({"inputs": [CAT, 5]}, "Unsupported image input type: <class 'int'>"),
        ({"inputs": {"image": CAT, "text": 5}}, "Unsupported text input type: <class 'int'>"),
        ({"inputs": ["a", " "]}, "a text is empty"),
        ({"inputs": CAT, "parameters": 5}, "parameters must be an object"),
        ({"inputs": CAT, "parameters": {"mode": ["x"]}}, "Unknown mode: ['x']"),
        ({"inputs": CAT, "parameters": {"candidate_labels": []}}, "candidate_labels is required"),
        ({"inputs": CAT, "parameters": {"candidate_labels": [1]}}, "candidate_labels must be a list of strings"),
        ({"inputs": CAT, "parameters": {"candidate_labels": "a,b", "top_k": 0}}, "top_k must be"),
        ({"inputs": CAT, "parameters": {"candidate_labels": "a,b", "hypothesis_template": "x"}}, "has no {}"),
        ({"inputs": CAT, "parameters": {"mode": "similarity"}}, "similarity needs inputs"),
        ({"inputs": base64.b64encode(b"no picture" * 99).decode()}, "no known picture format"),
    ],
)
def test_what_cannot_be_answered_is_400_with_a_sentence(url: str, body: Any, words: str) -> None:
    assert words in refused(url, body)


def test_a_body_that_is_no_json_or_of_no_known_type_is_400(url: str) -> None:
    for kind, data in (("application/json", b"{"), ("text/plain", b"a cat"), ("image/png", b"")):
        answered = requests.post(url, data=data, headers={"Content-Type": kind}, timeout=60)
        assert answered.status_code == 400 and list(answered.json()) == ["error"]


@pytest.mark.parametrize("inputs", ["{}", ["{}"], {"image": "{}", "text": "a"}])
def test_a_private_address_is_refused_without_a_request(inputs: Any) -> None:
    settings = settings_of("hf-endpoint", guarded=True)
    with misbehaving.serve({"cat.jpg": FILES[0]}) as private, serving("hf-endpoint", settings) as url:
        given = json.loads(json.dumps(inputs).replace("{}", private.url("/ok/cat.jpg").decode()))
        assert "127.0.0.1" in refused(url, {"inputs": given})
        assert private.requests == []


def test_a_key_is_wanted_everywhere_but_for_health() -> None:
    with serving("hf-endpoint", settings_of("hf-endpoint", api_keys=("other", KEY))) as url:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": KEY}):
            answered = requests.post(url, json={"inputs": ["a"]}, headers=headers, timeout=60)
            assert (answered.status_code, list(answered.json())) == (401, ["error"])
        right = {"Authorization": f"Bearer {KEY}"}
        assert requests.post(url, json={"inputs": ["a"]}, headers=right, timeout=60).status_code == 200
        assert requests.get(url, timeout=60).text == "Ok"


def test_a_full_queue_is_503_with_retry_after() -> None:
    with serving("hf-endpoint", settings_of("hf-endpoint", max_queue=0)) as url:
        answered = requests.post(url, json={"inputs": ["a"]}, timeout=60)
    assert (answered.status_code, answered.headers["Retry-After"]) == (503, "1")
    assert list(answered.json()) == ["error"]


def test_a_body_over_the_limit_is_413() -> None:
    with serving("hf-endpoint", settings_of("hf-endpoint", max_body_bytes=100)) as url:
        assert requests.post(url, json={"inputs": ["a" * 100]}, timeout=60).status_code == 413


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("PUT", "/predict", 405)])
def test_what_is_not_there_is_said_in_json(url: str, method: str, path: str, status: int) -> None:
    answered = requests.request(method, url + path, timeout=60)
    assert (answered.status_code, list(answered.json())) == (status, ["error"])


def test_another_method_is_told_which_there_are(url: str) -> None:
    assert requests.put(url, timeout=60).headers["Allow"] == "GET, POST"
