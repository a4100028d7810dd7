"""Against a hub on loopback: real HTTP, real huggingface_hub, a cache of its own for each test."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.loopback_hub import (
    FILES,
    NEEDED,
    NEW,
    OLD,
    TOKEN,
    WEIGHTS,
    LoopbackHub,
    live_here,
    loopback_hub,
    tiny,
)
from visioncli.errors import HubUnreachableError, ModelError
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


def test_a_hub_that_dribbles_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dribble() -> None:  # each byte in time, the answer never: a time-out between bytes does not end this
        connection, _ = silent.accept()
        with connection, suppress(OSError):
            for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"." * 30:
                connection.sendall(bytes([byte]))
                time.sleep(0.1)

    with socket.create_server(("127.0.0.1", 0)) as silent:
        live_here(monkeypatch, tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", "1")
        threading.Thread(target=dribble, daemon=True).start()
        start = time.monotonic()
        with pytest.raises(HubUnreachableError, match=r"no answer within 1 s"):
            hub.locate("toys/tiny", "classify")
        assert time.monotonic() - start < 2


def test_nothing_is_asked_for_but_the_model(served: LoopbackHub) -> None:
    program = f"from visioncli.io import hub; print(hub.locate({ID!r}, 'classify').commit)"
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    said = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert said.stdout.split() == [NEW]
    assert [line for line in served.requests if ID not in line] == []


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
    with pytest.raises(ModelError, match=r"no \.safetensors weights at main, and pickled weights are never read"):
        hub.locate(ID, "classify")
    assert served.requests == [f"GET /api/models/{ID}/revision/main"]


@pytest.mark.usefixtures("unserved")
def test_an_endpoint_without_a_scheme_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "hub.example")
    with pytest.raises(ModelError, match=r"HF_ENDPOINT is 'hub\.example'; it must begin with http"):
        hub.locate("toys/tiny", "classify")


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
