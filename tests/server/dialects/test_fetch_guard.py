"""URLs that lead inside, by every way and in every API: refused in its own shape, and nobody is connected to.

RunPod's, whose refusals are jobs that failed, stand in test_runpod.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import requests

from tests import misbehaving
from tests.server.dialects.serving import serving, settings_of
from tests.server.dialects.test_runpod import INSIDE, PLACES
from tests.server.test_payloads import Book, Listener

CAT = ["cat"]
ASKED: list[tuple[str, str, Any, str, int]] = [  # dialect, path, body for a URL, key of the refusal, status
    ("hf-endpoint", "/", {"inputs": "{}", "parameters": {"mode": "image_embedding"}}, "error", 400),
    ("hf-endpoint", "/predict", {"inputs": {"image": "{}", "text": CAT}}, "error", 400),
    ("vision-models", "/inference/sam3", {"images": ["{}"], "prompts": CAT}, "detail", 400),
    ("vision-models", "/inference/depth-anything", {"images": [{"data": "{}", "format": "url"}]}, "detail", 400),
    ("sagemaker-clip", "/invocations", {"images": ["{}"], "classes": CAT}, "error", 400),
    ("sagemaker-clip", "/endpoints/x/invocations", {"images": ["{}"], "classes": CAT}, "Message", 424),
    ("hailo-clip", "/v1/embed/image", {"image": "{}"}, "error", 400),
]


@dataclass
class Places:
    base: str
    urls: list[str]
    inside: Listener
    outside: misbehaving.Server


@pytest.fixture(params=sorted({row[0] for row in ASKED}))
def places(request: pytest.FixtureRequest) -> Iterator[tuple[str, Places]]:
    """A server that may fetch from one port of this machine, which redirects to another, where nobody may go."""
    dialect, inside = request.param, Listener()
    with inside.socket, misbehaving.serve({}) as outside:
        ports = {"INSIDE": str(inside.port), "OUTSIDE": str(outside.port)}
        urls = [re.sub("INSIDE|OUTSIDE", lambda word: ports[word[0]], url) for url in INSIDE]
        settings = settings_of(dialect)
        fetch = replace(settings.fetch, allow_hosts=(f"127.0.0.1:{outside.port}",))
        with serving(dialect, replace(settings, fetch=fetch), start=False, resolver=Book(PLACES)) as base:
            yield dialect, Places(base, urls, inside, outside)


def test_no_api_goes_where_a_url_leads_inside(places: tuple[str, Places]) -> None:
    dialect, here = places
    for _, path, body, key, status in (row for row in ASKED if row[0] == dialect):
        for url in here.urls:
            answer = requests.post(here.base + path, json=_with(body, url), timeout=60)
            assert (answer.status_code, url) == (status, url)
            assert isinstance(answer.json()[key], str) and "passwd:" not in answer.text
    assert here.inside.connections() == 0
    assert bool(here.outside.requests) == (dialect != "hailo-clip")  # which takes no URL at all


def _with(body: Any, url: str) -> Any:
    """The body with `url` where it says {}."""
    if isinstance(body, dict):
        return {key: _with(each, url) for key, each in body.items()}
    if isinstance(body, list):
        return [_with(each, url) for each in body]
    return url if body == "{}" else body
