"""The demo model's tokenizer: whole words for the words of the captions, single characters for all others.

Like SigLIP's it lower-cases, appends `</s>`, pads with `</s>` and uses no attention mask. Written as a plain
`tokenizer.json`, so that `tokenizers` alone can read it.
"""

from __future__ import annotations

import string

from captions import every_caption
from tokenizers import Regex, Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import NFKD, Lowercase, Replace, Sequence, StripAccents
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

UNKNOWN, END = "<unk>", "</s>"
LENGTH = 16  # tokens; the longest caption has 15


def build_vocabulary() -> dict[str, int]:
    """Token -> id: the two specials, the characters that start or go on in a word, then the caption words."""
    characters = string.ascii_lowercase + string.digits
    pre = BertPreTokenizer()
    words = {word for text in every_caption() for word, _ in pre.pre_tokenize_str(text)}
    tokens = [UNKNOWN, END, *characters, *string.punctuation, *(f"##{c}" for c in characters)]
    return {token: number for number, token in enumerate(dict.fromkeys([*tokens, *sorted(words)]))}


def build_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer as transformers wraps it; `padding="max_length"` gives (N, 16) ids."""
    tokenizer = Tokenizer(WordPiece(build_vocabulary(), unk_token=UNKNOWN, max_input_chars_per_word=64))
    tokenizer.normalizer = Sequence([NFKD(), Lowercase(), StripAccents(), Replace(Regex(r"\s+"), " ")])
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(single=f"$A {END}", special_tokens=[(END, 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token=UNKNOWN,
        eos_token=END,
        pad_token=END,
        model_max_length=LENGTH,
        model_input_names=["input_ids"],
        padding_side="right",
    )
