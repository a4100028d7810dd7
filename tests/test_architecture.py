"""Imports point down only, heavy libraries stay in their rooms, and the house's page is true."""

import ast
import re
from pathlib import Path

import pytest

import visioncli

PACKAGE = Path(visioncli.__file__).parent
FLOORS = [  # lowest first; a room may import from its own package and from lower floors
    {"errors", "samples", "tables", "provenance", "engines", "meter", "wording"},
    {"tasks"},
    {"models", "io"},
    {"pipeline", "flow", "ledger", "batching", "reading", "recent", "row", "settings", "allowance", "parity", "search"},
    {"jobs", "report", "server"},
    {"cli"},
]
ROOMS = {
    "torch": {"models"},
    "transformers": {"models"},
    "typer": {"cli"},
    "aiohttp": {"io"},
    "fastapi": {"server"},
    "starlette": {"server"},
    "uvicorn": {"server"},
    "orjson": {"server"},
    "prometheus_client": {"server"},
    "huggingface_hub": {"io"},
    "jinja2": {"report"},
    "usearch": {"search"},
    "numkong": {"search"},
}
MODULES = sorted(
    path for path in PACKAGE.rglob("*.py") if path.name != "__main__.py" and path.parent != PACKAGE / "demo"
)


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def floor_of(room: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def name_of(path: Path) -> str:
    parts = ("visioncli", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [
                f"{node.module}.{alias.name}" if node.module == "visioncli" else node.module for alias in node.names
            ]
    return found


@pytest.mark.parametrize("path", [path for path in MODULES if path != PACKAGE / "__init__.py"], ids=name_of)
def test_imports_point_down_only(path: Path) -> None:
    room = room_of(name_of(path))
    for module in imports(path):
        if module.startswith("visioncli."):
            other = room_of(module)
            same_package = other == room
            closed = ("models", "io", "jobs", "report", "search", "server")
            flat = floor_of(room) == floor_of(other) and other not in closed
            assert same_package or flat or floor_of(other) < floor_of(room), f"{name_of(path)} imports {module}"


@pytest.mark.parametrize("library", ROOMS)
def test_heavy_libraries_stay_in_their_rooms(library: str) -> None:
    users = {room_of(name_of(path)) for path in MODULES if library in {name.split(".")[0] for name in imports(path)}}
    assert users <= ROOMS[library]


def test_the_architecture_page_names_every_room() -> None:
    page = (PACKAGE / "ARCHITECTURE.md").read_text()
    for room in set().union(*FLOORS):
        assert re.search(rf"\b{room}(\.py|/)", page), room


def test_nothing_is_raised_or_recorded_under_an_unknown_code() -> None:
    from visioncli.errors import CODES

    used = set()
    for path in MODULES:
        used |= set(re.findall(r"(?:Fetch|Decode|Predict|Source)Error\(\s*\"([a-z_0-9]+)\"", path.read_text()))
    assert used - set(CODES) == set()
    assert len(used) > 15
