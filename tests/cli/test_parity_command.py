"""parity: what two devices, or two precisions, make of the same pictures."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from tests import small_pictures
from tests.models import checkpoints, hailo_programmes
from visioncli.cli import app
from visioncli.parity import Seen, compare

TINY = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 4}
EXACT = ("--device", "cpu:float32")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.clip(tmp_path_factory.mktemp("tiny-clip"), **TINY)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return small_pictures.folder(tmp_path / "in", range(12))


def parity(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["parity", *map(str, arguments), "--offline"])


def test_a_hef_is_held_against_the_cpu(clip: Path, folder: Path, tmp_path: Path, monkeypatch) -> None:
    hef, summary = hailo_programmes.hef(tmp_path, clip), tmp_path / "parity.json"
    with hailo_programmes.plugged_in(monkeypatch):
        done = parity(folder, "--model", clip, *EXACT, "--device", "hailo", "--hef", hef, "--summary", summary)
    assert done.exit_code == 0, done.output
    found = json.loads(summary.read_text())
    assert (found["rows"], found["compared"], found["flips"]) == (12, 12, 0)
    assert found["deviation"] < 1e-6
    assert found["images_per_s"].keys() == {"cpu:float32", "hailo"}
    assert "12 of 12 rows compared; cosine min 1.000000, median 1.000000, max 1.000000" in done.stdout


def test_two_devices_are_held_one_after_the_other(clip: Path, folder: Path, tmp_path: Path, monkeypatch) -> None:
    hef, two = hailo_programmes.hef(tmp_path, clip), "0000:01:00.0=HAILO10H,0000:02:00.0=HAILO10H"
    sides = ("--device", "hailo:0", "--device", "hailo:1")
    with hailo_programmes.plugged_in(monkeypatch, DEVICES=two, LOG=str(tmp_path / "log")):
        done = parity(folder, "--model", clip, *sides, "--hef", hef, "--labels", "cat,dog", "--tolerance", "0")
    assert done.exit_code == 0, done.output
    assert "largest deviation 0.00e+00" in done.stdout
    opened = [one["device"] for one in hailo_programmes.events(tmp_path / "log") if one["event"] == "open"]
    assert opened == ["0000:01:00.0", "0000:02:00.0"]


def test_a_device_that_goes_is_one_sentence_that_promises_nothing(
    clip: Path, folder: Path, tmp_path, monkeypatch
) -> None:
    hef = hailo_programmes.hef(tmp_path, clip)
    with hailo_programmes.plugged_in(monkeypatch, VANISH="3"):
        done = parity(folder, "--model", clip, *EXACT, "--device", "hailo", "--hef", hef)
    assert (done.exit_code, "answers no more" in done.stderr, "goes on from" in done.stderr) == (1, True, False)


def test_beyond_the_tolerance_it_is_3(clip: Path, folder: Path) -> None:
    both = (*EXACT, "--device", "cpu:bfloat16")
    close, strict = (parity(folder, "--model", clip, *both, "--tolerance", t) for t in ("0.01", "1e-7"))
    assert (close.exit_code, strict.exit_code) == (0, 3), close.output
    deviation = re.search(r"largest deviation ([\d.e-]+) at \d{5}\.jpg, beyond the tolerance of 1e-07", strict.stdout)
    assert deviation is not None and 1e-6 < float(deviation[1]) < 0.01


def test_a_row_that_fails_is_reported_and_3(clip: Path, folder: Path) -> None:
    (folder / "broken.jpg").write_bytes(b"")
    done = parity(folder, "--model", clip, *EXACT, "--device", "cpu:bfloat16", "--labels", "cat,dog")
    assert done.exit_code == 3
    assert done.stdout.count("1 failed with empty_file") == 2
    assert re.search(r"^\d+ of 12 labels changed", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "--device is needed twice, and not the same"),
        (EXACT, "--device is needed twice, and not the same"),
        ((*EXACT, *EXACT), "--device is needed twice, and not the same"),
        ((*EXACT, "--device", "tpu"), "unknown device 'tpu'"),
        ((*EXACT, "--device", "hailo"), "--device hailo needs --hef FILE.hef"),
        ((*EXACT, "--device", "cpu", "--hef", "x.hef"), "--hef needs --device hailo"),
        ((*EXACT, "--device", "cpu", "--text-hef", "x.hef"), "--text-hef needs --device hailo with --hef"),
        ((*EXACT, "--device", "hailo", "--hef", "x", "--text-hef", "y"), "--text-hef is for texts, and there are none"),
    ],
)
def test_what_cannot_be_compared_is_a_usage_error(folder: Path, arguments: tuple[str, ...], sentence: str) -> None:
    done = parity(folder, "--model", "demo", *arguments)
    assert (done.exit_code, sentence in done.stderr) == (2, True), done.output


def test_it_counts_a_neighbour_that_changed_but_not_one_of_two_that_are_equally_near() -> None:
    first = np.array([[1, 0], [0.8, 0.6], [0, 1], [0, 1]], np.float32)
    second = np.array([[1, 0], [0.6, 0.8], [0, 1], [0, 1]], np.float32)
    seen = [Seen(name, vectors, {}, 1.0, {}) for name, vectors in (("a", first), ("b", second))]
    found = compare(["w", "x", "y", "z"], *seen)
    assert (found.flips, found.flipped, found.worst) == (1, ["x"], "x")  # y and z are each other's nearest in both
    assert found.cosine_min == pytest.approx(0.96)
    assert found.cosine_max == found.cosine_median == 1


def test_equal_vectors_are_nothing_apart_though_float32_makes_none_of_length_one() -> None:
    drawn = np.random.default_rng(1).normal(size=(1000, 512)).astype(np.float32)
    vectors = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    found = compare([str(n) for n in range(1000)], *(Seen(name, vectors, {}, 1.0, {}) for name in "ab"))
    assert (found.deviation, found.cosine_min, found.cosine_max) == (0.0, 1.0, 1.0)


def test_it_counts_labels_that_changed_among_rows_that_both_answered() -> None:
    same = np.eye(3, dtype=np.float32)
    seen = [
        Seen("a", same, {0: "decode_corrupt"}, 1.0, {}, ("", "cat", "dog")),
        Seen("b", same, {}, 2.0, {}, ("cat", "cat", "cat")),
    ]
    found = compare(["x", "y", "z"], *seen)
    assert (found.compared, found.top_1, found.flips, found.flipped) == (2, "labels", 1, ["z"])
    assert found.failed == {"a": {"decode_corrupt": 1}, "b": {}}
