"""What a person types after --model: a hub id, an alias, a directory, or one of the bundled checkpoints.

Knows nothing of what is on the hub or in a cache.
"""

from __future__ import annotations

import re
from pathlib import Path

from visioncli.errors import ModelError, UsageError
from visioncli.io.licences import ALIASES, DEFAULT_COMMITS

DEMOS = {  # what is asked for, as in DEFAULTS -> directory under visioncli/models/demo
    "classify": "siglip",
    "embed": "siglip",
    "features": "dinov3",
    "segment": "sam3",
    "detect": "grounding_dino",
    "depth": "depth_anything3",
}
DEMO_ROOT = Path(__file__).parents[1] / "models" / "demo"
_ID = re.compile(r"[\w.-]+/[\w.-]+")
_REVISION = re.compile(r"(?!/)(?!.*\.\.)[\w./-]+")


def parse(model: str, revision: str | None = None) -> tuple[str, str]:
    """Split an alias or hub id with an optional `@revision` into hub id and revision, `main` by default."""
    name, _, given = model.partition("@")
    if given and revision and given != revision:
        raise UsageError(f"{model!r} and --revision {revision} name two revisions; give one")
    hub_id = ALIASES.get(name.lower(), name)
    if not _ID.fullmatch(hub_id):
        raise ModelError(
            f"no model {model!r}: give a hub id (org/name), a directory, demo, or one of {', '.join(sorted(ALIASES))}"
        )
    wanted = given or revision or DEFAULT_COMMITS.get(hub_id) or "main"
    if not _REVISION.fullmatch(wanted):
        raise UsageError(f"{wanted!r} is no revision: give a branch, a tag or a commit")
    return hub_id, wanted


def local_directory(model: str, task: str) -> Path | None:
    """Return the directory on this machine that `model` names; None for what only a hub can have. Raises ModelError."""
    if model == "demo":
        if task not in DEMOS:
            raise ModelError(f"no demo model is bundled for {task}; known: {', '.join(sorted(DEMOS))}")
        return DEMO_ROOT / DEMOS[task]
    path = Path(model).expanduser()
    bundled = model.removeprefix("demo/")
    if bundled in DEMOS.values() and bundled != model:
        return DEMO_ROOT / bundled
    if path.is_dir():
        return path.resolve()
    if bundled != model:
        raise ModelError(f"no bundled model {model!r}; known: {', '.join(f'demo/{name}' for name in _bundled())}")
    if path.is_file():
        raise ModelError(f"{model} is a file; --model takes the directory that holds it")
    if model.startswith(("/", "./", "../", "~")) or "\\" in model:
        raise ModelError(f"there is no directory {model}")
    return None


def _bundled() -> list[str]:
    return sorted(set(DEMOS.values()))


def refuse_revision(model: str, revision: str | None) -> None:
    """Raise UsageError for a revision of a directory."""
    if revision:
        raise UsageError(f"--revision {revision} goes with a hub id, and {model!r} is a directory on this machine")


def shadow_notice(model: str) -> str | None:
    """Return what to say of a directory that has the name of a hub id or an alias."""
    hidden = model in ALIASES or (_ID.fullmatch(model) and not model.startswith("."))
    return f"{model} is read from the directory of that name here, not from the hub" if hidden else None
