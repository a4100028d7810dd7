"""serve-compat: flags become settings, and one process answers, says what it does, and ends as asked."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from typer.testing import CliRunner

from visioncli.cli import app
from visioncli.cli.options import with_flags
from visioncli.cli.serve import plan
from visioncli.cli.serve_options import ServeFlags
from visioncli.errors import UsageError
from visioncli.io.decode import DecodeOptions
from visioncli.server.config import Binding
from visioncli.server.settings import BODY, HailoOptions, ServeSettings

PATIENCE_S = 300.0  # torch is imported, perhaps beside other work
HERE = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
DEFAULT = ServeSettings()


def planned(*arguments: str, **environ: str) -> tuple[list[Binding], ServeSettings]:
    """What serve-compat would do."""
    plans: list[Any] = []
    probe = typer.Typer()

    @probe.command()
    @with_flags(ServeFlags)
    def keep(ctx: typer.Context, *, flags: ServeFlags) -> None:
        plans.append(plan(ctx, flags))

    result = CliRunner().invoke(probe, arguments, env=environ)
    if isinstance(result.exception, UsageError):
        raise result.exception
    assert plans, result.output
    bound, settings = plans[0]
    return bound, settings


def test_without_further_flags_everything_is_as_the_originals() -> None:
    bound, settings = planned("--api", "hailo-clip")
    assert bound == [Binding(("hailo-clip",), 5000)]
    assert settings == DEFAULT


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("--model demo", {"models": {("hailo-clip", "classify"): "demo", ("hailo-clip", "embed"): "demo"}}),
        ("--model-for embed=x", {"models": {("hailo-clip", "embed"): "x"}}),
        ("--device cpu --dtype float32 --offline", {"device": "cpu", "dtype": "float32", "offline": True}),
        ("--strict-device --fidelity original", {"strict_device": True, "fidelity": "original"}),
        ("--preload", {"preload": True}),
        ("--no-preload --no-auto-load", {"preload": False, "auto_load": False}),
        ("--idle-unload 30m", {"idle_unload_s": 1800}),
        ("--max-batch 4 --max-wait-ms 2.5", {"max_batch": 4, "max_wait_s": 0.0025}),
        ("--max-queue 7 --max-jobs 50", {"max_queue": 7, "max_jobs": 50}),
        ("--request-timeout 2m --grace 5", {"deadline_s": 120, "grace_s": 5}),
        ("--jobs-db jobs.db", {"jobs_db": Path("jobs.db")}),
        ("--api-key a --api-key b,c", {"api_keys": ("a", "b,c")}),
        ("--cors-origin https://a --cors-origin https://b", {"cors_origins": ("https://a", "https://b")}),
        ("--max-pixels 1M", {"decode": replace(DEFAULT.decode, max_pixels=10**6)}),
        ("--upright --alpha white", {"decode": DecodeOptions(alpha="white", exact=True)}),
        ("--max-bytes 1M", {"fetch": replace(DEFAULT.fetch, max_bytes=10**6)}),
        ("--ca-cert x.pem", {"fetch": replace(DEFAULT.fetch, ca_cert="x.pem")}),
        (
            "--allow-host 127.0.0.1:8100 --allow-host Files",
            {"fetch": replace(DEFAULT.fetch, allow_hosts=("127.0.0.1:8100", "files"))},
        ),
    ],
)
def test_each_flag_is_a_setting(arguments: str, expected: dict[str, Any]) -> None:
    assert planned("--api", "hailo-clip", *arguments.split())[1] == replace(DEFAULT, **expected)


NO_KEY = r"^--api-key, VISIONCLI_API_KEY: there is no key in it; without one, leave it away$"


@pytest.mark.parametrize(
    ("arguments", "environ", "file"),
    [
        (("--api-key", ""), {}, ""),
        (("--api-key", " ", "--api-key", ""), {}, ""),
        ((), {"VISIONCLI_API_KEY": ""}, ""),
        ((), {"VISIONCLI_API_KEY": " , "}, ""),
        ((), {}, "api-key:"),
        ((), {}, "api-key: []"),
        ((), {}, 'api-key: ""'),
    ],
)
def test_a_key_that_was_meant_and_is_empty_opens_no_door(
    tmp_path: Path, arguments: tuple[str, ...], environ: dict[str, str], file: str
) -> None:
    (tmp_path / "serve.yaml").write_text(f"api: runpod\n{file}\n")
    with pytest.raises(UsageError, match=NO_KEY):
        planned("--config", f"{tmp_path}/serve.yaml", *arguments, **environ)


def test_a_key_that_is_given_goes_before_an_empty_variable() -> None:
    assert planned("--api", "runpod", "--api-key", "a", VISIONCLI_API_KEY="")[1].api_keys == ("a",)


def test_pictures_larger_than_a_body_may_be_get_a_larger_body() -> None:
    settings = planned("--api", "hailo-clip", "--max-bytes", "100M")[1]
    assert BODY < 100 * 10**6 * 4 // 3 < settings.body_of("hailo-clip") < 135 * 10**6


def test_several_from_the_environment_are_split_at_commas() -> None:
    bound, settings = planned(VISIONCLI_API="hailo-clip:1,runpod:2", VISIONCLI_API_KEY="one, two,three")
    assert [one.port for one in bound] == [1, 2]
    assert settings.api_keys == ("one", "two", "three")


def test_a_flag_goes_before_the_environment_that_before_the_file_and_that_before_the_default(tmp_path: Path) -> None:
    (tmp_path / "serve.yaml").write_text("api: [hailo-clip:6000]\nmax-queue: 3\ngrace: 3s\nmax-batch: 3\nupright: true")
    environ = {"VISIONCLI_MAX_QUEUE": "2", "VISIONCLI_GRACE": "2s", "VISIONCLI_CONFIG": f"{tmp_path}/serve.yaml"}
    bound, settings = planned("--max-queue", "1", **environ)
    assert (settings.max_queue, settings.grace_s, settings.max_batch) == (1, 2, 3)
    assert settings.decode.upright
    assert bound == [Binding(("hailo-clip",), 6000)]


def test_the_documented_hailo_file_starts_that_service(tmp_path: Path) -> None:
    (tmp_path / "hailo-clip.yaml").write_text(
        "server: {host: 0.0.0.0, port: 5005}\nclip: {apply_softmax: true}\nperformance: {max_queue_size: 12}"
    )
    bound, settings = planned("--config", f"{tmp_path}/hailo-clip.yaml")
    assert bound == [Binding(("hailo-clip",), 5005, "0.0.0.0")]
    assert settings == replace(DEFAULT, max_queue=12, hailo=HailoOptions(apply_softmax=True))


def test_a_word_of_the_file_that_is_no_value_is_refused_as_a_flags(tmp_path: Path) -> None:
    (tmp_path / "serve.yaml").write_text("api: hailo-clip\nmax-queue: many")
    result = CliRunner().invoke(app, ["serve-compat", "--config", f"{tmp_path}/serve.yaml"])
    assert (result.exit_code, "--max-queue: 'many' is no whole number" in result.output) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "environ", "seconds"),
    [
        ((), {"MODEL_SERVER_TIMEOUT": "60"}, 60),
        (("--request-timeout", "5"), {"MODEL_SERVER_TIMEOUT": "60"}, 5),
        ((), {"MODEL_SERVER_TIMEOUT": "60", "VISIONCLI_REQUEST_TIMEOUT": "7"}, 7),
        ((), {}, 600),
    ],
)
def test_the_originals_time_out_is_the_last_to_be_asked(
    arguments: tuple[str, ...], environ: dict[str, str], seconds: float
) -> None:
    assert planned("--api", "sagemaker-clip", *arguments, **environ)[1].deadline_s == seconds


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "--api is needed: "),
        (("--api", "hailo"), "--api: unknown API 'hailo'"),
        (("--api", "runpod", "--keyfile", "k"), "--keyfile: a certificate is needed, too: --certfile FILE"),
        (
            ("--api", "hailo-clip", "--api", "vision-models", "--device", "hailo", "--hef", "x.hef"),
            "--device hailo can classify and embed; vision-models needs depth, detect, segment as well",
        ),
        (
            ("--api", "hailo-clip", "--device-timeout-ms", "100"),
            "--device-timeout-ms needs --device hailo with --hef FILE.hef",
        ),
        (("--api", "runpod", "--grace", "soon"), "--grace: 'soon' is no duration"),
        (("--api", "runpod", "--request-timeout", "0"), "--request-timeout: 0 s leaves no time for an answer"),
        (("--api", "runpod", "--hang-after", "0s"), "--hang-after: 0 s leaves no time for an answer"),
        (("--api", "runpod", "--api-key", "schlüssel"), "--api-key: a key is visible ASCII characters, "),
        (("--api", "runpod", "--allow-host", "10.0.0.0/8"), "--allow-host: '10.0.0.0/8' is no HOST or HOST:PORT, "),
        (("--api", "hf-endpoint", "--ca-cert", "/nowhere"), "--ca-cert /nowhere cannot be read: "),
        (("--api", "runpod", "--certfile", "/nowhere"), "--certfile, --keyfile: /nowhere cannot be read: "),
    ],
)
def test_what_was_asked_wrongly_is_one_sentence_and_exit_2(arguments: tuple[str, ...], sentence: str) -> None:
    result = CliRunner().invoke(app, ["serve-compat", *arguments])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"visioncli: {sentence}")
    assert result.stderr.count("\n") == 1


# The process


@contextmanager
def started(*arguments: str, **environ: str) -> Iterator[subprocess.Popen[str]]:
    """serve-compat with the bundled model; killed at the end if it still runs."""
    command = [sys.executable, "-m", "visioncli", "serve-compat", *arguments, "--model", "demo"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=HERE | environ) as process:
        try:
            yield process
        finally:
            process.kill()


def said_until(process: subprocess.Popen[str], word: str) -> list[str]:
    """Lines of standard error up to the first one with `word`."""
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line.rstrip("\n"))
        if word in line:
            return lines
    raise AssertionError(lines)


def test_it_answers_health_while_it_loads_and_ends_with_0_when_told_to() -> None:
    with started("--api", "hailo-clip:0") as process:
        address, curl = said_until(process, "curl")
        url = re.findall(r"^visioncli: hailo-clip listens on (http://127\.0\.0\.1:\d+); try:$", address)[0]
        assert httpx.get(f"{url}/health", timeout=PATIENCE_S).status_code == 503
        loaded = said_until(process, "ready")
        assert [line for line in loaded if "hailo-clip classify, embed: demo, " in line]
        assert httpx.get(f"{url}/health", timeout=PATIENCE_S).status_code == 200
        tried = subprocess.run(["sh", "-c", curl.removeprefix("visioncli:")], capture_output=True, text=True)
        assert json.loads(tried.stdout).keys() == {"embedding", "dimension", "model"}
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0


def test_a_second_signal_ends_it_at_once() -> None:
    with started("--api", "hailo-clip:0", "--no-preload", "--log-format", "json") as process:
        message = json.loads(said_until(process, "listens")[0])["message"]
        port = int(re.findall(r":(\d+);", message)[0])
        with socket.create_connection(("127.0.0.1", port)) as unfinished:
            unfinished.sendall(b"POST /v1/embed/text HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n")
            said_until(process, "ready")
            process.send_signal(signal.SIGINT)
            assert "once more" in said_until(process, "stopping")[-1]
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_S) == 128 + signal.SIGTERM


def test_an_open_host_without_a_key_is_said_loudly() -> None:
    with started("--api", "hailo-clip:0", "--host", "0.0.0.0", "--no-preload") as process:
        said = said_until(process, "--host at")
    assert said[-2:] == [
        "visioncli: WARNING: whoever reaches 0.0.0.0 can use this server, and can make it fetch URLs",
        "visioncli: WARNING: set VISIONCLI_API_KEY (or --api-key), or leave --host at 127.0.0.1",
    ]
