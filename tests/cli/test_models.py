from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.children import Ended
from tests.loopback_hub import FILES, NEEDED, NEW, OLD, LoopbackHub, Repository, live_here, loopback_hub, tiny
from tests.prompt import visioncli as prompt
from visioncli.cli.models import fitted, models_app
from visioncli.errors import HubUnreachableError, ModelError
from visioncli.io import hub

ID = "Toys/Tiny-SigLIP"


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    with loopback_hub(tiny()) as running:
        live_here(monkeypatch, tmp_path, running.endpoint)
        yield running


def ask(*arguments: str, exit_code: int = 0) -> tuple[list[str], str]:
    """Standard output's lines, and standard error."""
    result = CliRunner().invoke(models_app, arguments)
    assert result.exit_code == exit_code, result.output
    return result.stdout.splitlines(), result.stderr


def test_pull_prints_one_line_of_id_commit_and_directory(served: LoopbackHub, tmp_path: Path) -> None:
    said, notes = ask("pull", ID)
    assert said == [f"{ID} {NEW} {tmp_path}/hf/hub/models--Toys--Tiny-SigLIP/snapshots/{NEW}"]
    assert notes == f"fetching {ID} at {NEW[:12]}: 4 files, 0.0 MB\n"


def test_pull_again_fetches_nothing_unless_forced(served: LoopbackHub) -> None:
    first, _ = ask("pull", ID, "--revision", "v1")
    served.requests.clear()
    assert ask("pull", ID, "--revision", "v1") == (first, "")
    assert served.requests == [f"GET /api/models/{ID}/revision/v1"]
    ask("pull", ID, "--revision", "v1", "--force")
    fetched = [line for line in served.requests if line.startswith(f"GET /{ID}/resolve/{OLD}/")]
    assert len(fetched) == len(NEEDED)


def test_pull_announces_a_gate_on_standard_error(served: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    served.repositories[0].licence = "cc-by-nc-sa-4.0"
    assert ask("pull", ID)[1].splitlines()[1:] == [f"{ID} is for non-commercial use only (cc-by-nc-sa-4.0)"]


@pytest.mark.parametrize(("status", "error"), [(None, ModelError), (503, HubUnreachableError)])
def test_pull_raises_for_the_caller_to_translate(
    served: LoopbackHub, status: int | None, error: type[Exception]
) -> None:
    served.status = status
    result = CliRunner().invoke(models_app, ["pull", "toys/absent"])
    assert (type(result.exception), result.stdout) == (error, "")


def test_verify_prints_a_line_a_file_and_fails_when_one_differs(served: LoopbackHub) -> None:
    directory = hub.pull(ID).checkpoint.directory
    assert [line.split()[0] for line in ask("verify", ID)[0]] == ["ok"] * 4
    (directory / "config.json").write_bytes(FILES["config.json"] + b" ")
    said, _ = ask("verify", ID, exit_code=1)
    assert [(line.split()[0], line.split()[2]) for line in said] == [
        ("changed", "config.json"),
        ("ok", "model.safetensors"),
        ("ok", "preprocessor_config.json"),
        ("ok", "tokenizer.json"),
    ]


def test_verify_says_when_there_is_nothing_to_compare_with(served: LoopbackHub, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "model" / name).write_bytes(b"{}")
    said, notes = ask("verify", str(tmp_path / "model"), "--json")
    sha256 = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"  # printf '{}' | sha256sum
    names = ("config.json", "model.safetensors")
    assert list(map(json.loads, said)) == [{"name": name, "state": "unknown", "sha256": sha256} for name in names]
    assert notes.startswith("nothing on this machine says what the files of")


@pytest.mark.parametrize("names", [[], ["a.jpg"], ["config.json"], ["model.safetensors"], ["config.json", "x.bin"]])
def test_verify_refuses_a_folder_that_is_no_checkpoint(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"{}")
    said = f"visioncli: {tmp_path} is no checkpoint: it must hold config.json and .safetensors weights\n"
    assert prompt("models", "verify", tmp_path) == Ended(1, "", said)


def test_list_names_demo_the_short_names_and_the_default(served: LoopbackHub) -> None:
    said, _ = ask("list")
    rows = {line.split()[0]: line for line in said}
    bundled = [f"demo/{name}" for name in ("siglip", "dinov3", "sam3", "grounding_dino", "depth_anything3")]
    assert list(rows) == ["NAME", *bundled, *hub.ALIASES]
    assert all("bundled" in rows[name] for name in bundled)
    assert [name for name, line in rows.items() if "classify,embed  classify,embed" in line] == [
        "siglip2-base-patch16-224"
    ]
    assert len(served.requests) == 0


def test_list_shows_what_is_cached_and_can_run_and_nothing_else(served: LoopbackHub) -> None:
    files = FILES | {"config.json": b'{"model_type": "bert"}'}
    served.repositories += [tiny("openai/clip-vit-base-patch32"), Repository("toys/bert", {NEW: files}, {"main": NEW})]
    for hub_id in (ID, "toys/bert", "clip-vit-base-patch32"):
        hub.pull(hub_id)
    rows = [json.loads(line) for line in ask("list", "--json")[0]]
    cached = [(row["name"], row["id"], row["family"], row["commit"], row["size"]) for row in rows if row["commit"]][5:]
    size = sum(len(FILES[name]) for name in NEEDED)
    assert cached == [
        ("clip-vit-base-patch32", "openai/clip-vit-base-patch32", "clip", NEW, size),
        (ID, ID, "siglip", NEW, size),
    ]


TABLE = [("NAME", "DEFAULT FOR", "CACHED"), ("a/one", "", "no"), ("two", "embed", "3 MB")]
WIDE = ["NAME   DEFAULT FOR  CACHED", "a/one               no", "two    embed        3 MB"]
NARROW = ["a/one", "  cached: no", "two", "  default for: embed", "  cached: 3 MB"]


@pytest.mark.parametrize(("width", "lines"), [(None, WIDE), (200, WIDE), (26, WIDE), (25, NARROW), (10, NARROW)])
def test_a_table_that_is_wider_than_its_terminal_has_a_cell_a_line(width: int | None, lines: list[str]) -> None:
    assert fitted(TABLE, width) == lines
