from dataclasses import replace

import grounding_dino_checkpoints
import numpy as np
import pytest
import torch

from visioncli.errors import ModelError, UsageError
from visioncli.models.phrases import phrases_from
from visioncli.provenance import Checkpoint

PROMPTS = [
    ("cat",),
    ("a cat", "the red car", "car", "traffic light"),
    ("Zebra", "PERSON with two hats", "cat, dog & bird", "don't", "e-mail", "50%"),
    ("Naïve Café", "naïveté", "ÄÖÜ boat", "🙂 hat", "猫 cat", "İstanbul", "tree\thouse \n sea"),
]


@pytest.fixture(scope="session")
def directory(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bert")
    grounding_dino_checkpoints.tokenizer_files(folder)
    return folder


@pytest.fixture(scope="session")
def phrases(directory):
    return phrases_from(Checkpoint("bert", directory, ""), 40, 16)


@pytest.fixture(scope="session")
def stock(directory):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(directory)


def words(stock, text, span):
    return stock.decode(text.ids[slice(*span)].tolist())


@pytest.mark.parametrize("prompts", PROMPTS)
def test_a_text_has_the_ids_of_transformers(phrases, stock, prompts):
    from transformers.models.grounding_dino.processing_grounding_dino import _merge_candidate_labels_text

    (text,) = phrases.texts(prompts)
    assert text.ids.tolist() == stock(_merge_candidate_labels_text(list(prompts)))["input_ids"]


@pytest.mark.parametrize("prompts", PROMPTS)
def test_a_prompts_span_holds_its_words_and_no_others(phrases, stock, prompts):
    (text,) = phrases.texts(prompts)
    assert text.prompts == prompts
    assert [words(stock, text, span) for span in text.spans] == [
        stock.decode(stock(p)["input_ids"][1:-1]) for p in prompts
    ]


@pytest.mark.parametrize(
    ("prompt", "read"),
    [("St. Bernard", "st bernard"), ("cat?", "cat"), (".dog..", "dog"), ("a. cat? the. dog", "a cat the dog")],
)
def test_a_prompts_own_dots_do_not_end_its_phrase(phrases, stock, prompt, read):
    (text,) = phrases.texts((prompt, "sea"))
    assert text.ids.tolist() == stock(f"{read}. sea.")["input_ids"]
    assert text.prompts == (prompt, "sea")


def test_a_mark_that_a_prompt_spells_out_is_text(phrases):
    (text,) = phrases.texts(("a [SEP] cat", "[CLS]"))
    assert [(text.ids == mark).sum() for mark in (101, 102)] == [1, 1]


def test_prompts_that_do_not_fit_go_on_in_further_texts(phrases):
    prompts = tuple(f"the red car {letter}" for letter in "abcdefghijklmnopqrstuvw")
    texts = phrases.texts(prompts)
    assert [len(text.prompts) for text in texts] == [7, 7, 7, 2]  # five tokens each, beside two marks, in forty
    assert sum((text.prompts for text in texts), ()) == prompts
    assert all(len(text.ids) <= 40 for text in texts)


@pytest.mark.parametrize(("length", "positions", "most"), [(40, 16, 15), (40, 100, 37), (12, 16, 9)])
def test_the_longest_prompt_that_fits_is_read_and_one_more_is_refused(directory, length, positions, most):
    phrases = phrases_from(Checkpoint("bert", directory, ""), length, positions)
    (text,) = phrases.texts(("cat " * most,))
    assert len(text.ids) == most + 3
    with pytest.raises(UsageError, match=f"has {most + 1} word pieces, more than the {most} that bert"):
        phrases.texts(("dog", "cat " * (most + 1)))


@pytest.mark.parametrize("prompt", [".", "?", "...", "猫", "🙂 🙂"])
def test_a_prompt_without_a_known_word_is_refused(phrases, prompt):
    with pytest.raises(UsageError, match="no word in the prompt"):
        phrases.texts(("cat", prompt))


def test_a_prompt_too_long_to_be_one_is_refused_before_it_is_cut_into_pieces(directory):
    phrases = replace(phrases_from(Checkpoint("bert", directory, ""), 40, 16), pieces=None)
    with pytest.raises(UsageError, match=r"^the prompt 'a{40}…' has 10001 characters, more than the 10000 that are"):
        phrases.texts(("a" * 10_001,))


@pytest.mark.parametrize("prompt", ["cafe?", "Café", "CAFE\u0301", ".cafe."])
def test_prompts_that_are_read_as_the_same_words_are_refused(phrases, prompt):
    with pytest.raises(UsageError, match=r"reads the prompts 'cafe' and '.*' as the same words"):
        phrases.texts(("cafe", "dog", f" {prompt}"))


def test_a_phrase_is_spelled_as_transformers_does(phrases, stock):
    from transformers.models.grounding_dino.processing_grounding_dino import get_phrases_from_posmap

    (text,) = phrases.texts(PROMPTS[2])
    padded = np.zeros((200, 40), bool)
    padded[:, : len(text.ids)] = np.random.default_rng(0).random((200, len(text.ids))) < 0.4
    expected = stock.batch_decode(get_phrases_from_posmap(torch.from_numpy(padded), torch.from_numpy(text.ids)))
    assert [phrases.spoken(text.ids, row[: len(text.ids)]) for row in padded] == expected
    assert len(set(expected)) > 150


def test_the_first_and_the_very_last_token_are_never_spelled(phrases, stock):
    (text,) = phrases.texts((*(f"{a} {b} h" for a in "abc" for b in "dfg"), "cat"))
    assert len(text.ids) == 40
    assert phrases.spoken(text.ids, np.ones(40, bool)) == stock.decode(text.ids[1:-1].tolist())


def test_a_vocabulary_stands_in_for_a_tokenizer(phrases, tmp_path):
    pieces = grounding_dino_checkpoints.vocabulary()
    (tmp_path / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces))
    other = phrases_from(Checkpoint("bert", tmp_path, ""), 40, 16)
    for prompts in PROMPTS:
        assert other.texts(prompts)[0].ids.tolist() == phrases.texts(prompts)[0].ids.tolist()


@pytest.mark.parametrize("mark", ["[CLS]", "[SEP]", ".", "?"])
def test_a_vocabulary_with_its_marks_elsewhere_is_refused(tmp_path, mark):
    pieces = ["~~" if piece == mark else piece for piece in grounding_dino_checkpoints.vocabulary()]
    (tmp_path / "vocab.txt").write_text("\n".join([*pieces, mark]))
    with pytest.raises(ModelError, match="where the model looks"):
        phrases_from(Checkpoint("bert", tmp_path, ""), 40, 16)


@pytest.mark.parametrize(("name", "content"), [("tokenizer.json", b"{}"), ("vocab.txt", b"\xff\xfe"), ("x", b"")])
def test_missing_and_damaged_tokenizers_are_model_errors(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=r"tokenizer|vocab\.txt"):
        phrases_from(Checkpoint("bert", tmp_path, ""), 40, 16)
