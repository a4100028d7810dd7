"""huggingface_hub's own client, over a real socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
from huggingface_hub import InferenceClient, constants
from huggingface_hub.errors import BadRequestError, HfHubHTTPError
from huggingface_hub.utils import close_session

from tests.server.dialects.serving import DEMO, DEMO_LENGTH, KEY, sample, serving, settings_of, truth

TEXTS = ["a photo of a cat", "a photo of a dog"]

Connect = Callable[..., InferenceClient]


@pytest.fixture(scope="module")
def connect() -> Iterator[Connect]:
    """A client of a path below the server's; HF_HUB_OFFLINE, which a run of tests may set, would forbid it loopback."""
    with (
        pytest.MonkeyPatch.context() as patch,
        serving("hf-endpoint", settings_of("hf-endpoint", api_keys=(KEY,))) as url,
    ):
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        close_session()  # the one that was made while it was set refuses everything
        yield lambda path="", token=KEY: InferenceClient(model=url + path, token=token)
        close_session()


@pytest.fixture(scope="module")
def cat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("pictures") / "cat.jpg"
    path.write_bytes(sample(101))
    return path


@pytest.mark.parametrize("path", ["", "/pipeline/zero-shot-image-classification"])
def test_zero_shot_image_classification(connect: Connect, cat: Path, path: str) -> None:
    found = connect(path).zero_shot_image_classification(cat, ["cat", "dog"], hypothesis_template="a photo of a {}")
    assert [each.label for each in found] == ["cat", "dog"]
    assert found == connect().zero_shot_image_classification(
        cat.read_bytes(), ["cat", "dog"], hypothesis_template="a photo of a {}"
    )


def test_image_classification_of_a_raw_body_takes_its_labels_from_the_query(connect: Connect, cat: Path) -> None:
    client = connect("/?candidate_labels=a photo of a dog,a photo of a cat")
    for given in (cat, cat.read_bytes()):
        assert [each.label for each in client.image_classification(given)] == ["a photo of a cat", "a photo of a dog"]


@pytest.mark.parametrize("path", ["/pipeline/feature-extraction", "/models/google/siglip2/pipeline/feature-extraction"])
def test_feature_extraction(connect: Connect, path: str) -> None:
    expected = truth(DEMO, [sample(101)], TEXTS, DEMO_LENGTH).texts
    np.testing.assert_allclose(connect(path).feature_extraction(TEXTS, normalize=True), expected, atol=1e-4)
    np.testing.assert_allclose(connect(path).feature_extraction(TEXTS[0]), expected[:1], atol=1e-4)


def test_feature_extraction_leaves_vectors_as_they_are_when_asked(connect: Connect) -> None:
    client = connect("/pipeline/feature-extraction")
    unit, plain = (client.feature_extraction(TEXTS, normalize=normalize) for normalize in (True, False))
    lengths = np.linalg.norm(plain, axis=1, keepdims=True)
    assert np.abs(lengths - 1).min() > 0.01
    np.testing.assert_allclose(plain / lengths, unit, atol=1e-5)


def test_an_option_that_cannot_be_kept_is_refused(connect: Connect) -> None:
    with pytest.raises(BadRequestError, match="dimensions"):
        connect("/pipeline/feature-extraction").feature_extraction(TEXTS, dimensions=64)


def test_sentence_similarity(connect: Connect) -> None:
    found = connect("/pipeline/sentence-similarity").sentence_similarity(TEXTS[0], other_sentences=TEXTS)
    texts = truth(DEMO, [sample(101)], TEXTS, DEMO_LENGTH).texts
    np.testing.assert_allclose(found, texts @ texts[0], atol=1e-4)


def test_a_bad_picture_raises_with_the_servers_words(connect: Connect) -> None:
    with pytest.raises(BadRequestError, match="no known picture format"):
        connect().zero_shot_image_classification(b"no picture", ["cat", "dog"])


def test_a_wrong_key_raises(connect: Connect, cat: Path) -> None:
    with pytest.raises(HfHubHTTPError) as caught:
        connect(token="wrong").zero_shot_image_classification(cat, ["cat", "dog"])
    assert caught.value.response.status_code == 401


def test_a_picture_is_embedded_as_the_body_of_feature_extraction(connect: Connect, cat: Path) -> None:
    url = connect("/pipeline/feature-extraction").model
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "image/jpeg"}
    found = requests.post(str(url), data=cat.read_bytes(), headers=headers, timeout=60).json()
    np.testing.assert_allclose(found, truth(DEMO, [cat.read_bytes()], TEXTS, DEMO_LENGTH).images, atol=1e-4)
