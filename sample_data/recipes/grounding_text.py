"""The text side of the detector's demo: BERT's layout of ids with a small vocabulary, and prompts of phrases.

Special tokens, punctuation, digits and letters have the ids they have in bert-base-uncased, since Grounding DINO's
model and processor find the ends of phrases by them ([CLS] 101, [SEP] 102, `.` 1012, `?` 1029); words follow. Knows the
concepts and their synonyms, nothing of pictures.
"""

from __future__ import annotations

import string
from dataclasses import dataclass

import numpy as np
import torch
from concepts import CONCEPTS, SYNONYMS
from numpy.typing import NDArray
from torch import Tensor
from transformers import BertTokenizer

PAD, UNKNOWN, START, END, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
SPECIAL_IDS = {PAD: 0, UNKNOWN: 100, START: 101, END: 102, MASK: 103}  # bert-base-uncased/vocab.txt
FIRST_CHARACTER = 999  # `!` in bert-base-uncased/vocab.txt; the other ASCII characters follow in order, no upper case
LENGTH = 256  # tokens, as in grounding-dino-tiny; all 75 concepts and their dots take 154
SYNONYM_SHARE = 0.15  # of the phrases of a prompt that could be said otherwise


def words() -> list[str]:
    """Every word of the concepts and their synonyms, in a fixed order."""
    phrases = [*CONCEPTS, *(word for others in SYNONYMS.values() for word in others)]
    return list(dict.fromkeys(word for phrase in phrases for word in phrase.split()))


def build_vocabulary() -> dict[str, int]:
    """Token -> id without gaps: BERT's ids up to `~`, then the characters that go on in a word, then the words."""
    characters = [c for c in map(chr, range(ord("!"), ord("~") + 1)) if c not in string.ascii_uppercase]
    vocabulary = {f"[unused{number}]": number for number in range(FIRST_CHARACTER)}
    vocabulary = {token: number for token, number in vocabulary.items() if number not in SPECIAL_IDS.values()}
    vocabulary |= SPECIAL_IDS
    pieces = [f"##{c}" for c in string.ascii_lowercase + string.digits]
    vocabulary |= {token: FIRST_CHARACTER + n for n, token in enumerate([*characters, *pieces, *words()])}
    return dict(sorted(vocabulary.items(), key=lambda item: item[1]))


def build_tokenizer() -> BertTokenizer:
    """The tokenizer as transformers' class for bert-base-uncased makes it."""
    return BertTokenizer(vocab=build_vocabulary(), do_lower_case=True, model_max_length=LENGTH)


@dataclass(frozen=True)
class Prompts:
    """B texts of phrases as the model takes them, and which token says which concept."""

    input_ids: Tensor  # (B, T)
    attention_mask: Tensor  # (B, T), 1 where there is text
    concepts: NDArray[np.int64]  # (B, T), index into CONCEPTS of the phrase a token belongs to, -1: of none

    @property
    def inputs(self) -> dict[str, Tensor]:
        """The arguments of the model's forward."""
        return {"input_ids": self.input_ids, "attention_mask": self.attention_mask}


class Speaker:
    """Turns lists of concepts into prompts, now and then with a synonym."""

    def __init__(self, tokenizer: BertTokenizer) -> None:
        says = {name: tokenizer(name, add_special_tokens=False).input_ids for name in CONCEPTS}
        others = {word: tokenizer(word, add_special_tokens=False).input_ids for o in SYNONYMS.values() for word in o}
        self.plain = [says[name] for name in CONCEPTS]
        self.others = [[others[word] for word in SYNONYMS.get(name, ())] for name in CONCEPTS]
        self.start, self.end = tokenizer.cls_token_id, tokenizer.sep_token_id
        self.dot = tokenizer.convert_tokens_to_ids(".")

    def phrase(self, rng: np.random.Generator | None, concept: int) -> list[int]:
        """The ids of one phrase without its dot."""
        others = self.others[concept]
        if rng is None or not others or rng.random() >= SYNONYM_SHARE:
            return self.plain[concept]
        return others[rng.integers(len(others))]

    def say(self, rng: np.random.Generator | None, lists: list[NDArray[np.int64]]) -> Prompts:
        """One prompt for each list of concepts, `[CLS] cat . dog . [SEP]`; synonyms only where `rng` is given."""
        texts, owners = [], []
        for concepts in lists:
            ids, own = [self.start], [-1]
            for concept in concepts.tolist():
                phrase = self.phrase(rng, concept)
                ids += [*phrase, self.dot]
                own += [concept] * len(phrase) + [-1]
            texts.append([*ids, self.end])
            owners.append([*own, -1])
        length = max(map(len, texts))
        padded = torch.tensor([ids + [0] * (length - len(ids)) for ids in texts])
        owned = np.array([own + [-1] * (length - len(own)) for own in owners])
        return Prompts(padded, (padded != 0).long(), owned)
