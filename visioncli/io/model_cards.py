"""What a checkpoint's own files say of its licence: its model card, and the name of a Depth Anything 3 in config.json.

Knows nothing of the hub.
"""

from __future__ import annotations

import json
from pathlib import Path

from visioncli.io.licences import Terms, terms_of


def terms_in(directory: Path) -> Terms:
    """Return the licence that a checkpoint's directory names; none where it names none."""
    named = _card_licence(directory)
    known = terms_of(f"depth-anything/{_model_name(directory)}")  # DA3's config.json names the published model
    if known is not None:
        return Terms(named or known.licence, non_commercial=known.non_commercial or is_non_commercial(named))
    return Terms(named, non_commercial=is_non_commercial(named))


def is_non_commercial(licence: str | None) -> bool:
    """Whether a licence's identifier or name says so: `cc-by-nc-4.0`, `apple-amlr-nc`."""
    return "-nc" in (licence or "").lower()


def _card_licence(directory: Path) -> str | None:
    from huggingface_hub import ModelCard
    from yaml import YAMLError

    try:
        data = ModelCard((directory / "README.md").read_text(encoding="utf-8")).data
    except (OSError, ValueError, TypeError, YAMLError):  # no card, or one whose head is no YAML: nothing is said
        return None
    licence = data.get("license")
    return (
        str(data.get("license_name") or licence) if licence == "other" else licence if licence is None else str(licence)
    )


def _model_name(directory: Path) -> str:
    try:
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(config.get("model_name", "")) if isinstance(config, dict) else ""
