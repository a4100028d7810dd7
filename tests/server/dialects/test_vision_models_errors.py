"""What the Vision Models API refuses, and in which words."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests import misbehaving
from tests.server.dialects.vision_serving import DEPTH, PICTURE, SAM3, Client, serving, text


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with serving(tmp_path_factory.mktemp("jobs") / "jobs.sqlite", max_body_bytes=10**6) as url:
        yield Client(url)


@pytest.fixture
def jobs_db(tmp_path: Path) -> Path:
    return tmp_path / "jobs.sqlite"


@pytest.mark.parametrize(
    ("path", "body", "detail"),
    [
        ("/inference/sam3", SAM3 | {"threshold": 1.5}, "threshold: Input should be less than or equal to 1"),
        ("/inference/sam3", SAM3 | {"threshold": "much"}, "threshold: Input should be a valid number"),
        ("/inference/sam3", {"images": [PICTURE]}, "prompts: Field required"),
        ("/inference/sam3", SAM3 | {"images": []}, "images: List should have at least 1 item"),
        ("/inference/sam3", SAM3 | {"prompts": [["a"], ["b"]]}, "there are 2 lists of prompts for 1 images"),
        ("/inference/sam3", SAM3 | {"prompts": [" "]}, "a prompt is empty"),
        ("/inference/sam3", SAM3 | {"resolve_overlaps": [1, 2]}, "resolve_overlaps has 2 priors for 1 prompts"),
        ("/inference/sam3", SAM3 | {"resolve_overlaps": [-1]}, "resolve_overlaps.bool: Input should be a valid"),
        ("/inference/sam3", SAM3 | {"output_format": "png"}, "output_format: Input should be 'rle', 'dense' or"),
        ("/inference/sam3", [], "body: Input should be a valid dictionary"),
        ("/inference/sam3", SAM3 | {"images": ["/etc/passwd"]}, "Failed to decode image: "),
        ("/inference/sam3", SAM3 | {"images": ["file:///etc/passwd"]}, "Failed to decode image: "),
        ("/inference/sam3", SAM3 | {"images": [text(b"GIF89a")]}, "Failed to decode image: "),
        ("/inference/sam3", SAM3 | {"images": [text(b"no picture")]}, "Failed to decode image: no known picture"),
        ("/inference/sam3", SAM3 | {"images": ["http://169.254.169.254/x"]}, "Failed to decode image: 169.254."),
        ("/inference/sam3", SAM3 | {"model_id": "../etc"}, "model_id '../etc' is neither a hub id"),
        ("/inference/grounding-dino", SAM3 | {"box_threshold": -1}, "box_threshold: Input should be greater than"),
        ("/inference/depth-anything", DEPTH | {"export_format": "gs_ply"}, "export_format gs_ply needs a model with"),
        ("/inference/depth-anything", DEPTH | {"export_format": "gs_video"}, "export_format gs_video needs a model"),
        ("/inference/dinov3", {"images": [3]}, "images.0.str: Input should be a valid string"),
        ("/models/load", {"model_type": "yolo"}, "model_type: Input should be 'sam3', 'grounding_dino',"),
        ("/models/load", {"model_type": "sam3", "device": "toaster"}, "unknown device 'toaster'"),
        ("/models/unload", {"model_type": "yolo"}, "model_type: Input should be"),
        ("/jobs/submit/yolo", SAM3, "Invalid model type: yolo"),
        ("/jobs/submit/sam3", SAM3 | {"threshold": 2}, "threshold: Input should be less than or equal to 1"),
        ("/jobs/submit/depth-anything", DEPTH | {"export_format": "gs_ply"}, "export_format gs_ply needs"),
    ],
)
def test_a_wrong_request_is_a_400_with_one_sentence(client: Client, path: str, body: Any, detail: str) -> None:
    status, found = client.post(path, body)
    assert (status, list(found)) == (400, ["detail"])
    assert found["detail"].startswith(detail)


@pytest.mark.parametrize("body", [b"{", b"\xff", b'{"images": NaN}', b""])
def test_a_body_that_is_no_json_is_a_400(client: Client, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    response = requests.post(f"{client.url}/inference/sam3", data=body, headers=headers, timeout=10)
    assert response.status_code == 400 and isinstance(response.json()["detail"], str)


def test_an_image_that_is_not_there_is_a_400(client: Client) -> None:
    with misbehaving.serve({}) as pictures:
        image = {"data": pictures.url("/ok/none.jpg").decode(), "format": "url"}
        status, found = client.post("/inference/sam3", SAM3 | {"images": [image]})
    assert (status, found["detail"]) == (400, "Failed to decode image: the server answered 404 Whatever")


def test_a_body_that_is_too_large_is_a_413(client: Client) -> None:
    status, found = client.post("/inference/sam3", SAM3 | {"images": ["A" * 10**6]})
    assert (status, found) == (413, {"detail": "the body has more than the 1000000 bytes allowed"})


def test_a_model_that_is_not_to_be_found_is_a_404(client: Client) -> None:
    for path, body in (("/models/load", {"model_type": "sam3"}), ("/inference/sam3", SAM3)):
        status, found = client.post(path, body | {"model_id": "nobody/nothing"})
        assert (status, found["detail"][:37]) == (404, "nobody/nothing is not in the cache (/")
    assert client.post("/inference/sam3", SAM3)[0] == 200  # what was loaded is still there


def test_a_model_of_another_kind_is_a_500(client: Client) -> None:
    status, found = client.post("/models/load", {"model_type": "sam3", "model_id": "demo/dinov3"})
    assert (status, found) == (500, {"detail": "demo/dinov3 can embed, not segment"})


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("PUT", "/jobs", 405)])
def test_what_is_not_there_is_told_as_fastapi_does(client: Client, method: str, path: str, status: int) -> None:
    assert client.ask(method, path) == (status, {"detail": {404: "Not Found", 405: "Method Not Allowed"}[status]})


def test_a_full_queue_is_a_503_with_a_time_to_come_back(jobs_db: Path) -> None:
    with serving(jobs_db, max_queue=0) as url:
        response = requests.post(f"{url}/inference/sam3", json=SAM3, timeout=10)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert list(response.json()) == ["detail"]


def test_in_the_original_fidelity_a_wrong_request_is_a_422(jobs_db: Path) -> None:
    with serving(jobs_db, fidelity="original") as url:
        status, found = Client(url).post("/inference/sam3", SAM3 | {"threshold": 2})
        assert "422" in Client(url).get("/openapi.json")[1]["paths"]["/inference/sam3"]["post"]["responses"]
    assert (status, found["detail"][0]["loc"]) == (422, ["body", "threshold"])


def test_a_client_that_leaves_is_no_error(client: Client) -> None:
    address = urlsplit(client.url)
    with socket.create_connection((str(address.hostname), int(address.port or 0))) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset, not a polite end
        raw.sendall(b"POST /inference/sam3 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
    assert client.get("/health")[0] == 200
