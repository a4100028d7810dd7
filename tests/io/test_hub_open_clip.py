"""Checkpoints in open_clip's layout: what is fetched of them, checked and shown, and what beside them is left alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.loopback_hub import NEW, WEIGHTS, LoopbackHub, Repository, live_here, loopback_hub
from visioncli.cli import app
from visioncli.errors import ModelError
from visioncli.io import hub, hub_cache
from visioncli.io.licences import KNOWN, terms_of

ALIAS, ID = "clip-resnet-50x4", "timm/resnet50x4_clip.openai"
RESNET = json.dumps({"model_cfg": {"vision_cfg": {"layers": [1, 1, 1, 1]}, "text_cfg": {}}}).encode()
FILES = {  # timm/resnet50x4_clip.openai, as the hub lists it
    "README.md": b"---\nlicense: mit\n---\n",
    "config.json": b'{"architecture": "resnet50x4_clip"}',
    "merges.txt": b"#version: 0.2\n",
    "model.safetensors": WEIGHTS[::-1],
    "open_clip_config.json": RESNET,
    "open_clip_model.safetensors": WEIGHTS,
    "open_clip_pytorch_model.bin": b"pickle" * 500,
    "pytorch_model.bin": b"pickle" * 500,
    "special_tokens_map.json": b"{}",
    "tokenizer.json": b'{"model": {}}' * 200,
    "tokenizer_config.json": b"{}",
    "vocab.json": b"{}",
}
TOKENIZER = ["merges.txt", "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json", "vocab.json"]
NEEDED = sorted([*TOKENIZER, "open_clip_config.json", "open_clip_model.safetensors"])


def repository(hub_id: str = ID, *, without: tuple[str, ...] = (), **more: bytes) -> Repository:
    files = {name: data for name, data in (FILES | more).items() if name not in without}
    return Repository(hub_id, {NEW: files}, {"main": NEW}, licence="mit")


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    with loopback_hub(repository()) as running:
        live_here(monkeypatch, tmp_path, running.endpoint)
        yield running


def here(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_what_is_needed_is_fetched_and_neither_timms_files_nor_pickles(served: LoopbackHub) -> None:
    found = hub.locate(ALIAS, "classify")
    assert (found.id, found.commit, found.licence, found.notice) == (ID, NEW, "mit", None)
    assert here(found.directory) == {name: FILES[name] for name in NEEDED}


def test_offline_it_is_whole(served: LoopbackHub) -> None:
    hub.locate(ALIAS, "classify")
    served.requests.clear()
    assert hub.locate(ALIAS, "embed", offline=True).commit == NEW
    assert served.requests == []


@pytest.mark.parametrize("gone", ["open_clip_config.json", "open_clip_model.safetensors", "tokenizer.json vocab.json"])
def test_what_another_program_cached_in_part_is_not_taken_for_whole(served: LoopbackHub, gone: str) -> None:
    directory = hub_cache.directory_of(ID, NEW)
    directory.mkdir(parents=True)
    for name in set(FILES) - set(gone.split()):
        (directory / name).write_bytes(FILES[name])
    hub_cache.write_ref(ID, "main", NEW)
    with pytest.raises(ModelError, match="only partly in the cache"):
        hub.locate(ID, "classify", offline=True)
    assert {name: here(hub.locate(ID, "classify").directory).get(name) for name in gone.split()} == {
        name: FILES[name] for name in gone.split()
    }


def test_pickled_weights_alone_are_refused_before_anything_is_fetched(served: LoopbackHub) -> None:
    served.repositories[:] = [repository(without=("open_clip_model.safetensors",))]
    with pytest.raises(ModelError, match=r"no \.safetensors weights at main, and pickled weights are never read"):
        hub.locate(ALIAS, "classify")
    assert not [line for line in served.requests if "/resolve/" in line]


def test_one_in_transformers_layout_too_is_fetched_as_that(served: LoopbackHub) -> None:
    both = {"preprocessor_config.json": b"{}", "config.json": b'{"model_type": "clip"}'}
    served.repositories[:] = [repository("laion/CLIP-ViT-B-32", **both)]
    names = set(here(hub.locate("laion/CLIP-ViT-B-32", "classify").directory))
    assert {"config.json", "model.safetensors"} <= names
    assert "open_clip_model.safetensors" not in names


def test_a_directory_is_taken_and_known_by_what_is_read(served: LoopbackHub, tmp_path: Path) -> None:
    folder = tmp_path / "rn50"
    folder.mkdir()
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    before = hub.locate(str(folder), "classify").commit
    (folder / "model.safetensors").write_bytes(b"timm's own")
    assert hub.locate(str(folder), "classify").commit == before
    (folder / "open_clip_model.safetensors").write_bytes(WEIGHTS[::-1])
    assert hub.locate(str(folder), "classify").commit != before
    (folder / "open_clip_model.safetensors").unlink()
    with pytest.raises(ModelError, match="is no checkpoint"):
        hub.locate(str(folder), "classify")


def test_pull_list_and_verify_know_it(served: LoopbackHub) -> None:
    served.repositories.append(repository("thaottn/OpenCLIP-resnet50-CC12M", without=("config.json",)))
    ask = CliRunner().invoke
    for model in (ALIAS, "thaottn/OpenCLIP-resnet50-CC12M"):
        assert ask(app, ["models", "pull", model]).exit_code == 0
        checks = [json.loads(line) for line in ask(app, ["models", "verify", model, "--json"]).stdout.splitlines()]
        assert [(check["name"], check["state"]) for check in checks] == [(name, "ok") for name in NEEDED]
    rows = [json.loads(line) for line in ask(app, ["models", "list", "--json"]).stdout.splitlines()]
    shown = [(row["name"], row["family"], row["tasks"], row["licence"]) for row in rows if row["commit"] == NEW]
    assert shown == [
        (ALIAS, "clip_resnet", ["classify", "embed"], "mit"),
        ("thaottn/OpenCLIP-resnet50-CC12M", "clip_resnet", ["classify", "embed"], "mit"),
    ]


def test_each_published_resnet_has_a_short_name_and_a_licence() -> None:
    named = {known.name: known.id for known in KNOWN if known.family == "clip_resnet"}
    assert named == {
        f"clip-resnet-{size}": f"timm/resnet{size}_clip.openai" for size in ("50", "101", "50x4", "50x16", "50x64")
    }
    assert [getattr(terms_of(hub_id), "licence", None) for hub_id in named.values()] == ["mit"] * 5
