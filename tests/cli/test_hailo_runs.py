"""`--device hailo` as a person runs it: real processes, with the double of HailoRT on their path."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests import small_pictures
from tests.cli.test_serve import said_until
from tests.models import checkpoints, hailo_programmes
from visioncli import load
from visioncli.cli import app
from visioncli.samples import Facts, ImageRef, Sample
from visioncli.tasks.embed import EmbedOptions

HERE = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
WITH_DOUBLE = HERE | {"PYTHONPATH": str(hailo_programmes.DOUBLE)}
TINY = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 4}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.clip(tmp_path_factory.mktemp("tiny-clip"), **TINY)


@pytest.fixture(scope="module")
def hef(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return hailo_programmes.hef(tmp_path_factory.mktemp("hefs"), clip)


def visioncli(*arguments: str | Path, env: dict[str, str] = WITH_DOUBLE, **knobs: object) -> tuple[int, str, str]:
    """Exit code, standard output and error."""
    told = {f"HAILO_DOUBLE_{name}": str(value) for name, value in knobs.items()}
    command = [sys.executable, "-m", "visioncli", *map(str, arguments)]
    done = subprocess.run(command, env=env | told, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def vectors_of(model: Path, files: Sequence[Path]) -> np.ndarray:
    """The CPU's, from the library."""
    predictor, options = load("embed", str(model), device="cpu", dtype="float32", offline=True), EmbedOptions()
    pictures = [np.asarray(Image.open(path).convert("RGB")) for path in files]
    inputs = [predictor.preprocess(Sample(ImageRef(0, "0", b""), Facts(), p), options) for p in pictures]
    outputs = [
        row for first in range(0, len(inputs), 8) for row in predictor.forward(inputs[first : first + 8], options)
    ]
    return np.stack([row.embedding for row in predictor.postprocess(outputs, [], options)])


def embedded(path: Path) -> np.ndarray:
    return np.stack(pq.read_table(path)["embedding"].to_pylist())


def test_a_thousand_pictures_keep_their_order_with_four_on_their_way(clip: Path, hef: str, tmp_path: Path) -> None:
    folder, log, out = small_pictures.folder(tmp_path / "in", range(1000)), tmp_path / "log", tmp_path / "out.parquet"
    code, _, said = visioncli("embed", folder, "--model", clip, "--device", "hailo", "--hef", hef, "-o", out, LOG=log)
    assert (code, pq.read_table(out)["id"].to_pylist()) == (0, [f"{n:05d}.jpg" for n in range(1000)]), said
    np.testing.assert_allclose(embedded(out), vectors_of(clip, sorted(folder.iterdir())), rtol=0, atol=1e-4)
    opened, _, _, released = hailo_programmes.events(log)
    assert opened == {"event": "open", "device": "0000:01:00.0", "group": "SHARED", "scheduler": "ROUND_ROBIN"}
    assert released == {"event": "release", "frames": 1000, "most_in_flight": 4}


def test_a_picture_that_the_device_fails_on_is_one_row(clip: Path, hef: str, tmp_path: Path) -> None:
    folder = small_pictures.folder(tmp_path / "in", range(20))
    Image.new("RGB", (40, 40), (7, 8, 9)).save(folder / "00007.png")
    asked = ("classify", folder, "--labels", "cat,dog", "--model", clip, "--device", "hailo", "--hef", hef, "-o", "-")
    code, out, said = visioncli(*asked, POISON="7,8,9")
    rows = [json.loads(line) for line in out.splitlines()]
    assert (code, len(rows)) == (3, 21), said
    assert [(row["id"], row["error_code"]) for row in rows if row["status"] == "error"] == [
        ("00007.png", "device_failed")
    ]


def test_a_device_that_goes_ends_the_run_and_the_same_command_goes_on(
    clip: Path, hef: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = small_pictures.folder(tmp_path / "in", range(60)), tmp_path / "out.parquet"
    asked = ["embed", folder, "--model", clip, "--device", "hailo", "--batch-size", "8", "-o", out]
    code, _, said = visioncli(*asked, "--hef", hef, VANISH=40)
    assert (code, "answers no more" in said, "finished parts are kept, the same command goes on from here" in said) == (
        1,
        True,
        True,
    ), said
    other = Path(hailo_programmes.hef(tmp_path, clip, architecture="HAILO10H"))
    other.write_text(other.read_text() + "\n")
    with hailo_programmes.plugged_in(monkeypatch):
        code, said = here(*asked, "--hef", other)
    assert (code, "--hef was" in said, "say --no-resume" in said) == (2, True, True), said
    code, _, said = visioncli(*asked, "--hef", hef)
    assert (code, bool(re.search(r"60 rows, ([1-9]|[123][0-9]) of them done before, 60 ok", said))) == (0, True), said
    np.testing.assert_allclose(embedded(out), vectors_of(clip, sorted(folder.iterdir())), rtol=0, atol=1e-4)


def test_a_stream_has_nothing_to_go_on_from(clip: Path, hef: str, tmp_path: Path) -> None:
    folder = small_pictures.folder(tmp_path / "in", range(8))
    asked = ("embed", folder, "-m", clip, "--device", "hailo", "--hef", hef, "--batch-size", "4", "-o", "-")
    code, _, said = visioncli(*asked, VANISH=6)
    assert (code, "answers no more" in said, "goes on from" in said) == (1, True, False), said


def here(*arguments: str | Path) -> tuple[int, str]:
    """Exit code and standard error of a command in this process."""
    done = CliRunner().invoke(app, list(map(str, arguments)))
    return done.exit_code, done.stderr


def test_without_the_library_the_command_says_where_it_comes_from(
    clip: Path, hef: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "hailo_platform", None)
    picture = small_pictures.folder(tmp_path / "in", range(1))
    code, said = here("embed", picture, "-m", clip, "--device", "hailo", "--hef", hef, "-o", tmp_path / "out.parquet")
    assert (code, said.count("\n")) == (1, 1)
    assert "hailo_platform, which is on no package index: install the wheel of Hailo's Developer Zone" in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("embed . --device hailo -o x.parquet", "--device hailo needs --hef FILE.hef, the model's picture tower"),
        ("embed . --hef x.hef -o x.parquet", "--hef needs --device hailo"),
        ("embed . --device hailo --text-hef x.hef -o x.parquet", "--text-hef needs --device hailo with --hef FILE.hef"),
        ("embed . --device-timeout-ms 9 -o x.parquet", "--device-timeout-ms needs --device hailo with --hef FILE.hef"),
        (
            "embed . --device hailo --hef a.hef --text-hef b.hef -o x.parquet",
            "--text-hef is for texts, and there are none: give --text or --text-col",
        ),
        (
            "embed . --device hailo --hef a.hef --text-embeddings b.json -o x.parquet",
            "--text-embeddings is for texts, and there are none: give --text or --text-col",
        ),
        ("detect . --prompts a --device hailo -o x.parquet", "--device hailo can classify and embed, not detect"),
        ("serve-compat --api hailo-clip --device hailo", "--device hailo needs --hef FILE.hef"),
        ("serve-compat --api hailo-clip --hef x.hef", "--hef needs --device hailo"),
    ],
)
def test_flags_that_lack_one_another_are_usage_errors(arguments: str, sentence: str) -> None:
    code, said = here(*arguments.split())
    assert (code, said.startswith(f"visioncli: {sentence}")) == (2, True), said


def test_texts_that_were_computed_before_refuse_others_before_any_picture_is_read(
    clip: Path, hef: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "broken.jpg").write_bytes(b"")
    texts = {"entries": [{"text": "cat", "embedding": [1.0] + [0.0] * 511}]}
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    asked = ["classify", tmp_path / "in", "-l", "cat,bee", "-m", clip, "--device", "hailo", "--hef", hef, "-o", "-"]
    with hailo_programmes.plugged_in(monkeypatch):
        found = here(*asked, "--text-embeddings", tmp_path / "texts.json")
    assert found == (2, "visioncli: texts.json has no embedding of 'bee'; it has 1 text\n")


def test_a_server_answers_from_the_device_and_lets_go_of_it(clip: Path, hef: str, tmp_path: Path) -> None:
    picture = small_pictures.folder(tmp_path / "in", range(1)) / "00000.jpg"
    config = tmp_path / "hailo-clip.yaml"
    config.write_text(f"clip: {{model: {clip}, hef: {hef}, device: 0, device_timeout_ms: 9000, image_size: 224}}")
    log = tmp_path / "log"
    command = [sys.executable, "-m", "visioncli", "serve-compat", "--config", str(config), "--port", "0"]
    env = WITH_DOUBLE | {"HAILO_DOUBLE_LOG": str(log)}
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as process:
        try:
            said = said_until(process, "ready")
            url = re.search(r"http://127\.0\.0\.1:\d+", "".join(said))
            assert url is not None and any("without effect here: clip.image_size" in line for line in said)
            image = {"image": base64.b64encode(picture.read_bytes()).decode()}
            found = httpx.post(f"{url[0]}/v1/embed/image", json=image, timeout=300).json()
            np.testing.assert_allclose([found["embedding"]], vectors_of(clip, [picture]), rtol=0, atol=1e-4)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()
    assert hailo_programmes.events(log)[-1]["event"] == "release"
