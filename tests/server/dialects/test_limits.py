"""What one request may ask of each API: more is refused in its words, by its length, before anything is made of it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from tests import misbehaving
from tests.doubles import colour_of, png
from tests.server.dialects import runpod_serving
from tests.server.dialects.serving import serving, settings_of

DOT = base64.b64encode(png(colour_of(1), 1)).decode()
NONE = "no base64!"  # would be refused by name, were it looked at
MANY = [str(number) for number in range(4097)]
FEW = MANY[:4096]

ASKED: list[tuple[str, str, Any, str, str]] = [  # dialect, path, body, key of the refusal, its words
    ("hf-endpoint", "/", {"inputs": [NONE] * 257, "parameters": {"mode": "image_embedding"}}, "error", "257 pictures"),
    ("hf-endpoint", "/", {"inputs": MANY}, "error", "4097 inputs"),
    ("hf-endpoint", "/", {"inputs": NONE, "parameters": {"candidate_labels": MANY}}, "error", "4097 labels"),
    ("hf-endpoint", "/", {"inputs": NONE, "parameters": {"candidate_labels": ",".join(MANY)}}, "error", "4097 labels"),
    ("hf-endpoint", "/", {"inputs": [NONE] * 65, "parameters": {"candidate_labels": FEW}}, "error", "266240 scores"),
    ("hf-endpoint", "/", {"inputs": {"images": [NONE] * 257, "text": "a"}}, "error", "257 images"),
    ("hf-endpoint", "/", {"inputs": {"image": NONE, "texts": MANY}}, "error", "4097 texts"),
    ("hf-endpoint", "/", {"inputs": {"images": [NONE] * 65, "texts": FEW}}, "error", "266240 scores"),
    ("hf-endpoint", "/pipeline/feature-extraction", {"inputs": MANY}, "error", "4097 texts"),
    (
        "hf-endpoint",
        "/pipeline/sentence-similarity",
        {"inputs": {"source_sentence": "a", "sentences": FEW}},
        "error",
        "4096 sentences",
    ),
    (
        "hf-endpoint",
        "/",
        {"inputs": NONE, "parameters": {"candidate_labels": ["a"], "hypothesis_template": "{}" * 251}},
        "error",
        "hypothesis_template has more than 500 characters",
    ),
    ("hailo-clip", "/v1/classify", {"image": DOT, "prompts": MANY}, "error", "4097 prompts"),
    ("hailo-clip", "/v1/classify", {"image": NONE, "prompts": MANY}, "error", "Failed to decode image"),
    ("sagemaker-clip", "/invocations", {"images": [NONE] * 257, "classes": ["a"]}, "error", "257 images"),
    ("sagemaker-clip", "/invocations", {"images": [NONE], "classes": MANY}, "error", "4097 classes"),
    ("sagemaker-clip", "/invocations", {"images": [NONE], "classes": [[t, 1] for t in MANY]}, "error", "4097 classes"),
]
SLOW: list[tuple[str, str, Any]] = [  # dialect, path, body for a URL that does not answer
    ("hf-endpoint", "/", {"inputs": "{}", "parameters": {"mode": "image_embedding"}}),
    ("hf-endpoint", "/", {"inputs": ["{}", "{}"], "parameters": {"candidate_labels": ["a"]}}),
    ("sagemaker-clip", "/invocations", {"images": ["{}"], "classes": ["a"]}),
    ("vision-models", "/inference/sam3", {"images": ["{}"], "prompts": ["a"]}),
    ("vision-models", "/inference/dinov3", {"images": ["{}", {"data": "{}", "format": "url"}]}),
]


@pytest.fixture(params=sorted({row[0] for row in ASKED}))
def server(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    with serving(request.param, start=False) as url:
        yield request.param, url


def test_more_than_a_request_may_have_is_a_400(server: tuple[str, str]) -> None:
    dialect, url = server
    for _, path, body, key, words in (row for row in ASKED if row[0] == dialect):
        answered = requests.post(url + path, json=body, timeout=60)
        assert (answered.status_code, answered.json()[key][: len(words)]) == (400, words)


def test_more_labels_than_a_job_may_have_fail_it(tmp_path: Path) -> None:
    words = "Classification failed: 4097 labels are more than the 4096 that one request may have"
    with runpod_serving.serving(tmp_path / "jobs.sqlite") as place:
        for labels in (MANY, ",".join(MANY)):
            given = {"image_base64": NONE, "labels": labels}
            job = place.ask("POST", "/v2/siglip/runsync", {"input": given}).json()
            assert (job["status"], job["error"]) == ("FAILED", words)


@pytest.mark.parametrize(("dialect", "path", "body"), SLOW)
def test_a_request_s_time_holds_while_its_pictures_are_fetched(dialect: str, path: str, body: Any) -> None:
    """The fetch itself would end after 10 s, with a 400."""
    with misbehaving.serve({}) as pictures:
        settings = replace(settings_of(dialect), deadline_s=0.5)
        with serving(dialect, settings, start=False) as url:
            answered = requests.post(url + path, json=_with(body, pictures.url("/slow?s=60").decode()), timeout=60)
    assert (answered.status_code, "Retry-After" in answered.headers) == (503, True)


def _with(body: Any, url: str) -> Any:
    """The body with `url` where it says {}."""
    if isinstance(body, dict):
        return {key: _with(each, url) for key, each in body.items()}
    if isinstance(body, list):
        return [_with(each, url) for each in body]
    return url if body == "{}" else body
