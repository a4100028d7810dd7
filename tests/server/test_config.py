"""What a server is told besides its flags: files, variables of the originals, folders with weights."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from visioncli.errors import UsageError
from visioncli.server import DIALECTS, NATIVE_PORTS
from visioncli.server.config import (
    Binding,
    Told,
    allowed_hosts,
    bindings,
    deadline_s,
    models,
    move_hub_cache,
    read_config,
)
from visioncli.server.settings import ROLES, HailoOptions

KNOWN = ("api", "api_key", "host", "max_queue", "max_wait_ms", "preload")
LISTS = ("api", "api_key")
DOCUMENTED = """
server: {host: 0.0.0.0, port: 5000, debug: false}
clip: {model: clip-resnet-50x4, embedding_dimension: 640, device: 0, image_size: 224, batch_size: 1,
       device_timeout_ms: 5000}
text_embedding: {mode: ondemand, cache_enabled: true, cache_max_entries: 1000}
performance: {worker_threads: 2, max_queue_size: 10, request_timeout: 30, warmup_enabled: false, warmup_iterations: 3}
resource_limits: {memory_max: 3G, cpu_quota: 80%}
logging: {level: INFO, format: json}
"""  # protocols 4.2: the documented /etc/hailo/hailo-clip.yaml


def told(tmp_path: Path, text: str) -> Told:
    path = tmp_path / "serve.yaml"
    path.write_text(text)
    return read_config(path, KNOWN, LISTS)


# Files


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("", {}),
        ("host: 0.0.0.0\nmax-queue: 20", {"host": "0.0.0.0", "max_queue": 20}),
        ("max_wait_ms: 2.5\npreload: false", {"max_wait_ms": 2.5, "preload": False}),
        ("api: hailo-clip:5000", {"api": ["hailo-clip:5000"]}),
        ("api: [hailo-clip, runpod]\nhost:", {"api": ["hailo-clip", "runpod"]}),
        ("api: all\napi-key:", {"api": ["all"], "api_key": []}),
        ('{"api": ["all"], "max-queue": 3}', {"api": ["all"], "max_queue": 3}),
    ],
)
def test_our_file_has_the_flags_names(tmp_path: Path, text: str, flags: dict[str, object]) -> None:
    assert told(tmp_path, text) == Told(flags)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("max-que: 3", r"unknown key 'max-que'; did you mean max-queue\?$"),
        ("colour: red", "unknown key 'colour'$"),
        ("host: [a, b]", "host takes one value$"),
        ("host: {a: b}", "host takes one value$"),
        ("- host", "expected `key: value` lines$"),
        ("host: [", "is no YAML: .*line 1"),
        ("host: !!python/object/apply:os.getcwd []", "is no YAML: could not determine a constructor"),
    ],
)
def test_what_the_file_should_not_say_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=rf"^--config {tmp_path}/serve\.yaml:? {sentence}"):
        told(tmp_path, text)


@pytest.mark.parametrize(("name", "reason"), [("nowhere.yaml", "No such file or directory"), (".", "Is a directory")])
def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(UsageError, match=f"cannot be read: {reason}$"):
        read_config(tmp_path / name, KNOWN, LISTS)


def test_the_documented_hailo_file_is_taken_as_it_is(tmp_path: Path) -> None:
    flags = {
        "api": ["hailo-clip"],
        "model_for": [],
        "host": "0.0.0.0",
        "max_queue": 10,
        "request_timeout": "30",
        "device_timeout_ms": 5000,
        "log_level": "info",
        "log_format": "json",
    }
    assert told(tmp_path, DOCUMENTED) == Told(flags, {"hailo-clip": 5000}, HailoOptions(number=0))


def test_a_hailo_file_says_only_what_it_says(tmp_path: Path) -> None:
    text = "clip: {model: openai/clip-vit-base-patch32, apply_softmax: true, logit_scale: 50, colour: red}"
    named = [f"hailo-clip.{role}=openai/clip-vit-base-patch32" for role in ("classify", "embed")]
    assert told(tmp_path, text) == Told({"api": ["hailo-clip"], "model_for": named}, {}, HailoOptions(True, 50.0))


IDLE_ANYWHERE = [
    *("clip.embedding_dimension", "clip.image_size", "performance.warmup_enabled", "performance.warmup_iterations"),
    *("performance.worker_threads", "resource_limits.cpu_quota", "resource_limits.memory_max", "server.debug"),
    *("text_embedding.cache_enabled", "text_embedding.cache_max_entries"),
]
IDLE_ON_A_CPU = ["clip.batch_size", "clip.device", "clip.device_timeout_ms", "text_embedding.mode"]


@pytest.mark.parametrize(("on_hailo", "more"), [(True, []), (False, IDLE_ON_A_CPU)])
def test_keys_of_a_hailo_file_that_change_nothing_are_known(tmp_path: Path, on_hailo: bool, more: list[str]) -> None:
    assert told(tmp_path, DOCUMENTED).idle(on_hailo) == sorted([*IDLE_ANYWHERE, *more])


def test_a_key_without_a_value_says_nothing(tmp_path: Path) -> None:
    keys = {section: dict.fromkeys(content) for section, content in yaml.safe_load(DOCUMENTED).items()}
    found = told(tmp_path, yaml.safe_dump(keys))
    assert found == Told({"api": ["hailo-clip"], "model_for": []}, {}, HailoOptions())
    assert found.idle(on_hailo=True) == []


def test_a_hailo_file_with_a_hef_asks_for_the_device(tmp_path: Path) -> None:
    text = "clip: {hef: a.hef, text_hef: b.hef, device: 1, batch_size: 2, device_timeout_ms: 900}"
    flags = {"api": ["hailo-clip"], "model_for": [], "device": "hailo", "hef": "a.hef", "text_hef": "b.hef"}
    options = HailoOptions(number=1, frames=2)
    assert told(tmp_path, text) == Told({**flags, "device_timeout_ms": 900}, {}, options)


@pytest.mark.parametrize(
    ("mode", "flags", "idle"),
    [
        ("precomputed", {"text_embeddings": "t.json"}, []),
        ("ondemand", {}, ["text_embedding.file"]),
    ],
)
def test_texts_computed_before_are_asked_for_by_the_mode(
    tmp_path: Path, mode: str, flags: dict[str, str], idle: list[str]
) -> None:
    found = told(tmp_path, f"text_embedding: {{mode: {mode}, file: t.json}}")
    assert found == Told({"api": ["hailo-clip"], "model_for": [], **flags}, {}, HailoOptions())
    assert found.idle(on_hailo=True) == idle


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "text_embedding: {mode: sometimes}",
            "text_embedding.mode 'sometimes' is unknown; known: ondemand, precomputed",
        ),
        ("clip: {hef: a.hef}\ntext_embedding: {mode: precomputed}", "text_embedding.mode precomputed needs"),
        ("clip: {device: first}", r"clip\.device: invalid literal for int"),
        ("clip: {batch_size: [1]}", r"clip\.batch_size: int\(\) argument must be"),
    ],
)
def test_what_a_hailo_file_cannot_mean_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=rf"--config .*serve\.yaml: {sentence}"):
        told(tmp_path, text)


@pytest.mark.parametrize(
    ("port", "words"),
    [
        ("http", "server.port: invalid literal"),
        ("99999", "server.port: 99999 is no port; write 0 to 65535$"),
        ("-1", "server.port: -1 is no port; write 0 to 65535$"),
    ],
)
def test_a_hailo_files_port_that_is_none_is_one_sentence(tmp_path: Path, port: str, words: str) -> None:
    with pytest.raises(UsageError, match=rf"--config .*serve\.yaml: {words}"):
        told(tmp_path, f"server: {{port: {port}}}")


# APIs and ports


@pytest.mark.parametrize(
    ("apis", "port", "expected"),
    [
        (["hailo-clip"], None, [(("hailo-clip",), 5000)]),
        (["hailo-clip:5001"], None, [(("hailo-clip",), 5001)]),
        (["hailo-clip:5000", "vision-models:8000"], None, [(("hailo-clip",), 5000), (("vision-models",), 8000)]),
        (["hailo-clip:9", "vision-models:9"], None, [(("hailo-clip", "vision-models"), 9)]),
        (["all"], 8000, [(tuple(DIALECTS), 8000)]),
        (["all"], None, [((name,), NATIVE_PORTS[name]) for name in DIALECTS]),
        (["all"], 0, [(tuple(DIALECTS), 0)]),
        (["runpod:0", "hailo-clip:0"], None, [(("runpod",), 0), (("hailo-clip",), 0)]),
        (["runpod:0", "hailo-clip", "hf-endpoint"], 7, [(("runpod",), 0), (("hailo-clip", "hf-endpoint"), 7)]),
        (["runpod", "runpod", "runpod:9"], None, [(("runpod",), 8008), (("runpod",), 9)]),
    ],
)
def test_apis_get_ports(apis: list[str], port: int | None, expected: list[tuple[tuple[str, ...], int]]) -> None:
    assert bindings(apis, port, "h", Told(), {}) == [Binding(names, number, "h") for names, number in expected]


@pytest.mark.parametrize(
    ("api", "environ", "port"),
    [
        ("vision-models", {"PORT": "9000"}, 9000),
        ("sagemaker-clip", {"SAGEMAKER_BIND_TO_PORT": "9001"}, 9001),
        ("hailo-clip", {"PORT": "9000"}, 5005),
        ("vision-models:7", {"PORT": "9000"}, 7),
        ("vision-models", {"PORT": ""}, 8000),
    ],
)
def test_the_originals_variables_and_the_file_stand_behind_the_flag(
    api: str, environ: dict[str, str], port: int
) -> None:
    said = Told(ports={"hailo-clip": 5005})
    assert [one.port for one in bindings([api], None, "h", said, environ)] == [port]


@pytest.mark.parametrize(
    ("apis", "environ", "sentence"),
    [
        ([], {}, r"^--api is needed: --api NAME\[:PORT\], of runpod, .*, or all$"),
        (["hailo"], {}, r"unknown API 'hailo'; known: .*; did you mean hailo-clip\?$"),
        (["hailo-clip:http"], {}, "^--api hailo-clip:http: 'http' is no port; write 0 to 65535$"),
        (["hailo-clip:"], {}, "'' is no port"),
        (["all:65536"], {}, "'65536' is no port"),
        (["vision-models"], {"PORT": "tcp://10.0.0.1:80"}, r"^PORT: 'tcp://10\.0\.0\.1:80' is no port"),
    ],
)
def test_what_is_no_api_or_port_is_one_sentence(apis: list[str], environ: dict[str, str], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        bindings(apis, None, "h", Told(), environ)


# Hosts that fetches may ask


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("10.0.0.5:9000", "10.0.0.5:9000"),
        ("Localhost:1", "localhost:1"),
        ("FILES.Corp.", "files.corp."),
        ("[::1]", "::1"),
        ("::1", "::1"),
        ("[::1]:1", "::1:1"),
        ("[0:0:0:0:0:0:0:1]:80", "::1:80"),
        ("bücher.example", "xn--bcher-kva.example"),
    ],
)
def test_an_allowed_host_is_written_as_a_url_writes_it(given: str, meant: str) -> None:
    assert allowed_hosts([given, "files"]) == (meant, "files")


@pytest.mark.parametrize(
    "given",
    [
        "http://files",
        "10.0.0.0/8",
        "files/a",
        "*.corp",
        "files:",
        "files:http",
        "files:99999",
        "u@files",
        "[::1",
        "a b",
        "",
    ],
)
def test_what_is_no_host_is_one_sentence(given: str) -> None:
    with pytest.raises(UsageError, match=f"^--allow-host: {re.escape(repr(given))} is no HOST or HOST:PORT, "):
        allowed_hosts([given])


# The originals' variables


@pytest.mark.parametrize(
    ("dialects", "value", "seconds"),
    [(["sagemaker-clip"], "60", 60.0), (["sagemaker-clip"], "", None), (["runpod"], "60", None)],
)
def test_the_model_servers_time_out_is_sagemakers(dialects: list[str], value: str, seconds: float | None) -> None:
    assert deadline_s(dialects, {"MODEL_SERVER_TIMEOUT": value}) == seconds


def test_a_time_out_that_is_none_is_one_sentence() -> None:
    with pytest.raises(UsageError, match=r"^MODEL_SERVER_TIMEOUT: 'soon' is no number of seconds$"):
        deadline_s(["sagemaker-clip"], {"MODEL_SERVER_TIMEOUT": "soon"})


@pytest.mark.parametrize(("dialects", "moves"), [(["vision-models", "runpod"], True), (["runpod"], False)])
def test_hf_root_folder_is_the_hubs_home(
    dialects: list[str], moves: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from visioncli.io import hub_cache

    for name in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    environ = {"HF_ROOT_FOLDER": str(tmp_path)}
    move_hub_cache(dialects, environ)
    monkeypatch.setattr("os.environ", environ | {"HOME": "/home/me"})
    assert (hub_cache.folder() == tmp_path / "hub") is moves


# Models

BOTH = ["sagemaker-clip", "vision-models"]


@pytest.mark.parametrize(
    ("model", "model_for", "expected"),
    [
        (None, [], {}),
        (
            "demo",
            [],
            {("sagemaker-clip", "classify"): "demo"}
            | {("vision-models", role): "demo" for role in ROLES["vision-models"]},
        ),
        (None, ["detect=a=b"], {("vision-models", "detect"): "a=b"}),
        (None, ["sagemaker-clip.classify=./clip"], {("sagemaker-clip", "classify"): "./clip"}),
        (None, ["depth=x", "vision-models.depth=y"], {("vision-models", "depth"): "y"}),
        (None, ["depth=x", "depth=z"], {("vision-models", "depth"): "z"}),
    ],
)
def test_models_are_asked_for_by_task_and_api(
    model: str | None, model_for: list[str], expected: dict[tuple[str, str], str]
) -> None:
    assert models(BOTH, model, model_for, {}) == expected


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("demo", "'demo' is not of the form TASK=ID or API.TASK=ID"),
        ("classify=", "is not of the form"),
        ("embed=x", "^--model-for embed=x: unknown task 'embed'; known: classify, segment, detect, depth, features$"),
        ("sagemaker-clip.depth=x", "unknown task 'depth'; known: classify$"),
        ("runpod.embed=x", "'runpod' is not among the APIs asked for: sagemaker-clip, vision-models$"),
    ],
)
def test_a_model_for_nothing_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        models(BOTH, None, [text], {})


@pytest.mark.parametrize("name", ["config.json", "open_clip_config.json"])
def test_weights_that_the_platform_put_there_are_used_where_nothing_was_asked(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{}")
    folders = {"sagemaker-clip": tmp_path, "hf-endpoint": tmp_path / "absent"}
    found = {("sagemaker-clip", "classify"): str(tmp_path)}
    assert models(["sagemaker-clip", "hf-endpoint"], None, [], folders) == found
    assert models(["sagemaker-clip"], None, ["classify=x"], folders) == {("sagemaker-clip", "classify"): "x"}
    assert models(["sagemaker-clip"], "demo", [], folders) == {("sagemaker-clip", "classify"): "demo"}
