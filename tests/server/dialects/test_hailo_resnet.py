"""hailo-clip as it is documented, on clip-resnet-50x4 at its full size: random weights, a real socket."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import requests
import torch
from PIL import Image

from tests.loopback_hub import live_here
from tests.models import clip_resnet_checkpoints as made
from tests.models.clip_resnet_oracle import truth
from tests.server.dialects.serving import ROOT, serving
from tests.server.transcripts import hailo_clip as document
from visioncli.io import hub_cache
from visioncli.server.settings import ServeSettings

PERSON = (ROOT / "sample_data/images/people/00156.jpg").read_bytes()
IMAGE = base64.b64encode(PERSON).decode()
PROMPTS = ["person with smile", "person with frown", "a red car"]
COMMIT = "5" * 40


@pytest.fixture(scope="module")
def original() -> Any:
    """open_clip's whole CLIP, its weights rounded to half: they lie on disk in 357 MB."""
    return made.halved(made.original(made.CONFIGS["RN50x4"]))


@pytest.fixture(scope="module")
def url(original: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that was told nothing but to stay offline."""
    with pytest.MonkeyPatch.context() as patch:
        live_here(patch, tmp_path_factory.mktemp("home"))
        directory = hub_cache.directory_of("timm/resnet50x4_clip.openai", COMMIT)
        made.save(directory, made.CONFIGS["RN50x4"], original.state_dict(), half=True)
        made.openai_tokenizer(directory)
        hub_cache.write_ref("timm/resnet50x4_clip.openai", "main", COMMIT)
        with serving("hailo-clip", ServeSettings(dtype="float32", offline=True, grace_s=2.0)) as running:
            yield running


@pytest.fixture(scope="module")
def known(original: Any) -> tuple[Any, Any]:
    """Unit vectors of PERSON (640,) and of PROMPTS (3, 640)."""
    pixels = truth(Image.open(BytesIO(PERSON)).convert("RGB"), 288) / 255
    values = (pixels - made.PREPROCESS["mean"]) / made.PREPROCESS["std"]
    with torch.inference_mode():
        image = original.encode_image(torch.from_numpy(values).float().permute(2, 0, 1)[None], normalize=True)
        texts = original.encode_text(made.upstream("tokenizer").SimpleTokenizer()(PROMPTS), normalize=True)
    return image[0].numpy(), texts.numpy()


def post(url: str, path: str, **body: Any) -> Any:
    answered = requests.post(url + path, json=body, timeout=120)
    assert answered.status_code == 200, answered.text
    return answered.json()


def test_health_and_answers_bear_the_documents_model(url: str) -> None:
    assert requests.get(url + "/health", timeout=60).json() == document.HEALTH
    assert post(url, "/v1/classify", image=IMAGE, prompts=PROMPTS)["model"] == document.MODEL


@pytest.mark.parametrize("path", ["/v1/embed/image", "/v1/embed/text"])
def test_an_embedding_is_open_clips_640_numbers_of_length_1(url: str, known: tuple[Any, Any], path: str) -> None:
    content = post(url, path, **({"image": IMAGE} if path.endswith("image") else {"text": PROMPTS[0]}))
    assert (content["dimension"], content["model"]) == (640, "clip-resnet-50x4")
    vector = np.array(content["embedding"])
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(vector, known[0] if path.endswith("image") else known[1][0], rtol=0, atol=1e-5)


def test_scores_are_open_clips_cosines_best_first(url: str, known: tuple[Any, Any]) -> None:
    listed = post(url, "/v1/classify", image=IMAGE, prompts=PROMPTS, threshold=-1)["classifications"]
    cosines = known[1] @ known[0]
    assert [each["text"] for each in listed] == [PROMPTS[place] for place in np.argsort(-cosines)]
    np.testing.assert_allclose([each["score"] for each in listed], np.sort(cosines)[::-1], atol=1e-5)
