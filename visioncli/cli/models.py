"""`visioncli models list | pull | verify`: what can run here, fetch and pin it, check it."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from visioncli.cli.commands import Group, Helped
from visioncli.errors import ModelError
from visioncli.provenance import Checkpoint

if TYPE_CHECKING:
    from visioncli.io.hub_cache import Snapshot

models_app = typer.Typer(
    cls=Group, add_completion=False, help="What can run here: list it, fetch and pin it, check it."
)

Json = Annotated[bool, typer.Option("--json", help="One JSON object a line instead of text.")]
Revision = Annotated[
    str | None, typer.Option("--revision", metavar="REVISION", help="A branch, a tag or a commit; `main` by default.")
]


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of `models list`: what --model may name; `commit` and `size` (bytes) where it is on this machine."""

    name: str
    id: str
    tasks: tuple[str, ...]
    default_for: tuple[str, ...]
    family: str
    licence: str | None
    gated: bool
    commit: str | None
    size: int | None
    last_used: float | None  # seconds since 1970
    directory: str | None


@models_app.command("list", cls=Helped)
def list_models(as_json: Json = False) -> None:
    """List every model that --model may name: bundled, short names, and what else of their families is cached."""
    rows = listed()
    if as_json:
        for row in rows:
            print(json.dumps(asdict(row)))
        return
    table = [("NAME", "MODEL", "TASKS", "DEFAULT FOR", "LICENCE", "CACHED"), *map(_cells, rows)]
    for line in fitted(table, shutil.get_terminal_size().columns if sys.stdout.isatty() else None):
        print(line)


@models_app.command("pull", cls=Helped)
def pull_model(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A hub id (org/name) or a short name.")],
    revision: Revision = None,
    force: Annotated[bool, typer.Option("--force", help="Fetch files again that are there and right.")] = False,
) -> None:
    """Fetch a checkpoint from the hub, check every file's hash, and print `<id> <commit> <directory>`."""
    from visioncli.io import hub

    pulled = hub.pull(model, revision, force, say=_to_stderr).checkpoint
    if pulled.notice:
        _to_stderr(pulled.notice)
    print(f"{pulled.id} {pulled.commit} {pulled.directory}")


@models_app.command("verify", cls=Helped)
def verify_model(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A hub id, a short name, a directory, or demo.")],
    revision: Revision = None,
    as_json: Json = False,
) -> None:
    """Hash every file again and compare: ok, changed, missing, or unknown. Exit 1 if any differs; needs no network."""
    from visioncli.io import hub

    checks = []
    for check in hub.verify(model, revision):
        checks.append(check)
        line = json.dumps(asdict(check)) if as_json else f"{check.state:8}{check.sha256 or '-':66}{check.name}"
        print(line)
    if not any(check.state == "ok" for check in checks) and all(check.state == "unknown" for check in checks):
        _to_stderr(f"nothing on this machine says what the files of {model} should be: compare the hashes yourself")
    if any(check.state in ("changed", "missing") for check in checks):
        raise typer.Exit(1)


def listed() -> list[Listed]:
    """Return the bundled model, the short names, and other cached checkpoints of a family that this version runs."""
    from visioncli.io import hub
    from visioncli.io.licences import KNOWN

    cached = hub.cached()
    known = [_listed(one.name, one.id, one.tasks, one.family, _newest(one.id, cached)) for one in KNOWN]
    named = {one.id.lower() for one in KNOWN}
    others = [_other(one) for one in cached if one.id.lower() not in named]
    return [*_bundled(), *known, *(one for one in others if one)]


def _listed(name: str, hub_id: str, tasks: tuple[str, ...], family: str, snapshot: Snapshot | None) -> Listed:
    from visioncli.io import hub

    terms = hub.terms(hub_id, snapshot)
    here = (snapshot.commit, snapshot.size, snapshot.last_used, str(snapshot.directory)) if snapshot else (None,) * 4
    default_for = tuple(task for task, default in hub.DEFAULTS.items() if default == hub_id)
    return Listed(name, hub_id, tasks, default_for, family, terms.licence, terms.gated, *here)


def _newest(hub_id: str, cached: list[Snapshot]) -> Snapshot | None:
    """The one that `main` names, else the last one used."""
    mine = [one for one in cached if one.id.lower() == hub_id.lower()]
    return max(mine, key=lambda one: ("main" in one.refs, one.last_used), default=None)


def _other(snapshot: Snapshot) -> Listed | None:
    from visioncli.models import ANSWERS, family_of, read_config

    try:
        family = family_of(read_config(Checkpoint(snapshot.id, snapshot.directory, snapshot.commit)))
    except ModelError:
        return None
    return _listed(snapshot.id, snapshot.id, ANSWERS[family], family, snapshot) if family in ANSWERS else None


def _bundled() -> list[Listed]:
    """One line for each bundled checkpoint; `demo` by itself is the one for the task."""
    from visioncli.io import hub

    asked: dict[str, list[str]] = {}
    for kind, directory in hub.DEMOS.items():
        asked.setdefault(directory, []).append(kind)
    return [_demo(f"demo/{directory}", kinds) for directory, kinds in asked.items()]


def _demo(name: str, kinds: list[str]) -> Listed:
    from visioncli.io import hub
    from visioncli.models import ANSWERS, family_of

    demo = hub.locate(name, kinds[0])
    family = family_of(json.loads((demo.directory / "config.json").read_text())) or ""
    files = [path for path in demo.directory.iterdir() if path.is_file()]
    size, used = sum(path.stat().st_size for path in files), max(path.stat().st_atime for path in files)
    return Listed(
        name, name, ANSWERS[family], (), family, demo.licence, False, demo.commit, size, used, str(demo.directory)
    )


def _cells(row: Listed) -> tuple[str, ...]:
    where = "bundled" if row.name.startswith("demo/") else (row.commit or "")[:12]
    cached = f"{where}, {row.size / 1e6:.0f} MB" if row.size is not None else "no"
    licence = (row.licence or "unknown") + (", gated" if row.gated else "")
    model = "" if row.id == row.name else row.id
    return row.name, model, ",".join(row.tasks), ",".join(row.default_for), licence, cached


def fitted(table: list[tuple[str, ...]], width: int | None) -> list[str]:
    """Return a row a line, or on a terminal too narrow for that a cell a line; None: no terminal."""
    lines = aligned(table)
    return lines if width is None or max(map(len, lines)) <= width else list(_stacked(table))


def _stacked(table: list[tuple[str, ...]]) -> Iterator[str]:
    """Yield each row's first cell, and below it the others by their columns' names, without the empty ones."""
    (_, *heads), *rows = table
    for name, *cells in rows:
        yield name
        yield from (f"  {head.lower()}: {cell}" for head, cell in zip(heads, cells, strict=True) if cell)


def aligned(table: list[tuple[str, ...]]) -> list[str]:
    """Return one line a row, columns padded to their widest cell."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr)
