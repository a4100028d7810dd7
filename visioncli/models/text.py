"""Texts to token ids, as each family's text tower was trained on them.

    siglip   lower case, ASCII punctuation removed, blanks collapsed; pieces, </s>; padded with </s> (c4_en vocabulary)
    gemma    lower case; pieces, <eos>; padded with <pad> (SigLIP 2)
    clip     <|startoftext|>, pieces, <|endoftext|>; padded with <|endoftext|>
    plain    as siglip, but whatever cleaning there is stands in tokenizer.json

Always padded on the right to the model's length, because SigLIP pools the last position whatever stands there; a longer
text keeps its end mark. `tokenizers` reads tokenizer.json, `sentencepiece` a lone SentencePiece model; both are safe to
call from several threads. Which recipe applies is derived from the checkpoint's files. Knows nothing of models.

Two deviations from transformers' tokenizers. A text that contains a mark literally ("</s>") is punctuation like any
other here, as in big_vision, and does not end the text. Of a text no more than LONGEST characters are looked at: the
models read 32 to 77 pieces, and cutting ten million characters into all their pieces takes half a minute and gigabytes.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visioncli.errors import ModelError
from visioncli.models.weights import read_json
from visioncli.provenance import Checkpoint

LONGEST = 10_000  # characters; a hundred for each piece that is read
_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True, slots=True)
class Convention:
    """The marks are defaults: tokenizer_config.json may name others."""

    clean: Callable[[str], str]
    start: str | None
    end: str
    pad: str


@dataclass(frozen=True, slots=True)
class TextRecipe:
    """One checkpoint's way from a text to ids."""

    clean: Callable[[str], str]
    pieces: Callable[[str], list[int]]  # without start and end mark
    start: tuple[int, ...]  # ids
    end: int
    pad: int
    length: int

    def read(self, text: str) -> list[int]:
        """Return the ids of as many of the text's pieces as there is room for between the marks."""
        return self.pieces(self.clean(text[:LONGEST]))[: self.length - 1 - len(self.start)]

    def ids(self, text: str) -> NDArray[np.int64]:
        """(length,) token ids."""
        pieces = self.read(text)
        ids = np.full(self.length, self.pad, np.int64)
        ids[: len(self.start) + len(pieces) + 1] = (*self.start, *pieces, self.end)
        return ids


def canonical(text: str) -> str:
    """big_vision's canonicalize_text (prompt_engineering.py), which SigLIP was evaluated with."""
    # A text's own U+2581 is a blank to the vocabulary.
    return re.sub(r"\s+", " ", text.replace("\u2581", " ").lower().translate(_PUNCTUATION)).strip()


CONVENTIONS = {
    "siglip": Convention(canonical, None, "</s>", "</s>"),
    "gemma": Convention(str.lower, None, "<eos>", "<pad>"),
    "clip": Convention(str, "<|startoftext|>", "<|endoftext|>", "<|endoftext|>"),
    "plain": Convention(str, None, "</s>", "</s>"),
}
CLASSES = {  # `tokenizer_class` of tokenizer_config.json
    "SiglipTokenizer": "siglip",
    "GemmaTokenizer": "gemma",
    "Siglip2Tokenizer": "gemma",
    "CLIPTokenizer": "clip",
}


def text_recipe(checkpoint: Checkpoint, length: int) -> TextRecipe:
    """Read a checkpoint's tokenizer files; `length` is what the text tower has positions for.

    Raises ModelError where there are none, or none that fit a known convention.
    """
    config = read_json(checkpoint, "tokenizer_config.json", {})
    declared = config.get("tokenizer_class") or ""
    name = CLASSES.get(declared.removesuffix("Fast"))
    pieces, id_of = _vocabulary(checkpoint, name)
    convention = CONVENTIONS[name or _by_end_mark(checkpoint, id_of, bool(declared))]

    def need(key: str, default: str) -> int:
        mark = config.get(key) or default
        mark = mark["content"] if isinstance(mark, dict) else mark  # the older, longer form
        found = id_of(mark)
        if found is None:
            raise ModelError(f"the tokenizer of {checkpoint.id} has no {mark}")
        return found

    start = () if convention.start is None else (need("bos_token", convention.start),)
    end, pad = need("eos_token", convention.end), need("pad_token", convention.pad)
    return TextRecipe(convention.clean, pieces, start, end, pad, length)


Vocabulary = tuple[Callable[[str], list[int]], Callable[[str], int | None]]


def _by_end_mark(checkpoint: Checkpoint, id_of: Callable[[str], int | None], declared: bool) -> str:
    """A class that was declared but says nothing ("PreTrainedTokenizerFast") adds no cleaning of its own."""
    names = {"<eos>": "gemma", "<|endoftext|>": "clip", "</s>": "plain" if declared else "siglip"}
    for mark, name in names.items():
        if id_of(mark) is not None:
            return name
    raise ModelError(f"the tokenizer of {checkpoint.id} follows no known convention: {', '.join(CONVENTIONS)}")


def _vocabulary(checkpoint: Checkpoint, name: str | None) -> Vocabulary:
    """The reader of the first file that is there. SigLIP's SentencePiece model is the original, its tokenizer.json a
    conversion; Gemma's and CLIP's tokenizer.json is what transformers reads."""
    directory = checkpoint.directory
    models = [path for path in (directory / "spiece.model", directory / "tokenizer.model") if path.is_file()]
    converted = directory / "tokenizer.json"
    if models and (name == "siglip" or not converted.is_file()):
        return _sentencepiece(models[0])
    if converted.is_file():
        return _tokenizers(converted)
    if (directory / "vocab.json").is_file() and (directory / "merges.txt").is_file():
        return _clip_files(directory)
    raise ModelError(
        f"{checkpoint.id} has no tokenizer: no tokenizer.json, spiece.model, tokenizer.model or vocab.json"
    )


def _sentencepiece(path: Path) -> Vocabulary:
    from sentencepiece import SentencePieceProcessor

    try:
        model = SentencePieceProcessor(model_file=str(path))
    except (RuntimeError, OSError) as error:
        raise ModelError(f"{path.name} is not a SentencePiece model: {error}") from error

    def id_of(mark: str) -> int | None:
        found = int(model.piece_to_id(mark))
        return None if model.id_to_piece(found) != mark else found

    return lambda text: list(model.encode(text)), id_of


def _tokenizers(path: Path) -> Vocabulary:
    from tokenizers import Tokenizer

    try:
        return _fast(Tokenizer.from_buffer(path.read_bytes()))  # from_file raises a bare Exception
    except (ValueError, OSError) as error:
        raise ModelError(f"{path.name} is not a tokenizer: {error}") from error


def _clip_files(directory: Path) -> Vocabulary:
    """vocab.json and merges.txt, with the normalisation that transformers' CLIPTokenizer puts around them."""
    from transformers import CLIPTokenizer

    try:
        return _fast(CLIPTokenizer.from_pretrained(directory, local_files_only=True).backend_tokenizer)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"vocab.json and merges.txt are not CLIP's: {error}") from error


def _fast(tokenizer: Any) -> Vocabulary:
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return lambda text: list(tokenizer.encode(text, add_special_tokens=False).ids), tokenizer.token_to_id
