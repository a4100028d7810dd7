"""What the Vision Models API refuses, and in which words."""

from __future__ import annotations

import shutil
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests import misbehaving
from tests.server.dialects.serving import ROOT
from tests.server.dialects.vision_serving import DEPTH, PICTURE, SAM3, Client, serving, text
from tests.server.looping import in_loop
from visioncli.errors import UsageError
from visioncli.server.dialects.vision_models import schemas
from visioncli.server.dialects.vision_models.inference import planned


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
        ("/inference/sam3", SAM3 | {"prompts": [["a"], ["b"]]}, "2 lists of prompts for 1 image"),
        ("/inference/sam3", SAM3 | {"prompts": [" "]}, "a prompt is empty"),
        ("/inference/sam3", SAM3 | {"resolve_overlaps": [1, 2]}, "resolve_overlaps has 2 priors for 1 prompt"),
        ("/inference/sam3", SAM3 | {"resolve_overlaps": [-1]}, "resolve_overlaps.bool: Input should be a valid"),
        ("/inference/sam3", SAM3 | {"output_format": "png"}, "output_format: Input should be 'rle', 'dense' or"),
        ("/inference/sam3", [], "body: Input should be a valid dictionary"),
        ("/inference/sam3", SAM3 | {"images": ["/etc/passwd"]}, "Failed to decode image: "),
        ("/inference/sam3", SAM3 | {"images": ["file:///etc/passwd"]}, "Failed to decode image: "),
        ("/inference/sam3", SAM3 | {"images": [text(b"GIF89a")]}, "Failed to decode image: "),
        ("/inference/sam3", SAM3 | {"images": [text(b"no picture")]}, "Failed to decode image: no known picture"),
        (
            "/inference/sam3",
            SAM3 | {"images": ["http://169.254.169.254/x"]},
            "Failed to decode image: 169.254.169.254 does not",
        ),
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


BAD = [0] * 100_000
HOSTILE = [  # what there is too much of, or wrong in a hundred thousand places -> how the only sentence begins
    ({"images": BAD}, "images.0.str: Input should be a valid string; images.0.ImageInput: "),
    ({"images": ["x"] * 257}, "images: List should have at most 256 items"),
    ({"prompts": BAD}, "prompts.list[str].0: Input should be a valid string; prompts.list[list[str]].0: "),
    (
        {"prompts": [BAD[:50_000]] * 2},
        "prompts.list[str].0: Input should be a valid string; prompts.list[list[str]].0.0: ",
    ),
    ({"prompts": ["x"] * 4097}, "prompts.list[str]: List should have at most 4096 items"),
    ({"images": ["x"] * 2, "prompts": [["x"] * 4096, ["x"]]}, "4097 prompts in all lists together are more than"),
    ({"images": ["x"] * 65, "prompts": ["x"] * 4096}, "266240 prompts of all images together are more than"),
    ({"resolve_overlaps": ["x"] * 100_000}, "resolve_overlaps.bool: Input should be a valid boolean; resolve_over"),
    ({"model_id": "x" * 500_000}, "model_id: String should have at most 200 characters"),
]


@pytest.mark.parametrize(("wrong", "detail"), HOSTILE)
@pytest.mark.parametrize("path", ["/inference/sam3", "/jobs/submit/sam3"])
def test_a_thousand_faults_are_told_as_shortly_as_one(client: Client, path: str, wrong: Any, detail: str) -> None:
    status, found = client.post(path, {"images": ["x"], "prompts": ["x"]} | wrong)
    assert (status, found["detail"][: len(detail)]) == (400, detail)
    assert len(found["detail"]) < 500


@in_loop
async def test_prompts_have_so_many_characters_at_most_in_all_lists_together() -> None:
    long = "x" * 2**19
    asked = schemas.Sam3Request(images=["a", "b"], prompts=[[long], [long, "y"]])
    with pytest.raises(UsageError, match=r"^1048577 characters of prompts are more than the 1048576 that"):
        await planned("sam3", asked)


def test_a_422_does_not_send_back_what_is_long(jobs_db: Path) -> None:
    with serving(jobs_db, fidelity="original") as url:
        found = [Client(url).post("/inference/sam3", {"images": ["x"], "prompts": given}) for given in (BAD, [0])]
    assert [(status, len(str(body)) < 1000) for status, body in found] == [(422, True)] * 2
    assert found[1][1]["detail"][0] == {
        "type": "string_type",
        "loc": ["body", "prompts", "list[str]", 0],
        "msg": "Input should be a valid string",
        "input": 0,
    }


def test_many_prompts_are_answered_each_in_its_place(client: Client) -> None:
    prompts = [f"{name} {number}" for number in range(20) for name in ("truck", "TRUCK", "cat")]
    (found,) = client.answer("/inference/sam3", SAM3 | {"prompts": prompts, "threshold": 0.9})["results"]
    assert [(each["prompt_index"], each["prompt"]) for each in found] == list(enumerate(prompts))
    results = [each["result"] for each in found]
    assert results[1::3] == results[0::3]  # upper and lower case are the same, and asked once


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
        words = "there is no model nobody/nothing here, and none that can be fetched"
        assert (status, found) == (404, {"detail": words})
    assert client.post("/inference/sam3", SAM3)[0] == 200  # what was loaded is still there


def test_a_model_of_another_kind_is_a_400(client: Client) -> None:
    status, found = client.post("/models/load", {"model_type": "sam3", "model_id": "demo/dinov3"})
    assert (status, found) == (400, {"detail": "demo/dinov3 can embed, not segment"})


def test_a_request_names_no_directory_of_this_machine(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even one that is called as a model may be, where the server runs."""
    shutil.copytree(ROOT / "visioncli/models/demo/sam3", tmp_path / "org/name")
    monkeypatch.chdir(tmp_path)
    status, found = client.post("/models/load", {"model_type": "sam3", "model_id": "org/name"})
    assert (status, found) == (404, {"detail": "there is no model org/name here, and none that can be fetched"})
    assert client.get("/models/status")[1]["models"]["sam3"]["model_id"] == "demo"


@pytest.mark.parametrize("path", ["/inference/sam3", "/models/load"])
def test_a_folder_of_the_servers_own_is_named_by_its_last_part(jobs_db: Path, tmp_path: Path, path: str) -> None:
    with serving(jobs_db, model=str(tmp_path / "empty")) as url:
        status, found = Client(url).post(path, SAM3 | {"model_type": "sam3"})
        told = Client(url).get("/models/status")[1]["models"]["sam3"]["model_id"]
    words = "there is no model empty here, and none that can be fetched"
    assert (status, found, told) == (404, {"detail": words}, "empty")


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
