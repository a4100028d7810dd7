"""What a Hugging Face endpoint is asked: its four modes, how one is detected, and the hub's pipeline tasks.

Sources: hf-endpoint-siglip2.md, Modes 1 to 4 and Auto-Detection Logic. Knows nothing of HTTP.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from visioncli.errors import UsageError
from visioncli.server.dialects.label_lists import Scores, best_first, distinct, in_places, softmax, split
from visioncli.server.dialects.picture_lists import read_pictures
from visioncli.server.limits import MOST_PICTURES, MOST_SCORES, MOST_TEXTS, brief, in_turn, refuse_many
from visioncli.server.payloads import Picture, Text
from visioncli.server.service import Service
from visioncli.tasks.classify import ClassifyOptions, Labelled
from visioncli.tasks.embed import EmbedOptions

NAME = "hf-endpoint"
SHORT_TEXT = 500  # characters; a text is shorter: hf-endpoint-siglip2.md, Auto-Detection Logic
NO_TEXTS = ("http", "data:")  # what begins so is an image
IMAGES, TEXTS = ("images", "image"), ("texts", "text")  # keys of `inputs`; the first that is there counts
MEANT = {  # options of feature-extraction that can be kept only so
    "prompt_name": (None,),
    "dimensions": (None,),
    "encoding_format": (None, "float"),
    "truncation_direction": (None, "right", "Right"),
}


@dataclass(frozen=True, slots=True)
class Question:
    """One request's body."""

    inputs: Any  # JSON, or a Picture where the body was one
    parameters: Mapping[str, Any]
    root: Mapping[str, Any] = field(default_factory=dict)  # the whole body: feature-extraction's options stand there


class Ask(Protocol):
    """One way to answer; its name names the operation in the OpenAPI."""

    __name__: str

    def __call__(self, service: Service, question: Question) -> Coroutine[Any, Any, Any]: ...


async def answer(service: Service, question: Question) -> Any:
    """Answer in the mode that is named, or else detected. Raises UsageError, RowError and what `ask` raises."""
    _refuse_long(question.inputs, MOST_TEXTS, "inputs")
    mode = question.parameters.get("mode")
    if mode is None:
        mode = detect(question, is_original=_is_original(service))
    if not isinstance(mode, str) or mode not in MODES:
        raise UsageError(f"Unknown mode: {brief(mode)}. Supported: {', '.join(MODES)}")
    return await MODES[mode](service, question)


def detect(question: Question, *, is_original: bool = False) -> str:
    """Return the key of MODES that the document's rules, in their order, see in a question."""
    inputs = question.inputs
    if isinstance(inputs, dict) and _has(inputs, IMAGES) and (is_original or _has(inputs, TEXTS)):
        return "similarity"
    if question.parameters.get("candidate_labels") is not None:
        return "zero_shot"
    texts = [inputs] if is_original else inputs
    if isinstance(inputs, list):
        texts = inputs
    if isinstance(texts, list) and all(_is_short_text(text) for text in texts):
        return "text_embedding"
    return "image_embedding"


async def zero_shot(service: Service, question: Question) -> list[Any]:
    """One picture: its labels, best first. A list of pictures: a list of such lists."""
    labels, top_k = _labels(question.parameters), _top_k(question.parameters)
    given, is_alone = _listed(question.inputs)
    is_original = _is_original(service)
    scoring = "cosine" if is_original else "softmax"
    options = ClassifyOptions(distinct(labels), (_template(question.parameters),), scoring)
    count = len(given) * len(labels)
    refuse_many(count, MOST_SCORES, "scores")
    found = await service.ask(NAME, "classify", await _pictures(service, given), options)
    rows = await in_turn(count, lambda: [_ranked(labels, _shares(labels, each, scoring))[:top_k] for each in found])
    return rows[0] if is_alone or (is_original and len(rows) == 1) else rows


async def image_embedding(service: Service, question: Question) -> list[dict[str, Any]]:
    given, _ = _listed(question.inputs)
    found = await service.ask(NAME, "embed", await _pictures(service, given), EmbedOptions())
    return [{"embedding": each.embedding} for each in found]


async def text_embedding(service: Service, question: Question) -> list[dict[str, Any]]:
    texts = question.inputs if isinstance(question.inputs, list) else [question.inputs]
    return [{"embedding": vector} for vector in await _text_vectors(service, texts)]


async def similarity(service: Service, question: Question) -> dict[str, Any]:
    """Cosines of every picture with every text."""
    inputs = question.inputs
    if not isinstance(inputs, dict) or not _has(inputs, IMAGES) or not _has(inputs, TEXTS):
        raise UsageError("similarity needs inputs with image or images, and text or texts")
    given = _many(inputs, IMAGES, MOST_PICTURES)
    texts = [_text(each) for each in _many(inputs, TEXTS, MOST_TEXTS)]
    refuse_many(len(given) * len(texts), MOST_SCORES, "scores")
    options = ClassifyOptions(distinct(texts), scoring="cosine") if texts else None
    pictures = await _pictures(service, given)
    found = await service.ask(NAME, "classify", pictures, options) if options else []
    rows = await in_turn(len(given) * len(texts), lambda: [in_places(texts, each).astype(np.float32) for each in found])
    return {"similarity_scores": rows or [[] for _ in given], "image_count": len(given), "text_count": len(texts)}


MODES: dict[str, Ask] = {
    "zero_shot": zero_shot,
    "image_embedding": image_embedding,
    "text_embedding": text_embedding,
    "similarity": similarity,
}


async def feature_extraction(service: Service, question: Question) -> list[NDArray[np.float32]]:
    """One vector per text, or one of the picture that is the body. `normalize` false leaves them as they are."""
    options = {**question.parameters, **question.root}
    for name, allowed in MEANT.items():
        if options.get(name) not in allowed:
            raise UsageError(f"{name} {brief(options[name])!r} is not supported")
    normalize = options.get("normalize") is not False
    if isinstance(question.inputs, Picture):
        found = await service.ask(NAME, "embed", [question.inputs], EmbedOptions(normalize))
        return [each.embedding for each in found]
    texts = question.inputs if isinstance(question.inputs, list) else [question.inputs]
    return await _text_vectors(service, texts, normalize)


async def sentence_similarity(service: Service, question: Question) -> list[float]:
    """Cosines of one text with others."""
    inputs = question.inputs
    if not isinstance(inputs, dict) or not isinstance(inputs.get("sentences"), list):
        raise UsageError("sentence-similarity needs inputs with source_sentence and sentences")
    _refuse_long(inputs["sentences"], MOST_TEXTS - 1, "sentences")
    vectors = await _text_vectors(service, [inputs.get("source_sentence"), *inputs["sentences"]])
    source, *others = (vector.astype(np.float64) for vector in vectors)
    return [float(source @ other) for other in others]


PIPELINES: dict[str, Ask] = {
    "feature-extraction": feature_extraction,
    "sentence-similarity": sentence_similarity,
    "zero-shot-image-classification": zero_shot,
}


def _is_original(service: Service) -> bool:
    return service.settings.fidelity == "original"


def _has(inputs: Mapping[str, Any], keys: Sequence[str]) -> bool:
    return any(key in inputs for key in keys)


def _is_short_text(text: Any) -> bool:
    return isinstance(text, str) and len(text) < SHORT_TEXT and not text.startswith(NO_TEXTS)


def _listed(inputs: Any) -> tuple[list[Any], bool]:
    """Return the images of `inputs`, and whether it was one alone."""
    if isinstance(inputs, dict) and _has(inputs, IMAGES):
        inputs = inputs.get("images", inputs.get("image"))
    _refuse_long(inputs, MOST_PICTURES, "pictures")
    return (inputs, False) if isinstance(inputs, list) else ([inputs], True)


def _many(inputs: Mapping[str, Any], keys: Sequence[str], most: int) -> list[Any]:
    """Return what stands under the first of the keys that is there; one thing alone as a list."""
    given = next(inputs[key] for key in keys if key in inputs)
    _refuse_long(given, most, keys[0])
    return given if isinstance(given, list) else [given]


async def _pictures(service: Service, given: Sequence[Any]) -> list[Picture]:
    if len(given) == 1 and isinstance(given[0], Picture):
        return [given[0]]
    return await read_pictures(service.payloads(NAME).picture, [_image(each) for each in given])


def _image(given: Any) -> str:
    """Python's name of the type, as the document has it."""
    if isinstance(given, dict) and "image" in given:
        given = given["image"]
    if not isinstance(given, str):
        raise UsageError(f"Unsupported image input type: {type(given)}")
    return given


def _text(given: Any) -> str:
    if not isinstance(given, str):
        raise UsageError(f"Unsupported text input type: {type(given)}")
    return given


async def _text_vectors(service: Service, given: Sequence[Any], normalize: bool = True) -> list[NDArray[np.float32]]:
    _refuse_long(given, MOST_TEXTS, "texts")
    texts = [_text(each) for each in given]
    if not all(text.strip() for text in texts):
        raise UsageError("a text is empty")
    options = EmbedOptions(normalize, image=False, text_column="text")
    return [each.embedding for each in await service.ask(NAME, "embed", [Text(text) for text in texts], options)]


def _labels(parameters: Mapping[str, Any]) -> list[str]:
    given = parameters.get("candidate_labels")
    if isinstance(given, str):
        given = split(given)
    _refuse_long(given, MOST_TEXTS, "labels")
    if given is None or given == []:
        raise UsageError("candidate_labels is required for zero-shot classification")
    if not isinstance(given, list) or not all(isinstance(label, str) for label in given):
        raise UsageError("candidate_labels must be a list of strings")
    return given


def _top_k(parameters: Mapping[str, Any]) -> int | None:
    top_k = parameters.get("top_k")
    if top_k is not None and (isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1):
        raise UsageError("top_k must be a whole number from 1")
    return top_k


def _template(parameters: Mapping[str, Any]) -> str:
    template = parameters.get("hypothesis_template")
    if template is None:
        return "{}"
    if not isinstance(template, str):
        raise UsageError("hypothesis_template must be a string")
    if len(template) > SHORT_TEXT:
        raise UsageError(f"hypothesis_template has more than {SHORT_TEXT} characters")
    return template


def _refuse_long(given: Any, most: int, what: str) -> None:
    if isinstance(given, list):
        refuse_many(len(given), most, what)


def _shares(labels: Sequence[str], found: Labelled, scoring: str) -> Scores:
    """Scores that sum to 1 over the places of the list."""
    scores = in_places(labels, found)
    return scores / scores.sum() if scoring == "softmax" else softmax(scores)


def _ranked(labels: Sequence[str], scores: Scores) -> list[dict[str, Any]]:
    return [{"label": labels[place], "score": np.float32(scores[place])} for place in best_first(scores)]
