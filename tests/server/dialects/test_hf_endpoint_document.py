"""Every request of hf-endpoint-siglip2.md against the server, with other hosts, keys and image URLs."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests import misbehaving
from tests.server.dialects.serving import KEY, sample, serving, settings_of
from tests.server.transcripts import hf_endpoint as document
from tests.server.transcripts.reading import alike, has, parsed, replaced, run_in_shell

PICTURES = {"cat.jpg": sample(101), "dog.jpg": sample(102), "bird.jpg": sample(103)}
PLACES = {  # in the document -> here
    "<image_url_or_base64>": "cat.jpg",
    "<image1_url>": "cat.jpg",
    "<image2_url>": "dog.jpg",
    "<image3_url>": "bird.jpg",
    f"{document.CATALOG}tile-001.jpg": "cat.jpg",
    f"{document.CATALOG}tile-002.jpg": "dog.jpg",
    f"{document.CATALOG}tile-003.jpg": "bird.jpg",
    f"{document.CATALOG}unknown-product.jpg": "cat.jpg",
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving("hf-endpoint", settings_of("hf-endpoint", api_keys=(KEY,))) as running:
        yield running


@pytest.fixture(scope="module")
def pictures() -> Iterator[misbehaving.Server]:
    with misbehaving.serve(PICTURES) as running:
        yield running


@pytest.fixture(scope="module")
def here(url: str, pictures: misbehaving.Server) -> dict[str, str]:
    return {old: pictures.url(f"/ok/{name}").decode() for old, name in PLACES.items()}


def post(url: str, body: Any) -> requests.Response:
    return requests.post(url, headers={"Authorization": f"Bearer {KEY}"}, json=body, timeout=60)


def with_places(text: str, here: dict[str, str]) -> str:
    return replaced(text, {old: new for old, new in here.items() if old in text})


@pytest.mark.parametrize("name", document.REQUESTS)
def test_each_mode_answers_its_printed_request_in_the_printed_shape(name: str, url: str, here: dict[str, str]) -> None:
    printed, shown, count = document.REQUESTS[name]
    answered = post(url, json.loads(with_places(printed, here)))
    assert answered.status_code == 200 and alike(shown, answered.json())
    listed = answered.json()["similarity_scores"] if "similarity" in name else answered.json()
    assert len(listed) == (3 if name == "zero_shot" else count)


@pytest.mark.parametrize("name", document.REQUESTS)
def test_base64_stands_in_the_place_of_any_url(name: str, url: str) -> None:
    printed, shown, _ = document.REQUESTS[name]
    packed = {old: base64.b64encode(PICTURES[place]).decode() for old, place in PLACES.items()}
    assert alike(shown, post(url, json.loads(with_places(printed, packed))).json())


@pytest.mark.parametrize("name", document.COMMANDS)
def test_what_a_printed_curl_command_sends_is_answered_as_printed(name: str, url: str, here: dict[str, str]) -> None:
    printed, shown = document.COMMANDS[name]
    assert alike(shown, parsed(with_places(to_here(printed, url), here)).send())


@pytest.mark.skipif(not has("bash", "curl"), reason="needs curl")
@pytest.mark.parametrize("name", document.COMMANDS)
def test_a_printed_curl_command_runs(name: str, url: str, here: dict[str, str], tmp_path: Path) -> None:
    printed, shown = document.COMMANDS[name]
    assert alike(shown, run_in_shell(with_places(to_here(printed, url), here), tmp_path))


def to_here(printed: str, url: str) -> str:
    return replaced(printed, {document.HOST: url, document.KEY: KEY})


@pytest.fixture(scope="module")
def client(url: str) -> dict[str, Any]:
    """The names that the document's Python client defines."""
    names: dict[str, Any] = {}
    exec(to_here(document.PYTHON, url), names)
    return names


def test_the_printed_python_client_classifies_a_url(client: dict[str, Any], here: dict[str, str]) -> None:
    found = client["classify_product"](here["<image1_url>"], ["a photo of a dog", "a photo of a cat"])
    assert [each["label"] for each in found] == ["a photo of a cat", "a photo of a dog"]
    assert sum(each["score"] for each in found) == pytest.approx(1)


def test_the_printed_python_client_classifies_a_local_file(client: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "dog.jpg").write_bytes(PICTURES["dog.jpg"])
    found = client["classify_local_image"](str(tmp_path / "dog.jpg"), ["a photo of a dog", "a photo of a cat"])
    assert found[0]["label"] == "a photo of a dog"


def test_the_printed_python_client_embeds_and_compares(client: dict[str, Any], here: dict[str, str]) -> None:
    cat = here["<image1_url>"]
    image, text = client["get_image_embedding"](cat), client["get_text_embedding"]("a photo of a cat")
    (score,) = client["get_similarity"](cat, ["a photo of a cat"])
    assert sum(a * b for a, b in zip(image, text, strict=True)) == pytest.approx(score, abs=1e-5)
    assert sum(a * a for a in image) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", document.ERRORS)
def test_the_printed_errors_are_400_with_the_printed_words(name: str, url: str) -> None:
    body, shown = document.ERRORS[name]
    answered = post(url, body)
    assert (answered.status_code, answered.json()) == (400, shown)
