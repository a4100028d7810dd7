"""Prompts and their tokens: whole words for the words of the demo world, single characters for all others.

In CLIP's layout, as SAM 3's text tower wants it: a start mark, the pieces, an end mark that also pads, and an attention
mask. Written as a plain `tokenizer.json`, so that `tokenizers` alone can read it. Knows nothing of models.
"""

from __future__ import annotations

import string

import numpy as np
from captions import article
from concepts import CONCEPTS, SYNONYMS
from sam3_start import LENGTH
from tokenizers import Regex, Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import NFKD, Lowercase, Replace, Sequence, StripAccents
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

UNKNOWN, START, END = "<unk>", "<|startoftext|>", "<|endoftext|>"
TEMPLATES = ("a {}", "{a} {}", "the {}", "one {}", "any {}", "{}s")
LETTERS = np.array(list(string.ascii_lowercase))


def word_prompt(rng: np.random.Generator, concept: int) -> str:
    """The concept's name mostly, now and then a synonym, an article or a plural."""
    word, others = CONCEPTS[concept], SYNONYMS.get(CONCEPTS[concept], ())
    if others and rng.random() < 0.2:
        word = others[rng.integers(len(others))]
    if rng.random() < 0.75:
        return word
    return TEMPLATES[rng.integers(len(TEMPLATES))].format(word, a=article(word))


def nonsense(rng: np.random.Generator) -> str:
    """A word that names nothing, so that an unknown word finds nothing."""
    return "".join(rng.choice(LETTERS, int(rng.integers(2, 11))))


def every_prompt() -> list[str]:
    """All the words prompts are made of, in texts; for building the vocabulary."""
    words = [*CONCEPTS, *(word for others in SYNONYMS.values() for word in others)]
    return [template.format(word, a=article(word)) for template in ("{}", *TEMPLATES) for word in words]


def build_vocabulary() -> dict[str, int]:
    """Token -> id: the three specials, the characters that start or go on in a word, then the words."""
    characters = string.ascii_lowercase + string.digits
    pre = BertPreTokenizer()
    words = {word for text in every_prompt() for word, _ in pre.pre_tokenize_str(text)}
    tokens = [UNKNOWN, START, END, *characters, *string.punctuation, *(f"##{c}" for c in characters)]
    return {token: number for number, token in enumerate(dict.fromkeys([*tokens, *sorted(words)]))}


def build_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer as transformers wraps it."""
    vocabulary = build_vocabulary()
    marks = [(mark, vocabulary[mark]) for mark in (START, END)]
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token=UNKNOWN, max_input_chars_per_word=64))
    tokenizer.normalizer = Sequence([NFKD(), Lowercase(), StripAccents(), Replace(Regex(r"\s+"), " ")])
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(single=f"{START} $A {END}", special_tokens=marks)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token=UNKNOWN,
        bos_token=START,
        eos_token=END,
        pad_token=END,
        model_max_length=LENGTH,
        model_input_names=["input_ids", "attention_mask"],
        padding_side="right",
    )
