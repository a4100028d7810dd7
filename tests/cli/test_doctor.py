from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from tests.loopback_hub import live_here, loopback_hub
from tests.models import checkpoints, hailo_programmes
from visioncli.cli.doctor import as_text, doctor
from visioncli.cli.findings import Finding
from visioncli.models.hailo.errors import NOT_INSTALLED

app = typer.Typer()
app.command()(doctor)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live_here(monkeypatch, tmp_path)


def report(*arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["--json", *arguments])
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def test_doctor_reports_this_machine(tmp_path: Path) -> None:
    found = report()
    assert found["machine"]["python"].startswith(platform.python_version())
    assert found["machine"]["cores"] == os.cpu_count()
    assert found["hub"] == {
        "endpoint": "http://127.0.0.1:9",
        "offline": None,
        "HF_TOKEN": None,
        "cache": f"{tmp_path}/hf/hub",
    }
    assert found["free"]["disk of this folder"] > 0


def test_doctor_gives_the_automatic_choices_with_their_reasons() -> None:
    from visioncli.models.runtime import choose

    chosen = choose()
    assert report()["automatic choices"] == {
        "device": f"{chosen.device.value}: {chosen.device.reason}",
        "dtype": f"{chosen.dtype.value}: {chosen.dtype.reason}",
        "batch size": f"{chosen.batch_size.value}: {chosen.batch_size.reason}",
    }


def test_every_format_of_the_decoder_is_in_the_report() -> None:
    from visioncli.io.decode import PLUGINS

    assert set(report()["codecs"]) == set(PLUGINS)


def test_a_lack_comes_with_its_consequence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.features.check", lambda library: library != "avif")  # a Pillow built without AVIF
    found = report()
    assert found["codecs"]["AVIF"] is None
    said = "AVIF files fail with decode_unsupported_format: this Pillow was built without avif"
    assert {"section": "codecs", "name": "AVIF", "value": None, "lack": said} in found["lacks"]


def test_a_token_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    result = CliRunner().invoke(app, ["--json"])
    assert "hf_secret" not in result.output
    assert json.loads(result.stdout)["hub"]["HF_TOKEN"] == "set"


def test_doctor_opens_no_connection_on_its_own() -> None:
    program = (
        "import sys; seen = []\n"
        "sys.addaudithook(lambda event, args: seen.append(event) if event in "
        "('socket.connect', 'socket.getaddrinfo') else None)\n"
        "from visioncli.cli.doctor import doctor\n"
        "doctor(as_json=True); print(seen)"
    )
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    said = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert said.stdout.splitlines()[-1] == "[]"


def test_online_asks_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    with loopback_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        assert report("--online")["hub"]["reachable"] == "yes"
        assert hub.requests == ["HEAD /"]


def test_online_says_why_the_hub_was_not_reached() -> None:
    found = report("--online")
    assert found["hub"]["reachable"] is None
    lacks = {one["name"]: one["lack"] for one in found["lacks"]}
    assert lacks["reachable"].endswith(
        "Connection refused; only demo, local directories and what is cached can be used as --model"
    )


def test_without_hailos_library_it_says_what_it_would_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hailo_platform", None)
    found = report()
    assert found["hailo"] == {"HailoRT": None}
    assert [one["lack"] for one in found["lacks"] if one["section"] == "hailo"] == [NOT_INSTALLED]


def test_hailo_devices_come_with_chip_and_firmware(monkeypatch: pytest.MonkeyPatch) -> None:
    with hailo_programmes.plugged_in(monkeypatch, DEVICES="0000:01:00.0=HAILO10H,0000:02:00.0=HAILO8"):
        found = report()
    assert found["hailo"] == {
        "HailoRT": "5.2.0",
        "hailo:0": "HAILO10H at 0000:01:00.0, firmware 5.2.0, serial number HLDDLBB000000001",
        "hailo:1": "HAILO8 at 0000:02:00.0, firmware 5.2.0, serial number HLDDLBB000000001",
    }


@pytest.mark.parametrize("knobs", [{"FAULT": "driver"}, {"FAULT": "no_driver"}, {"DEVICES": ""}])
def test_no_hailo_device_is_no_reason_to_stop(monkeypatch: pytest.MonkeyPatch, knobs: dict[str, str]) -> None:
    with hailo_programmes.plugged_in(monkeypatch, **knobs):
        assert report()["hailo"] == {"HailoRT": "5.2.0", "devices": None}


@pytest.mark.parametrize(("chip", "code"), [("HAILO10H", 0), ("HAILO8", 1)])
def test_a_hef_is_tried_on_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chip: str, code: int) -> None:
    small = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 1}
    hef = hailo_programmes.hef(tmp_path, checkpoints.clip(tmp_path / "clip", **small))
    with hailo_programmes.plugged_in(monkeypatch, DEVICES=f"0000:01:00.0={chip}"):
        result = CliRunner().invoke(app, ["--json", "--hef", hef])
    found = json.loads(result.stdout)
    assert result.exit_code == code
    assert found["hef"] == {
        "file": hef,
        "input": "image/input_layer1 224x224x3",
        "output": "image/output_layer1 1x1x512",
        "fits": None if code else "yes, HAILO10H at 0000:01:00.0, firmware 5.2.0",
    }


def test_each_device_is_tried_and_one_that_takes_the_hef_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 1}
    hef = hailo_programmes.hef(tmp_path, checkpoints.clip(tmp_path / "clip", **small))
    with hailo_programmes.plugged_in(monkeypatch, DEVICES="0000:01:00.0=HAILO8,0000:02:00.0=HAILO10H"):
        result = CliRunner().invoke(app, ["--json", "--hef", hef])
    found = json.loads(result.stdout)["hef"]
    assert result.exit_code == 0
    assert found["fits hailo:0"].startswith("no, image-HAILO10H.hef was compiled for another chip than HAILO8 at")
    assert found["fits hailo:1"] == "yes, HAILO10H at 0000:02:00.0, firmware 5.2.0"


def test_a_hef_that_cannot_be_read_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 1}
    hef = hailo_programmes.hef(tmp_path, checkpoints.clip(tmp_path / "clip", **small))
    with hailo_programmes.plugged_in(monkeypatch, FAULT="streams"):
        result = CliRunner().invoke(app, ["--json", "--hef", hef])
    assert (result.exit_code, json.loads(result.stdout)["hef"]) == (1, {"file": None})


def test_text_has_a_heading_a_section_and_says_no() -> None:
    findings = [
        Finding("machine", "memory", 25_300_000_000),
        Finding("codecs", "GIF", "yes"),
        Finding("codecs", "HEIC", None, "HEIC files fail"),
    ]
    assert as_text(findings) == [
        "machine",
        "  memory  25.3 GB",
        "codecs",
        "  GIF     yes",
        "  HEIC    no; HEIC files fail",
    ]
