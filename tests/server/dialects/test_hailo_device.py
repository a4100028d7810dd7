"""hailo-clip over the double of HailoRT: a device that goes and comes back, and texts that were computed before."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests import small_pictures
from tests.models import checkpoints, hailo_programmes
from tests.server.dialects.serving import serving
from visioncli.models import load_all
from visioncli.models.runtime import HailoRequest
from visioncli.server import health
from visioncli.server.settings import ServeSettings

TINY = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 4}
PICTURE = {"image": base64.b64encode(small_pictures.jpeg(1)).decode()}
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.clip(tmp_path_factory.mktemp("tiny-clip"), **TINY)


@pytest.fixture
def hailo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    with hailo_programmes.plugged_in(monkeypatch, LOG=str(tmp_path / "log")) as module:
        yield module


def on_hailo(clip: Path, folder: Path, **more: Any) -> ServeSettings:
    texts = {name: more.pop(name) for name in ("text_embeddings",) if name in more}
    files = HailoRequest(hailo_programmes.hef(folder, clip), **texts)
    models = {("hailo-clip", role): str(clip) for role in ("classify", "embed")}
    return ServeSettings(models=models, device="hailo", hailo_files=files, offline=True, grace_s=2.0, **more)


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_device_that_is_back_answers_again_and_the_server_says_so_unasked(
    clip: Path, hailo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "WOUND_S", 0.2)
    with serving("hailo-clip", on_hailo(clip, tmp_path), load=load_all) as url:
        before = requests.post(f"{url}/v1/embed/image", json=PICTURE, timeout=60).json()
        monkeypatch.setenv("HAILO_DOUBLE_VANISH", "2")
        assert requests.post(f"{url}/v1/embed/image", json=PICTURE, timeout=60).status_code == 500
        assert requests.get(f"{url}/health", timeout=60).status_code == 503
        hailo._MACHINE.is_gone = False
        until(lambda: requests.get(f"{url}/health", timeout=60).status_code == 200)
        assert requests.post(f"{url}/v1/embed/image", json=PICTURE, timeout=60).json() == before


def test_a_model_that_is_unloaded_leaves_the_device(clip: Path, hailo: Any, tmp_path: Path) -> None:
    with serving("hailo-clip", on_hailo(clip, tmp_path, idle_unload_s=0.0), load=load_all) as url:
        requests.post(f"{url}/v1/embed/image", json=PICTURE, timeout=60)
        until(lambda: [one["event"] for one in hailo_programmes.events(tmp_path / "log")][-1] == "unconfigure")
        requests.post(f"{url}/v1/embed/image", json=PICTURE, timeout=60)
    names = [one["event"] for one in hailo_programmes.events(tmp_path / "log")]
    assert names.count("open") == 1 and names.count("configure") >= 2


def test_a_text_that_was_not_computed_before_is_the_requests_fault(clip: Path, hailo: Any, tmp_path: Path) -> None:
    (tmp_path / "texts.json").write_text(json.dumps({"entries": [{"text": "cat", "embedding": [1.0] + [0.0] * 511}]}))
    settings = on_hailo(clip, tmp_path, text_embeddings=str(tmp_path / "texts.json"))
    refused = (400, {"error": "texts.json has no embedding of 'bee'; it has 1 text"})
    with serving("hailo-clip", settings, load=load_all) as url:
        asked = {"embed/text": {"text": "bee"}, "classify": {**PICTURE, "prompts": ["cat", "bee"]}}
        answers = {path: requests.post(f"{url}/v1/{path}", json=body, timeout=60) for path, body in asked.items()}
        known = requests.post(f"{url}/v1/embed/text", json={"text": "cat"}, timeout=60).json()
    assert {path: (each.status_code, each.json()) for path, each in answers.items()} == dict.fromkeys(asked, refused)
    assert known["embedding"][:2] == [1.0, 0.0]
