"""What pull leaves behind: checked, repaired, recognised when only a part of it is there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.loopback_hub import (
    FILES,
    NEEDED,
    NEW,
    OLD,
    WEIGHTS,
    LoopbackHub,
    Repository,
    live_here,
    loopback_hub,
    tiny,
)
from visioncli.errors import ModelError, OutputError, UsageError
from visioncli.io import hub

ID = "Toys/Tiny-SigLIP"


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    with loopback_hub(tiny()) as running:
        live_here(monkeypatch, tmp_path, running.endpoint)
        yield running


@pytest.fixture
def unserved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live_here(monkeypatch, tmp_path)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_shards_come_with_their_index_and_alone(served: LoopbackHub) -> None:
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    index = json.dumps({"weight_map": dict(zip("ab", shards, strict=True))}).encode()
    files = {name: data for name, data in FILES.items() if name != "model.safetensors"}
    files |= dict.fromkeys(shards, WEIGHTS) | {"model.safetensors.index.json": index, "other.safetensors": b"x"}
    served.repositories.append(Repository("toys/sharded", {NEW: files}, {"main": NEW}))
    names = set(hub.pull("toys/sharded").files)
    assert names == {*shards, "model.safetensors.index.json", *NEEDED} - {"model.safetensors"}


def test_pull_reports_size_and_hash_of_each_file(served: LoopbackHub) -> None:
    pulled = hub.pull(ID)
    assert {name: (file.size, file.sha256) for name, file in pulled.files.items()} == {
        name: (len(FILES[name]), sha256(FILES[name])) for name in NEEDED
    }


def test_bytes_that_differ_from_the_announced_hash_do_not_stay(served: LoopbackHub) -> None:
    served.repositories[0].sent_instead["model.safetensors"] = WEIGHTS[::-1]  # the size is right
    for _ in range(2):
        with pytest.raises(ModelError, match=r"model\.safetensors of .* arrived damaged .* run the same command again"):
            hub.locate(ID, "classify")
    served.repositories[0].sent_instead.clear()
    assert (hub.locate(ID, "classify").directory / "model.safetensors").read_bytes() == WEIGHTS


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", NEEDED)
@pytest.mark.parametrize("recorded", [True, False])
def test_one_flipped_bit_in_the_cache_is_found_and_pull_repairs_it(
    served: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, recorded: bool
) -> None:
    monkeypatch.setattr(hub, "LARGE", 1000)  # so that the weights count as large
    directory = hub.pull(ID).checkpoint.directory
    if not recorded:  # as if another program had filled the cache: its blobs are named by their hashes
        next(tmp_path.glob("own/visioncli/pulled/*")).unlink()
    damage(directory / name)
    assert {check.name: check.state for check in hub.verify(ID)} == dict.fromkeys(NEEDED, "ok") | {name: "changed"}
    hub.pull(ID)
    assert [check.state for check in hub.verify(ID)] == ["ok"] * 4
    assert (directory / name).read_bytes() == FILES[name]


def test_a_file_that_is_gone_is_missing_and_offline_says_partly(served: LoopbackHub) -> None:
    directory = hub.pull(ID).checkpoint.directory
    (directory / "tokenizer.json").unlink()
    states = {check.name: (check.state, check.sha256) for check in hub.verify(ID)}
    assert states["tokenizer.json"] == ("missing", None)
    with pytest.raises(ModelError, match=f"^{ID} is only partly in the cache"):
        hub.locate(ID, "classify", offline=True)
    assert hub.locate(ID, "classify").directory == directory
    assert (directory / "tokenizer.json").read_bytes() == FILES["tokenizer.json"]


@pytest.mark.parametrize("gone", ["config.json", "preprocessor_config.json", "tokenizer.json", "model.safetensors"])
def test_what_another_program_cached_in_part_is_not_taken_for_whole(
    served: LoopbackHub, tmp_path: Path, gone: str
) -> None:
    directory = hub.pull(ID).checkpoint.directory
    next(tmp_path.glob("own/visioncli/pulled/*")).unlink()
    assert hub.locate(ID, "classify", offline=True).directory == directory
    (directory / gone).unlink()
    with pytest.raises(ModelError, match=f"^{ID} is only partly in the cache"):
        hub.locate(ID, "classify", offline=True)


def test_a_missing_shard_is_noticed_without_a_record(served: LoopbackHub, tmp_path: Path) -> None:
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    index = json.dumps({"weight_map": dict(zip("ab", shards, strict=True))}).encode()
    files = {name: data for name, data in FILES.items() if name != "model.safetensors"}
    files |= {name: WEIGHTS + name.encode() for name in shards} | {"model.safetensors.index.json": index}
    served.repositories.append(Repository("toys/sharded", {NEW: files}, {"main": NEW}))
    directory = hub.pull("toys/sharded").checkpoint.directory
    next(tmp_path.glob("own/visioncli/pulled/*")).unlink()
    (directory / shards[1]).unlink()
    with pytest.raises(ModelError, match=r"^toys/sharded is only partly in the cache"):
        hub.locate("toys/sharded", "embed", offline=True)


def test_offline_and_absent_names_the_command_and_the_folder(served: LoopbackHub, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as raised:
        hub.locate("siglip2-base-patch16-224@v1", "classify", offline=True)
    assert str(raised.value) == (
        f"google/siglip2-base-patch16-224 at v1 is not in the cache ({tmp_path}/hf/hub): run `visioncli models pull "
        "google/siglip2-base-patch16-224 --revision v1` on a machine that reaches the hub, "
        "or name a local directory with --model (--model demo is bundled)"
    )


def test_seven_digits_of_a_cached_commit_are_enough_offline(served: LoopbackHub) -> None:
    commit = "abcdef0" + "1" * 33
    served.repositories.append(Repository("toys/other", {commit: dict(FILES)}, {"main": commit}))
    hub.pull("toys/other")
    assert hub.locate("toys/other", "embed", commit[:7], offline=True).commit == commit


def test_a_cache_that_cannot_be_written_is_an_output_error(served: LoopbackHub, tmp_path: Path) -> None:
    (tmp_path / "hf").write_text("a file where the folder should be")
    with pytest.raises(OutputError, match=f"^cannot write {ID} into {tmp_path}/hf/hub: "):
        hub.locate(ID, "classify")


def test_what_does_not_fit_on_the_disk_is_not_begun(served: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    full = SimpleNamespace(total=10**9, used=10**9, free=9)
    monkeypatch.setattr("shutil.disk_usage", lambda path: full)
    with pytest.raises(OutputError, match=r"and 0\.0 MB are free: make room, or set HF_HOME"):
        hub.locate(ID, "classify")
    assert not [line for line in served.requests if "/resolve/" in line]


def test_cached_lists_commits_with_their_refs_and_sizes(served: LoopbackHub) -> None:
    hub.pull(ID)
    hub.pull(ID, "v1")
    listed = [(one.id, one.commit, one.refs, one.size) for one in hub.cached()]
    size = sum(len(FILES[name]) for name in NEEDED)
    assert listed == [(ID, OLD, ("v1",), size), (ID, NEW, ("main",), size)]


@pytest.mark.usefixtures("unserved")
def test_pull_refuses_what_is_local_and_what_is_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="'demo' is on this machine already"):
        hub.pull("demo")
    monkeypatch.setenv("HF_HUB_OFFLINE", "yes")
    with pytest.raises(UsageError, match="HF_HUB_OFFLINE is set, and pulling toys/tiny needs the hub"):
        hub.pull("toys/tiny")
