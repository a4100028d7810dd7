"""Texts and pictures to vectors that fit an index: by the model that made it, decoded as its pictures were.

Loads a model only when there is something to embed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visioncli.errors import UsageError
from visioncli.search.index import space_of
from visioncli.search.query import Term


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """How the index's model is loaded here; what is None is taken from the index."""

    model: str | None = None  # needed where the index was made from a directory
    revision: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    offline: bool = False
    hailo: Any = None  # models.runtime.HailoRequest
    fetch: Any = None  # io.fetch.FetchOptions


def embedded(
    terms: Sequence[Term], facts: Mapping[str, Any], path: Path, request: ModelRequest
) -> dict[Term, NDArray[np.float64]]:
    """Return the vectors of texts and pictures.

    Raises UsageError where a picture cannot be read, or where the model is not the one that made the index: another
    model, revision, recipe, device's tower or dimension; ModelError, HubUnreachableError, DeviceError.
    """
    if not terms:
        return {}
    space = space_of(facts, path)
    _refuse_other_model(facts, path, request)
    predictor = _loaded(facts, path, request)
    _refuse_other_space(predictor.info, space, facts, path)
    found: dict[Term, NDArray[np.float64]] = {}
    for kind in ("text", "image"):
        some = [term for term in terms if term.kind == kind]
        found |= _answers(predictor, some, kind, facts, request) if some else {}
    return found


def _refuse_other_model(facts: Mapping[str, Any], path: Path, request: ModelRequest) -> None:
    """Before anything is loaded: a hub id that is plainly another."""
    from visioncli.io import hub

    if request.model is None or request.model == "demo" or request.model.startswith("demo/"):
        return
    if os.path.isdir(os.path.expanduser(request.model)):
        return
    name = hub.parse(request.model, request.revision)[0]
    if name != facts["model"]:
        raise UsageError(f"{path} was made by {facts['model']}, not by {name}: leave --model out")


def _loaded(facts: Mapping[str, Any], path: Path, request: ModelRequest) -> Any:
    from visioncli.pipeline import load

    model, revision = request.model or str(facts["model"]), request.revision
    commit = str(facts["commit"])
    if commit.startswith("files:"):
        if request.model is None and not model.startswith("demo"):
            raise UsageError(f"{path} was made by the directory {model}: say where it is with --model DIR")
    elif revision is None and "@" not in model:
        revision = commit
    return load(
        "embed",
        model,
        revision=revision,
        device=request.device,
        dtype=request.dtype,
        offline=request.offline,
        hailo=request.hailo,
    )


def _refuse_other_space(info: Any, space: str, facts: Mapping[str, Any], path: Path) -> None:
    if info.embedding_space != space:
        raise UsageError(
            f"{path} was made in the space {space}, and this model's is {info.embedding_space}: "
            "their vectors cannot be compared"
        )
    if info.dimension != facts["dimension"]:
        raise UsageError(
            f"{path} has vectors of {facts['dimension']} numbers, and {info.id} makes them of {info.dimension}"
        )


def _answers(
    predictor: Any, terms: Sequence[Term], kind: str, facts: Mapping[str, Any], request: ModelRequest
) -> dict[Term, NDArray[np.float64]]:
    from visioncli.pipeline import Settings, answer
    from visioncli.samples import Answer, Failure, ImageRef
    from visioncli.tasks.embed import EmbedOptions

    options = EmbedOptions(image=kind == "image", text_column="text" if kind == "text" else None)
    predictor.check(options)
    refs = [ImageRef(n, term.value, _uri(term), {"text": term.value}) for n, term in enumerate(terms)]
    settings = Settings(decode=_decoding(facts))
    if request.fetch is not None:
        settings = replace(settings, fetch=request.fetch)
    found = {}
    for term, outcome in zip(terms, answer(refs, predictor, options, settings), strict=True):
        if isinstance(outcome, Failure):
            raise UsageError(f"--{kind} {term.value}: {outcome.error} ({outcome.error.code})")
        assert isinstance(outcome, Answer)  # nothing is kept from an earlier answer
        found[term] = outcome.result.embedding.astype(np.float64)
    return found


def _uri(term: Term) -> bytes | None:
    from visioncli.io.fetch import is_remote

    if term.kind == "text":
        return None
    plain = os.fsencode(term.value)
    return plain if is_remote(plain) else os.path.abspath(plain)


def _decoding(facts: Mapping[str, Any]) -> Any:
    """As the index's pictures were decoded: what is behind transparent pixels, for one."""
    from visioncli.io.decode import DecodeOptions

    said = facts.get("key", {}).get("answers", {}).get("decode", {})
    known = {field.name for field in fields(DecodeOptions)}
    return DecodeOptions(**{name: value for name, value in said.items() if name in known})
