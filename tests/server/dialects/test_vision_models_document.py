"""The document's own requests against this server: hosts, file names and image URLs changed, nothing else."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from tests import misbehaving
from tests.server.dialects.serving import ROOT
from tests.server.dialects.vision_serving import SCENES, scene, serving, text
from tests.server.transcripts import reading
from tests.server.transcripts import vision_models as document


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("jobs") / "jobs.sqlite") as url:
        yield url


@pytest.fixture
def run(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a Python example where it would be run: beside its pictures."""
    for number, name in enumerate(["image.jpg", "img1.jpg", "img2.jpg", "img3.jpg"], 1):
        shutil.copy(SCENES / f"{number:02d}.jpg", tmp_path / name)
    monkeypatch.chdir(tmp_path)

    def run(name: str, **new: str) -> dict[str, Any]:
        code = reading.replaced(document.SETUP + document.PYTHON[name], {document.HOST: server, **new})
        names: dict[str, Any] = {}
        exec(compile(code, name, "exec"), names)
        return names

    return run


def test_health(server: str) -> None:
    assert reading.parsed(document.CURL["load"].replace(document.HOST, server)).send()["message"]
    found = reading.parsed(document.CURL["health"].replace(document.HOST, server)).send()
    assert reading.alike(document.HEALTH, found)
    assert found["status"] == "healthy" and "sam3" in found["loaded_models"]


def test_a_model_is_loaded_on_the_device_that_there_is(server: str) -> None:
    found = reading.parsed(document.CURL["load"].replace(document.HOST, server)).send()
    assert found["message"] == "Model sam3 loaded successfully"
    info = {"model_type": "sam3", "model_id": "sam3", "device": "cpu", "loaded": True, "memory_mb": 5.8}
    assert reading.alike(info, found["model_info"])
    assert found["model_info"]["device"] == "cpu"
    assert found["warning"].endswith("; cpu is used")


def test_segmentation_of_base64(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    result = run("segment")["result"]
    shown = ["scores", "iou_scores", "boxes", "masks"]
    assert list(result) == ["results", "model_id", "processing_time"]
    for index, prompt in enumerate(["person", "car"]):
        each = result["results"][0][index]
        assert (each["prompt_index"], each["prompt"], list(each["result"])) == (index, prompt, shown)
    assert capsys.readouterr().out.endswith("Results: 2 detections\n")


def test_segmentation_of_a_url(run: Any) -> None:
    with misbehaving.serve({"image.jpg": scene(1)}) as pictures:
        response = run("segment_url", **{document.PICTURE_URL: pictures.url("/ok/image.jpg").decode()})["response"]
    assert response.status_code == 200
    (of_prompt,) = response.json()["results"][0]
    assert list(of_prompt["result"]) == ["scores", "iou_scores", "boxes", "masks_polygon"]


def test_detection(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    result = run("detect")["result"]
    assert list(result) == ["results", "model_id", "processing_time"]
    assert list(result["results"][0]) == ["scores", "boxes", "text_labels", "labels"]
    assert len(capsys.readouterr().out.splitlines()) == len(result["results"][0]["boxes"])


def test_depth(run: Any, tmp_path: Path) -> None:
    names = run("depth")
    shown = ["depth_data", "format", "model_id", "processing_time", "metadata", "export_data", "export_format"]
    assert list(names["result"]) == shown
    assert names["result"]["metadata"]["shape"] == [1, *names["depth_image"].size[::-1]]
    with Image.open(tmp_path / "depth_output.png") as saved:
        assert saved.size == names["depth_image"].size


def test_features(run: Any) -> None:
    names = run("features")
    assert names["features"].shape[0] == 1 and names["features"].ndim == 3
    assert names["pooled"].shape == names["features"].shape[::2]
    assert names["result"]["features"]["last_hidden_state_shape"] == list(names["features"].shape)


def test_several_images(run: Any) -> None:
    result = run("batch")["result"]
    assert [[each["prompt"] for each in of_image] for of_image in result["results"]] == [["object"]] * 3


def test_a_job(run: Any, server: str, capsys: pytest.CaptureFixture[str]) -> None:
    names = run("job")
    assert reading.alike(
        {"job_id": "", "status": "", "created_at": "", "completed_at": None, "result": None, "error": None},
        names["job"],
    )
    assert (names["job"]["status"], names["status"]["status"]) == ("pending", "completed")
    assert [each["prompt"] for each in names["status"]["result"]["results"][0]] == ["person", "car"]
    assert "Result: " in capsys.readouterr().out


def test_a_smaller_model_is_loaded_and_unloaded(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bundled one stands for the hub's, where the hub's library would have put it."""
    repository = tmp_path / "hub/models--IDEA-Research--grounding-dino-tiny"
    shutil.copytree(ROOT / "visioncli/models/demo/grounding_dino", repository / "snapshots" / ("a" * 40))
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text("a" * 40)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    names = run("manage")
    told = ast.literal_eval(capsys.readouterr().out)["models"]["grounding_dino"]
    assert (told["model_id"], told["loaded"]) == ("IDEA-Research/grounding-dino-tiny", True)
    url = names["response"].url
    assert requests.get(url, timeout=10).json()["models"]["grounding_dino"]["loaded"] is False


def test_an_error_is_the_documents(tmp_path: Path) -> None:
    with serving(tmp_path / "jobs.sqlite", auto_load=False) as url:
        body = {"images": [text(scene(1))], "prompts": ["x"]}
        response = requests.post(f"{url}/inference/sam3", json=body, timeout=10)
    assert (response.status_code, response.json()) == (500, document.NOT_LOADED)
