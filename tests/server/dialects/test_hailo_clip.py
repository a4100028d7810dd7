"""hailo-clip on a real socket: every request of hailo-clip.md, the numbers, the order of what is looked at."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from tests.server.dialects.serving import DEMO, DEMO_LENGTH, KEY, ROOT, Truth, serving, settings_of, softmax, truth
from tests.server.transcripts import hailo_clip as document
from tests.server.transcripts.reading import alike, has, parsed, replaced, run_in_shell
from visioncli.server.settings import HailoOptions

PERSON = (ROOT / "sample_data/images/people/00156.jpg").read_bytes()
IMAGE = base64.b64encode(PERSON).decode()
PROMPTS = ["a photo of a cat", "person on bicycle", "a photo of a person", "person wearing helmet"]
NO_PICTURE = base64.b64encode(b"no picture").decode()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving("hailo-clip") as running:
        yield running


@pytest.fixture(scope="module")
def known() -> Truth:
    return truth(DEMO, [PERSON], PROMPTS, DEMO_LENGTH)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "image.jpg").write_bytes(PERSON)
    return tmp_path


def post(url: str, path: str, body: Any) -> tuple[int, Any]:
    answered = requests.post(url + path, json=body, timeout=60)
    return answered.status_code, answered.json()


def found(url: str, **body: Any) -> dict[str, float]:
    """Text -> score, in the order of the answer, whose ranks are counted from 1."""
    status, content = post(url, "/v1/classify", {"image": IMAGE, "prompts": PROMPTS, **body})
    assert status == 200
    listed = content["classifications"]
    assert [each["rank"] for each in listed] == list(range(1, len(listed) + 1))
    return {each["text"]: each["score"] for each in listed}


# The document


@pytest.mark.parametrize("path", document.REQUESTS)
def test_each_printed_request_is_answered_as_printed(path: str, url: str) -> None:
    printed, shown = document.REQUESTS[path]
    body = json.loads(printed.replace(document.IMAGE, IMAGE))
    status, content = post(url, path, body)
    assert status == 200 and alike(shown, content)


@pytest.mark.parametrize("name", document.COMMANDS)
def test_what_a_printed_curl_command_sends_is_answered_as_printed(name: str, url: str) -> None:
    printed, shown = document.COMMANDS[name]
    command = replaced(printed[printed.index("curl") :], {document.HOST: url, " | jq .": ""})
    filled = command.replace("${IMAGE_B64}", IMAGE).replace("base64,...", f"base64,{IMAGE}")
    assert alike(shown, parsed(filled).send())


@pytest.mark.skipif(not has("bash", "curl", "jq", "base64"), reason="needs curl and jq")
@pytest.mark.parametrize("name", document.COMMANDS)
def test_the_printed_commands_run(name: str, url: str, folder: Path) -> None:
    printed, shown = document.COMMANDS[name]
    here = replaced(printed, {document.HOST: url}).replace("base64,...", f"base64,{IMAGE}")
    assert alike(shown, run_in_shell(here, folder))


def test_the_printed_python_example_runs_with_its_threshold_lowered(
    url: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    exec(replaced(document.PYTHON, {document.HOST: url, '"threshold": 0.5': '"threshold": 0.1'}), {})
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("Top match: {'text': 'person neutral expression', 'score': 0.3")
    assert said[0].endswith("'rank': 1}") and said[1].endswith("ms")


def test_the_printed_python_example_runs_as_printed_where_softmax_is_configured(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    with serving("hailo-clip", settings_of("hailo-clip", hailo=HailoOptions(apply_softmax=True))) as url:
        exec(replaced(document.PYTHON, {document.HOST: url}), {})
    assert "'person neutral expression', 'score': 0.9" in capsys.readouterr().out


def test_health_names_the_model_that_runs(url: str) -> None:
    answered = requests.get(url + "/health", timeout=60)
    assert answered.status_code == 200
    assert list(answered.json().items()) == list((document.HEALTH | {"model": "demo"}).items())


def test_health_is_503_before_the_models_are_there() -> None:
    with serving("hailo-clip", start=False) as url:
        answered = requests.get(url + "/health", timeout=60)
    assert (answered.status_code, answered.json()["model_loaded"]) == (503, False)


# Numbers


def test_scores_are_the_whole_models_cosines_best_first(url: str, known: Truth) -> None:
    scores = found(url, threshold=-1, top_k=99)
    best = np.argsort(-known.cosines[0])
    assert list(scores) == [PROMPTS[place] for place in best]
    np.testing.assert_allclose(list(scores.values()), known.cosines[0][best], atol=1e-4)


def test_the_threshold_is_applied_before_top_k(url: str, known: Truth) -> None:
    texts = [PROMPTS[place] for place in np.argsort(-known.cosines[0])]
    between = float(np.sort(known.cosines[0])[-3:-1].mean())
    assert list(found(url, threshold=between)) == texts[:2]
    assert list(found(url, threshold=between, top_k=1)) == texts[:1]
    assert found(url, threshold=1.0) == {}  # a valid answer
    assert len(found(url)) == (known.cosines[0] >= 0).sum() == 3 == len(found(url, top_k=None, threshold=None))


def test_softmax_of_the_scaled_cosines_where_it_is_configured(known: Truth) -> None:
    hailo = HailoOptions(apply_softmax=True, logit_scale=20.0)
    with serving("hailo-clip", settings_of("hailo-clip", hailo=hailo)) as url:
        scores, alone = found(url, top_k=4), found(url, prompts=PROMPTS[2:3])
    expected = softmax(20 * known.cosines[0])
    np.testing.assert_allclose([scores[prompt] for prompt in PROMPTS], expected, atol=1e-4)
    assert alone[PROMPTS[2]] == pytest.approx(known.cosines[0][2], abs=1e-4)  # of one prompt the cosine


def test_embeddings_are_the_whole_models_unit_vectors(url: str, known: Truth) -> None:
    _, image = post(url, "/v1/embed/image", {"image": f"data:image/jpeg;base64,{IMAGE}"})
    _, text = post(url, "/v1/embed/text", {"text": PROMPTS[0]})
    np.testing.assert_allclose(image["embedding"], known.images[0], atol=1e-4)
    np.testing.assert_allclose(text["embedding"], known.texts[0], atol=1e-4)
    assert (image["dimension"], image["model"]) == (128, "demo") == (text["dimension"], text["model"])


def test_a_prompt_listed_twice_is_found_twice(url: str) -> None:
    _, content = post(url, "/v1/classify", {"image": IMAGE, "prompts": PROMPTS[2:3] * 2})
    assert [each["text"] for each in content["classifications"]] == PROMPTS[2:3] * 2


# Refusals

BAD_IMAGE, BAD_PROMPTS = {"error": "Failed to decode image"}, document.NO_PROMPTS


@pytest.mark.parametrize(
    ("path", "body", "answer"),
    [
        ("/v1/classify", [], {"error": "No JSON body"}),
        ("/v1/classify", {}, BAD_IMAGE),
        ("/v1/classify", {"image": 5, "prompts": 5}, BAD_IMAGE),
        ("/v1/classify", {"image": "%%%", "prompts": 5}, BAD_IMAGE),
        ("/v1/classify", {"image": NO_PICTURE}, BAD_IMAGE),
        ("/v1/classify", {"image": NO_PICTURE, "prompts": PROMPTS}, BAD_IMAGE),
        ("/v1/classify", {"image": "http://127.0.0.1:1/a.jpg", "prompts": PROMPTS}, BAD_IMAGE),
        ("/v1/classify", {"image": IMAGE}, BAD_PROMPTS),
        ("/v1/classify", {"image": IMAGE, "prompts": []}, BAD_PROMPTS),
        ("/v1/classify", {"image": IMAGE, "prompts": "a cat"}, BAD_PROMPTS),
        ("/v1/classify", {"image": IMAGE, "prompts": ["a", 1]}, BAD_PROMPTS),
        ("/v1/embed/image", {}, BAD_IMAGE),
        ("/v1/embed/image", {"image": NO_PICTURE}, BAD_IMAGE),
        ("/v1/embed/text", {"text": ""}, {"error": "Missing 'text' field"}),
        ("/v1/embed/text", {"text": 5}, {"error": "Missing 'text' field"}),
    ],
)
def test_what_is_wrong_is_named_in_the_originals_words_and_order(
    url: str, path: str, body: Any, answer: dict[str, str]
) -> None:
    assert post(url, path, body) == (400, answer)


@pytest.mark.parametrize(("name", "value"), [("top_k", -1), ("top_k", "2"), ("top_k", True), ("threshold", "0.1")])
def test_a_number_that_is_none_is_400(url: str, name: str, value: Any) -> None:
    status, content = post(url, "/v1/classify", {"image": IMAGE, "prompts": PROMPTS, name: value})
    assert status == 400 and f"'{name}'" in content["error"]


@pytest.mark.parametrize("data", [b"", b"{", b"null", b"\xff\xfe"])
def test_a_body_that_is_no_json_object_is_400(url: str, data: bytes) -> None:
    answered = requests.post(url + "/v1/embed/text", data=data, timeout=60)
    assert (answered.status_code, answered.json()) == (400, {"error": "No JSON body"})


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/", 404, "Endpoint not found"),
        ("POST", "/v1/classify/", 404, "Endpoint not found"),
        ("GET", "/v1/classify", 405, "Method not allowed"),
    ],
)
def test_what_is_not_there_is_said_in_json(url: str, method: str, path: str, status: int, words: str) -> None:
    answered = requests.request(method, url + path, timeout=60)
    assert (answered.status_code, answered.json()) == (status, {"error": words})


def test_a_key_is_wanted_where_one_is_configured_but_for_health() -> None:
    with serving("hailo-clip", settings_of("hailo-clip", api_keys=(KEY,))) as url:
        given = ({}, {"x-api-key": "wrong"}, {"x-api-key": KEY}, {"Authorization": f"Bearer {KEY}"})
        asked = [requests.post(url + "/v1/embed/text", json={"text": "a"}, headers=h, timeout=60) for h in given]
        assert [each.status_code for each in asked] == [401, 401, 200, 200]
        assert asked[0].json() == {"error": "Unauthorized"}
        assert requests.get(url + "/health", timeout=60).status_code == 200


def test_a_full_queue_is_503_with_retry_after() -> None:
    with serving("hailo-clip", settings_of("hailo-clip", max_queue=0)) as url:
        answered = requests.post(url + "/v1/embed/text", json={"text": "a"}, timeout=60)
    assert (answered.status_code, answered.json()) == (503, {"error": "Server busy"})
    assert answered.headers["Retry-After"] == "1"


def test_a_body_over_the_limit_is_413() -> None:
    with serving("hailo-clip", settings_of("hailo-clip", max_body_bytes=100)) as url:
        assert post(url, "/v1/embed/text", {"text": "a" * 100})[0] == 413
