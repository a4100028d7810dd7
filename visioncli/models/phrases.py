"""Prompts -> texts for Grounding DINO, with every prompt's own tokens in them; tokens -> the phrase they spell.

A text is `[CLS] a cat . traffic light . [SEP]`: lower case, a dot after each prompt. The model ends a phrase wherever
`.` or `?` stands, so inside a prompt these two are left out: "St. Bernard" is read as "st bernard" and stays one
phrase. Each prompt is cut into word pieces by itself, so its place in the text is known by construction; as BERT cuts
at every punctuation mark, the ids are those of the whole text cut at once. Knows nothing of pictures or scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visioncli.errors import ModelError, UsageError
from visioncli.models.text import LONGEST
from visioncli.models.weights import read_json
from visioncli.provenance import Checkpoint

# Built into the model by id, whatever the vocabulary says: SPECIAL_TOKENS of transformers' modeling_grounding_dino.
MARKS = {"[CLS]": 101, "[SEP]": 102, ".": 1012, "?": 1029}
START, END, STOP = MARKS["[CLS]"], MARKS["[SEP]"], MARKS["."]
UNKNOWN = "[UNK]"
PROMPT_LISTS = 32  # as many different lists of prompts stay ready


@dataclass(frozen=True, slots=True, eq=False)
class Text:
    """Some of the prompts, one after the other, for one pass."""

    prompts: tuple[str, ...]  # as they were given
    ids: NDArray[np.int64]  # (L,) token ids
    spans: tuple[tuple[int, int], ...]  # a prompt's first token, and the one after its last


@dataclass(frozen=True, slots=True, eq=False)
class Phrases:
    """One checkpoint's way from prompts to texts and from tokens back to words. Safe to call from several threads."""

    pieces: Callable[[str], list[int]]  # lower-case words -> token ids
    words: Callable[[list[int]], str]  # token ids -> words
    unknown: int | None  # the id that stands for whatever the vocabulary lacks
    length: int  # tokens of a text, at most
    longest: int  # word pieces of one prompt, at most
    model: str  # named in sentences

    def texts(self, prompts: tuple[str, ...]) -> tuple[Text, ...]:
        """Return as many texts as the prompts need, whole prompts in their order, each text as full as it gets.

        Raises UsageError for a prompt that is too long, of no word the model knows, or read the same as another.
        """
        return _texts(self, prompts)

    def spoken(self, ids: NDArray[np.int64], tokens: NDArray[np.bool_]) -> str:
        """Return the words of those `ids` (L,) that `tokens` (L,) marks; as in transformers, the first never counts.

        Nor does the last of the longest text there is: get_phrases_from_posmap, processing_grounding_dino.
        """
        return self.words([int(ids[place]) for place in np.flatnonzero(tokens) if 0 < place < self.length - 1])


@lru_cache(PROMPT_LISTS)
def _texts(phrases: Phrases, prompts: tuple[str, ...]) -> tuple[Text, ...]:
    read = [_read(phrases, prompt) for prompt in prompts]
    _refuse_alike(phrases, prompts, read)
    filled: list[list[int]] = [[]]  # the places of the prompts in each text
    free = phrases.length - 2  # [CLS] and [SEP]
    for place, pieces in enumerate(read):
        if len(pieces) + 1 > free:
            filled.append([])
            free = phrases.length - 2
        filled[-1].append(place)
        free -= len(pieces) + 1
    return tuple(_text([prompts[place] for place in some], [read[place] for place in some]) for some in filled)


def _read(phrases: Phrases, prompt: str) -> list[int]:
    if len(prompt) > LONGEST:
        raise UsageError(
            f"the prompt {_shown(prompt)} has {len(prompt)} characters, more than the {LONGEST} that are looked at"
        )
    pieces = [piece for piece in phrases.pieces(prompt.lower()) if piece not in MARKS.values()]
    if all(piece == phrases.unknown for piece in pieces):
        raise UsageError(f"there is no word in the prompt {_shown(prompt)} that {phrases.model} knows")
    if len(pieces) > phrases.longest:
        raise UsageError(
            f"the prompt {_shown(prompt)} has {len(pieces)} word pieces, more than the {phrases.longest} "
            f"that {phrases.model} can read at once"
        )
    return pieces


def _refuse_alike(phrases: Phrases, prompts: Sequence[str], read: Iterable[list[int]]) -> None:
    known: dict[tuple[int, ...], str] = {}
    for prompt, pieces in zip(prompts, read, strict=True):
        other = known.setdefault(tuple(pieces), prompt)
        if other != prompt:
            both = f"{_shown(other)} and {_shown(prompt)}"
            raise UsageError(f"{phrases.model} reads the prompts {both} as the same words")


def _shown(prompt: str) -> str:
    return repr(f"{prompt[:40]}…" if len(prompt) > 40 else prompt)


def _text(prompts: Sequence[str], read: Iterable[list[int]]) -> Text:
    ids, spans = [START], []
    for pieces in read:
        spans.append((len(ids), len(ids) + len(pieces)))
        ids += [*pieces, STOP]
    return Text(tuple(prompts), np.array([*ids, END], np.int64), tuple(spans))


def phrases_from(checkpoint: Checkpoint, length: int, positions: int) -> Phrases:
    """Read tokenizer.json, or vocab.txt where that is absent.

    `length` is that of a whole text, `positions` that of a phrase with its dot, from which the model counts anew.
    Raises ModelError where there is none, or where it has the model's marks at other ids.
    """
    tokenizer = _tokenizer(checkpoint)
    for mark, wanted in MARKS.items():
        if tokenizer.token_to_id(mark) != wanted:
            raise ModelError(
                f"the tokenizer of {checkpoint.id} does not have {mark} at {wanted}, where the model looks"
            )
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = True  # a mark that a prompt spells out is text like any other
    return Phrases(
        pieces=lambda text: list(tokenizer.encode(text, add_special_tokens=False).ids),
        words=lambda ids: str(tokenizer.decode(ids, skip_special_tokens=False)),
        unknown=tokenizer.token_to_id(UNKNOWN),
        length=length,
        longest=min(length - 2, positions) - 1,  # its dot
        model=checkpoint.id,
    )


def _tokenizer(checkpoint: Checkpoint) -> Any:
    from tokenizers import Tokenizer

    path = checkpoint.directory / "tokenizer.json"
    if not path.is_file():
        return _from_vocabulary(checkpoint)
    try:
        return Tokenizer.from_buffer(path.read_bytes())  # from_file raises a bare Exception
    except (ValueError, OSError) as error:
        raise ModelError(f"tokenizer.json of {checkpoint.id} is not a tokenizer: {error}") from error


def _from_vocabulary(checkpoint: Checkpoint) -> Any:
    """vocab.txt, one word piece a line, with the cutting that transformers' BertTokenizer puts around it."""
    from transformers import BertTokenizer

    path = checkpoint.directory / "vocab.txt"
    try:
        pieces = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")  # other line ends are pieces
    except OSError as error:
        raise ModelError(f"{checkpoint.id} has no tokenizer: no tokenizer.json or vocab.txt") from error
    except ValueError as error:
        raise ModelError(f"vocab.txt of {checkpoint.id} is not text: {error}") from error
    lower = read_json(checkpoint, "tokenizer_config.json", {}).get("do_lower_case", True)
    return BertTokenizer(vocab={piece: id_ for id_, piece in enumerate(pieces)}, do_lower_case=lower).backend_tokenizer
