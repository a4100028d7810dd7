"""Against a hub on loopback: real HTTP, real huggingface_hub, a cache of its own for each test."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.loopback_hub import (
    FILES,
    NEEDED,
    NEW,
    OLD,
    TOKEN,
    WEIGHTS,
    LoopbackHub,
    Repository,
    git_blob,
    live_here,
    loopback_hub,
    tiny,
)
from visioncli.errors import HubUnreachableError, ModelError, OutputError, UsageError
from visioncli.io import hub
from visioncli.io.hub_check import FileCheck

ID = "Toys/Tiny-SigLIP"


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    with loopback_hub(tiny()) as running:
        live_here(monkeypatch, tmp_path, running.endpoint)
        yield running


@pytest.fixture
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


def test_a_hub_id_becomes_a_directory_of_what_is_needed_and_a_commit(served: LoopbackHub, tmp_path: Path) -> None:
    lines: list[str] = []
    found = hub.locate(ID, "classify", say=lines.append)
    assert (found.id, found.commit, found.notice) == (ID, NEW, None)
    assert found.directory == tmp_path / f"hf/hub/models--Toys--Tiny-SigLIP/snapshots/{NEW}"
    assert {path.name: path.read_bytes() for path in found.directory.iterdir()} == {one: FILES[one] for one in NEEDED}
    assert lines == [f"fetching {ID} at {NEW[:12]}: 4 files, 0.0 MB"]


def test_pickles_and_other_formats_are_never_asked_for(served: LoopbackHub) -> None:
    hub.locate(ID, "classify")
    asked = {line.rpartition("/")[2] for line in served.requests if "/resolve/" in line}
    assert asked == set(NEEDED)


def test_a_complete_checkpoint_costs_one_request_online(served: LoopbackHub) -> None:
    first = hub.locate(ID, "classify")
    served.requests.clear()
    assert hub.locate(ID, "classify") == first
    assert served.requests == [f"GET /api/models/{ID}/revision/main"]


@pytest.mark.parametrize("how", ["flag", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_offline_asks_nothing(served: LoopbackHub, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    first = hub.pull(ID).checkpoint
    served.requests.clear()
    if how != "flag":
        monkeypatch.setenv(how, "1")
    assert hub.locate(ID, "embed", offline=how == "flag") == first
    with pytest.raises(ModelError, match="is not in the cache"):
        hub.locate("toys/absent", "embed", offline=how == "flag")
    assert served.requests == []


def test_offline_opens_no_socket_and_looks_up_no_name(served: LoopbackHub) -> None:
    hub.pull(ID)
    program = (
        "import sys; seen = []\n"
        "sys.addaudithook(lambda event, args: seen.append(event) if event.startswith('socket.') else None)\n"
        "from visioncli.io import hub\n"
        f"print(hub.locate({ID!r}, 'classify', offline=True).commit, [*hub.verify({ID!r})] != [])\n"
        "try: hub.locate('toys/absent', 'classify', offline=True)\n"
        "except hub.ModelError: print(seen)"
    )
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    said = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert said.stdout.splitlines() == [f"{NEW} True", "[]"]


def test_a_cached_commit_asks_nothing_even_online(served: LoopbackHub) -> None:
    hub.pull(ID, OLD)
    served.requests.clear()
    assert [hub.locate(f"{ID}@{OLD}", "embed").commit, hub.locate(ID, "embed", OLD).commit] == [OLD, OLD]
    assert served.requests == []


@pytest.mark.parametrize(("revision", "commit"), [("v1", OLD), (OLD, OLD), ("main", NEW), (None, NEW)])
def test_a_revision_is_pinned_to_its_commit(served: LoopbackHub, revision: str | None, commit: str) -> None:
    online = hub.locate(ID, "classify", revision)
    assert online.commit == commit
    assert hub.locate(ID, "classify", revision, offline=True) == online
    assert (online.directory / "model.safetensors").read_bytes() == (WEIGHTS if commit == NEW else WEIGHTS[::-1])


def test_a_moved_branch_is_noticed_online_and_shared_files_are_not_fetched_twice(served: LoopbackHub) -> None:
    served.repositories[0].refs["main"] = OLD
    assert hub.locate(ID, "classify").commit == OLD
    served.repositories[0].refs["main"] = NEW
    served.requests.clear()
    assert hub.locate(ID, "classify").commit == NEW
    assert [line for line in served.requests if line.startswith("GET") and "/resolve/" in line] == [
        f"GET /{ID}/resolve/{NEW}/model.safetensors"
    ]


def test_ids_compare_as_on_the_hub_and_come_back_in_its_spelling(served: LoopbackHub) -> None:
    assert [hub.locate("toys/tiny-siglip", "embed", offline=later).id for later in (False, True)] == [ID, ID]


def test_a_hub_that_is_down_leaves_the_cached_commit_with_a_notice(served: LoopbackHub) -> None:
    first = hub.locate(ID, "classify")
    served.status = 503
    again = hub.locate(ID, "classify")
    assert (again.directory, again.commit) == (first.directory, NEW)
    assert again.notice == f"the hub cannot be reached, so {ID} is the cached commit {NEW[:12]}"


@pytest.mark.usefixtures("unserved")
def test_a_refused_connection_fails_at_once_and_names_the_command() -> None:
    start = time.monotonic()
    with pytest.raises(HubUnreachableError) as raised:
        hub.locate("toys/tiny", "classify")
    assert time.monotonic() - start < 2
    assert str(raised.value) == (
        "the hub at http://127.0.0.1:9 did not deliver toys/tiny ([Errno 111] Connection refused): try again later, "
        "run `visioncli models pull toys/tiny` where it can be reached, or name a local directory "
        "(--model demo is bundled)"
    )


def test_a_hub_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        live_here(monkeypatch, tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", "1")
        start = time.monotonic()
        with pytest.raises(HubUnreachableError, match="did not deliver toys/tiny"):
            hub.locate("toys/tiny", "classify")
        assert time.monotonic() - start < 2


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_may_pass_is_not_now(served: LoopbackHub, status: int) -> None:
    served.status = status
    with pytest.raises(HubUnreachableError, match=rf"\(status {status}\)"):
        hub.locate(ID, "classify")


def test_a_page_that_is_no_hub_is_not_now(served: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    served.status = 200  # an empty body, as behind a sign-in page
    with pytest.raises(HubUnreachableError, match="what answered is no hub"):
        hub.locate(ID, "classify")


def test_an_unknown_model_says_so_in_one_sentence(served: LoopbackHub) -> None:
    with pytest.raises(ModelError) as raised:
        hub.locate("toys/absent", "classify")
    assert str(raised.value) == (
        f"{served.endpoint} knows no model toys/absent, or it is private: check the name, "
        "or set HF_TOKEN to a token that may read it"
    )


def test_an_unknown_revision_says_so(served: LoopbackHub) -> None:
    with pytest.raises(ModelError, match=rf"^{ID} has no revision 'v9': see {served.endpoint}/{ID}/commits/main"):
        hub.locate(ID, "classify", "v9")


def test_a_gate_names_the_page_and_the_variable(served: LoopbackHub) -> None:
    served.repositories[0].gated = "manual"
    with pytest.raises(ModelError) as raised:
        hub.locate(ID, "classify")
    assert str(raised.value) == (
        f"{ID} is gated: accept its licence at {served.endpoint}/{ID}, then set HF_TOKEN to a token of that account"
    )


def test_a_token_opens_the_gate_and_the_licence_is_announced(
    served: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.repositories[0].gated, served.repositories[0].licence = "auto", "toy-licence"
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    found = hub.locate(ID, "classify")
    assert (found.commit, found.licence) == (NEW, "toy-licence")
    assert found.notice == f"{ID} is gated: what you may do with it is in its licence (toy-licence)"
    assert hub.locate(ID, "classify", offline=True) == found


def test_a_non_commercial_card_is_announced(served: LoopbackHub) -> None:
    served.repositories[0].licence = "cc-by-nc-4.0"
    assert hub.locate(ID, "embed").notice == f"{ID} is for non-commercial use only (cc-by-nc-4.0)"


def test_pickled_weights_alone_are_refused_before_anything_is_fetched(served: LoopbackHub) -> None:
    del served.repositories[0].commits[NEW]["model.safetensors"]
    with pytest.raises(ModelError, match="no .safetensors weights at main, and pickled weights are never read"):
        hub.locate(ID, "classify")
    assert served.requests == [f"GET /api/models/{ID}/revision/main"]


def test_shards_come_with_their_index_and_alone(served: LoopbackHub) -> None:
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    index = json.dumps({"weight_map": dict(zip("ab", shards, strict=True))}).encode()
    files = {name: data for name, data in FILES.items() if name != "model.safetensors"}
    files |= {name: WEIGHTS for name in shards} | {"model.safetensors.index.json": index, "other.safetensors": b"x"}
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
        with pytest.raises(ModelError, match="model.safetensors of .* arrived damaged .* run the same command again"):
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
    served: LoopbackHub, tmp_path: Path, name: str, recorded: bool
) -> None:
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
    with pytest.raises(OutputError, match="and 0.0 MB are free: make room, or set HF_HOME"):
        hub.locate(ID, "classify")
    assert not [line for line in served.requests if "/resolve/" in line]


def test_cached_lists_commits_with_their_refs_and_sizes(served: LoopbackHub) -> None:
    hub.pull(ID)
    hub.pull(ID, "v1")
    listed = [(one.id, one.commit, one.refs, one.size) for one in hub.cached()]
    size = sum(len(FILES[name]) for name in NEEDED)
    assert listed == [(ID, OLD, ("v1",), size), (ID, NEW, ("main",), size)]


@pytest.mark.usefixtures("unserved")
def test_demo_is_bundled_and_needs_no_hub() -> None:
    demo = hub.locate("demo", "classify")
    assert (demo.id, demo.licence, demo.commit[:6]) == ("demo", "apache-2.0", "files:")
    assert json.loads((demo.directory / "config.json").read_text())["model_type"] == "siglip"


@pytest.mark.usefixtures("unserved")
def test_a_directory_is_known_by_its_contents_wherever_it_is(tmp_path: Path) -> None:
    here, there = local(tmp_path / "a"), local(tmp_path / "b" / "a")
    (there / "notes.txt").write_text("not part of a checkpoint")
    assert hub.locate(str(here), "embed").commit == hub.locate(str(there), "embed").commit
    assert (hub.locate(f"{here}/", "embed").id, hub.locate(str(here), "embed").directory) == ("a", here)


@pytest.mark.usefixtures("unserved")
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


@pytest.mark.usefixtures("unserved")
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


@pytest.mark.usefixtures("unserved")
@pytest.mark.parametrize("left_out", ["config", "model"])
def test_a_directory_without_config_or_weights_is_refused(tmp_path: Path, left_out: str) -> None:
    folder = local(tmp_path / "model", **{left_out: None})
    with pytest.raises(ModelError, match=f"^{folder} is no checkpoint: it must hold config.json and .safetensors"):
        hub.locate(str(folder), "classify")


@pytest.mark.usefixtures("unserved")
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


@pytest.mark.usefixtures("unserved")
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


@pytest.mark.usefixtures("unserved")
def test_an_endpoint_without_a_scheme_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "hub.example")
    with pytest.raises(ModelError, match="HF_ENDPOINT is 'hub.example'; it must begin with http"):
        hub.locate("toys/tiny", "classify")


@pytest.mark.usefixtures("unserved")
def test_pull_refuses_what_is_local_and_what_is_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="'demo' is on this machine already"):
        hub.pull("demo")
    monkeypatch.setenv("HF_HUB_OFFLINE", "yes")
    with pytest.raises(UsageError, match="HF_HUB_OFFLINE is set, and pulling toys/tiny needs the hub"):
        hub.pull("toys/tiny")


@pytest.mark.usefixtures("unserved")
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


@pytest.mark.usefixtures("unserved")
def test_a_directory_that_the_hubs_own_tool_filled_is_compared_with_its_notes(tmp_path: Path) -> None:
    folder = local(tmp_path / "model")
    notes = folder / ".cache/huggingface/download"
    notes.mkdir(parents=True)
    for name in NEEDED:
        etag = sha256(FILES[name]) if name == "model.safetensors" else git_blob(FILES[name])
        (notes / f"{name}.metadata").write_text(f"{NEW}\n{etag}\n1700000000.0\n")
    damage(folder / "config.json")
    assert [check.state for check in hub.verify(str(folder))] == ["changed", "ok", "ok", "ok"]


@pytest.mark.parametrize(
    ("hub_id", "licence", "notice"),
    [
        ("google/siglip2-base-patch16-224", "apache-2.0", None),
        ("openai/clip-vit-base-patch32", "mit", None),
        ("facebook/sam3", "SAM License", "is gated: what you may do with it is in its licence (SAM License)"),
        ("depth-anything/da3-base", "apache-2.0", None),
        ("depth-anything/DA3-LARGE-1.1", "cc-by-nc-4.0", "is for non-commercial use only (cc-by-nc-4.0)"),
    ],
)
def test_the_table_knows_licences_before_anything_is_pulled(
    served: LoopbackHub, hub_id: str, licence: str, notice: str | None
) -> None:
    served.repositories.append(tiny(hub_id))
    found = hub.locate(hub_id, "classify")
    assert (found.licence, found.notice) == (licence, notice and f"{hub_id} {notice}")
