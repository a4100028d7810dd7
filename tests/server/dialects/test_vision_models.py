"""The Vision Models API beside its four models: images, models, keys, origins, its own description."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from tests import misbehaving
from tests.server.dialects.serving import ROOT
from tests.server.dialects.vision_serving import DEPTH, PICTURE, SAM3, Client, scene, serving
from visioncli.server.dialects.vision_models import OPERATIONS, jobs, models


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with serving(tmp_path_factory.mktemp("jobs") / "jobs.sqlite") as url:
        yield Client(url)


@pytest.fixture
def jobs_db(tmp_path: Path) -> Path:
    return tmp_path / "jobs.sqlite"


# Images


def test_a_data_uri_and_a_plain_url_are_images(client: Client) -> None:
    with misbehaving.serve({"a.jpg": scene(1)}) as pictures:
        images = [pictures.url("/ok/a.jpg").decode(), f"data:image/jpeg;base64,{PICTURE}", {"data": PICTURE}, PICTURE]
        results = client.answer("/inference/sam3", SAM3 | {"images": images})["results"]
    boxes = [of_image[0]["result"]["boxes"] for of_image in results]
    assert len(boxes) == 4 and len(boxes[0]) == 1
    np.testing.assert_allclose(boxes, boxes[:1] * 4, atol=0.05)


# Models


def test_models_come_and_go(client: Client) -> None:
    assert client.answer("/models/load", {"model_type": "dinov3"})["model_info"]["loaded"] is True
    assert "dinov3" in client.get("/health")[1]["loaded_models"]
    gone = {"message": "Model dinov3 unloaded successfully"}
    assert [client.answer("/models/unload", {"model_type": "dinov3"}) for _ in range(2)] == [gone, gone]
    absent = {"model_type": "dinov3", "model_id": "demo", "device": None, "loaded": False, "memory_mb": None}
    assert client.get("/models/status")[1]["models"]["dinov3"] == absent
    assert client.answer("/models/unload-all", None) == {"message": "All models unloaded successfully"}
    assert client.get("/health")[1]["loaded_models"] == []


def test_the_size_of_a_model_is_four_bytes_a_parameter(client: Client) -> None:
    from transformers import DINOv3ViTModel

    model = DINOv3ViTModel.from_pretrained(ROOT / "visioncli/models/demo/dinov3", local_files_only=True)
    info = client.answer("/models/load", {"model_type": "dinov3"})["model_info"]
    assert info["memory_mb"] == pytest.approx(sum(part.numel() for part in model.parameters()) * 4 / 2**20, abs=0.01)


def test_a_strict_server_refuses_a_device_that_is_not_there(jobs_db: Path) -> None:
    with serving(jobs_db, strict_device=True) as url:
        status, found = Client(url).post("/models/load", {"model_type": "sam3", "device": "cuda:99"})
    assert status == 400 and found["detail"].startswith("cuda")


# Keys, origins, description


def test_a_key_is_asked_for_everywhere_but_for_health(jobs_db: Path) -> None:
    with serving(jobs_db, api_keys=("one", "two")) as url:
        refused = (401, {"detail": "Invalid or missing API key"})
        assert [Client(url).get(path) for path in ("/models/status", "/jobs", "/")] == [refused] * 3
        assert Client(url, Authorization="Bearer three").post("/inference/sam3", SAM3) == refused
        assert Client(url).get("/health")[0] == 200
        for headers in ({"Authorization": "Bearer two"}, {"X-API-Key": "one"}):
            assert Client(url, **headers).get("/models/status")[0] == 200


def preflight(url: str, origin: str) -> requests.Response:
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-api-key"}
    return requests.options(f"{url}/inference/sam3", headers={"Origin": origin, **asks}, timeout=10)


def test_every_origin_may_ask(client: Client) -> None:
    found = preflight(client.url, "https://page.example")
    assert found.status_code == 200
    assert found.headers["Access-Control-Allow-Origin"] in ("*", "https://page.example")
    assert "POST" in found.headers["Access-Control-Allow-Methods"]
    assert {"content-type", "x-api-key"} <= set(found.headers["Access-Control-Allow-Headers"].split(","))
    answered = requests.get(f"{client.url}/health", headers={"Origin": "https://page.example"}, timeout=10)
    assert answered.headers["Access-Control-Allow-Origin"] in ("*", "https://page.example")
    assert answered.headers["Access-Control-Allow-Credentials"] == "true"


def test_origins_can_be_restricted(jobs_db: Path) -> None:
    with serving(jobs_db, cors_origins=("https://yourdomain.com",)) as url:
        assert preflight(url, "https://yourdomain.com").status_code == 200
        assert preflight(url, "https://page.example").status_code == 400


def test_it_describes_itself(client: Client) -> None:
    _, document = client.get("/openapi.json")
    assert (document["info"]["title"], document["info"]["version"]) == ("Vision Models API", "0.1.0")
    operations = [each for item in document["paths"].values() for each in item.values()]
    assert len(operations) == 14
    assert not any("422" in each["responses"] for each in operations)
    assert {"200", "400", "401", "413", "503"} <= set(document["paths"]["/inference/dinov3"]["post"]["responses"])
    for page in ("/docs", "/redoc"):
        assert requests.get(client.url + page, timeout=10).headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("output_format", ["rle", "dense", "polygons"])
def test_segmentation_answers_fit_their_description(client: Client, output_format: str) -> None:
    refuse_difference(client, "/inference/sam3", SAM3 | {"output_format": output_format})


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/inference/grounding-dino", SAM3),
        ("/inference/depth-anything", DEPTH | {"images": [PICTURE] * 2}),
        ("/inference/dinov3", {"images": [PICTURE]}),
        ("/jobs/submit/{model_type}", SAM3),
        ("/models/load", {"model_type": "sam3"}),
    ],
)
def test_answers_fit_their_description(client: Client, path: str, body: Any) -> None:
    refuse_difference(client, path, body)


def refuse_difference(client: Client, path: str, body: Any) -> None:
    """Fail unless the answer has exactly the fields, of the types, that the API's own schema names."""
    described = {each.path: each.response for each in (*OPERATIONS, *jobs.OPERATIONS, *models.OPERATIONS)}
    answered = client.answer(path.format(model_type="sam3"), body)
    assert described[path].model_validate(answered).model_dump(exclude_unset=True, mode="json") == answered


def test_the_banner_is_the_originals(client: Client) -> None:
    assert client.get("/") == (200, {"message": "Vision Models API", "version": "0.1.0", "docs": "/docs"})
