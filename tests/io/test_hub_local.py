"""The demo and directories: no hub is there at all."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from tests.loopback_hub import (
    FILES,
    NEEDED,
    NEW,
    WEIGHTS,
    git_blob,
    live_here,
)
from visioncli.errors import ModelError, UsageError
from visioncli.io import hub
from visioncli.io.hub_check import FileCheck


@pytest.fixture(autouse=True)
def unserved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live_here(monkeypatch, tmp_path)


def local(folder: Path, **changed: bytes | None) -> Path:
    """A checkpoint directory of the needed files; `config=None` leaves config.json out."""
    folder.mkdir(parents=True)
    for name in NEEDED:
        data = changed.get(name.partition(".")[0], FILES[name])
        if data is not None:
            (folder / name).write_bytes(data)
    return folder


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_demo_is_bundled_and_needs_no_hub() -> None:
    demo = hub.locate("demo", "classify")
    assert (demo.id, demo.licence, demo.commit[:6]) == ("demo", "apache-2.0", "files:")
    assert json.loads((demo.directory / "config.json").read_text())["model_type"] == "siglip"


def test_a_directory_is_known_by_its_contents_wherever_it_is(tmp_path: Path) -> None:
    here, there = local(tmp_path / "a"), local(tmp_path / "b" / "a")
    (there / "notes.txt").write_text("not part of a checkpoint")
    assert hub.locate(str(here), "embed").commit == hub.locate(str(there), "embed").commit
    assert (hub.locate(f"{here}/", "embed").id, hub.locate(str(here), "embed").directory) == ("a", here)


def test_any_changed_byte_changes_a_directorys_commit_even_with_its_time_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("visioncli.io.fingerprints.LARGE", 0)
    monkeypatch.setattr("visioncli.io.fingerprints.SETTLED_S", 0.0)
    folder = local(tmp_path / "model")
    commits = [hub.locate(str(folder), "embed").commit]
    for name in NEEDED:
        stat = (folder / name).stat()
        damage(folder / name)
        os.utime(folder / name, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        commits.append(hub.locate(str(folder), "embed").commit)
    assert len(set(commits)) == 5


def test_a_large_file_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("visioncli.io.fingerprints.SETTLED_S", 0.0)
    folder = local(tmp_path / "model", model=b"w" * (8 << 20))
    first = hub.locate(str(folder), "embed").commit
    memory = tmp_path / "own/visioncli/hashes.json"
    known = json.loads(memory.read_text())
    assert {path: entry[-1] for path, entry in known.items()} == {
        str(folder / "model.safetensors"): sha256(b"w" * (8 << 20))
    }
    memory.write_text(json.dumps({path: [*entry[:-1], "remembered"] for path, entry in known.items()}))
    assert hub.locate(str(folder), "embed").commit != first  # the remembered word was taken, not the file


@pytest.mark.parametrize("left_out", ["config", "model"])
def test_a_directory_without_config_or_weights_is_refused(tmp_path: Path, left_out: str) -> None:
    folder = local(tmp_path / "model", **{left_out: None})
    with pytest.raises(ModelError, match=f"^{folder} is no checkpoint: it must hold config.json and .safetensors"):
        hub.locate(str(folder), "classify")


def test_a_directory_called_like_a_hub_id_is_used_and_announced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local(tmp_path / "google" / "siglip2-base-patch16-224")
    monkeypatch.chdir(tmp_path)
    found = hub.locate("google/siglip2-base-patch16-224", "classify")
    assert found.commit.startswith("files:")
    assert found.notice == (
        "google/siglip2-base-patch16-224 is read from the directory of that name here, not from the hub"
    )


@pytest.mark.parametrize(
    ("model", "revision", "error", "said"),
    [
        ("siglip3", None, ModelError, "no model 'siglip3': give a hub id"),
        ("a/b/c", None, ModelError, "no model 'a/b/c'"),
        ("./absent", None, ModelError, "there is no directory ./absent"),
        ("/absent", None, ModelError, "there is no directory /absent"),
        ("demo", "v1", UsageError, "--revision v1 goes with a hub id, and 'demo' is a directory"),
        ("a/b@v1", "v2", UsageError, "name two revisions"),
        ("a/b", "../../x", UsageError, "'../../x' is no revision"),
    ],
)
def test_what_is_no_model_is_refused(model: str, revision: str | None, error: type[Exception], said: str) -> None:
    with pytest.raises(error) as raised:
        hub.locate(model, "classify", revision)
    assert said in str(raised.value)


def test_a_directory_is_compared_with_its_sums(tmp_path: Path) -> None:
    folder = local(tmp_path / "model")
    sums = {"config.json": FILES["config.json"], "model.safetensors": WEIGHTS[::-1], "vocab.json": b"{}"}
    lines = [f"{sha256(data)}  {name}\n" for name, data in sums.items()]
    (folder / "SHA256SUMS").write_text("".join(lines))
    assert list(hub.verify(str(folder))) == [
        FileCheck("config.json", "ok", sha256(FILES["config.json"])),
        FileCheck("model.safetensors", "changed", sha256(WEIGHTS)),
        FileCheck("preprocessor_config.json", "unknown", sha256(FILES["preprocessor_config.json"])),
        FileCheck("tokenizer.json", "unknown", sha256(FILES["tokenizer.json"])),
        FileCheck("vocab.json", "missing", None),
    ]


def test_a_directory_that_the_hubs_own_tool_filled_is_compared_with_its_notes(tmp_path: Path) -> None:
    folder = local(tmp_path / "model")
    notes = folder / ".cache/huggingface/download"
    notes.mkdir(parents=True)
    for name in NEEDED:
        etag = sha256(FILES[name]) if name == "model.safetensors" else git_blob(FILES[name])
        (notes / f"{name}.metadata").write_text(f"{NEW}\n{etag}\n1700000000.0\n")
    damage(folder / "config.json")
    assert [check.state for check in hub.verify(str(folder))] == ["changed", "ok", "ok", "ok"]


def test_a_bundled_model_may_be_named():
    found = hub.locate("demo/siglip", "embed")
    assert (found.id, found.directory, found.notice) == ("demo/siglip", hub.locate("demo", "embed").directory, None)


def test_a_bundled_model_that_is_not_there_names_those_that_are():
    known = "demo/depth_anything3, demo/dinov3, demo/grounding_dino, demo/sam3, demo/siglip"
    with pytest.raises(ModelError, match=f"no bundled model 'demo/nothing'; known: {known}"):
        hub.locate("demo/nothing", "embed", offline=True)
