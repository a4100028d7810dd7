import checkpoints
import oracle
import pytest
from checkpoints import TEXTS

from visioncli.errors import ModelError
from visioncli.models.text import LONGEST, TextRecipe, canonical, text_recipe

LOWER = tuple(text.lower() for text in TEXTS)  # GemmaTokenizer does not; SigLIP 2 was trained so


def ids(checkpoint, texts, length):
    recipe = text_recipe(checkpoint, length)
    return [recipe.ids(text).tolist() for text in texts]


@pytest.fixture
def siglip_sentencepiece(small_siglip):
    return small_siglip


@pytest.fixture
def gemma_json(tmp_path):
    checkpoints.gemma_tokenizer(tmp_path)
    return checkpoints.of(tmp_path)


@pytest.fixture
def gemma_sentencepiece(tmp_path):
    checkpoints.gemma_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    marks = {"pad_piece": "<pad>", "eos_piece": "<eos>", "bos_piece": "<bos>", "bos_id": 2, "unk_id": 3}
    plain = {"add_dummy_prefix": False, "remove_extra_whitespaces": False, "normalization_rule_name": "identity"}
    checkpoints.sentencepiece(
        tmp_path / "tokenizer.model", model_type="bpe", vocab_size=400, byte_fallback=True, **marks, **plain
    )
    return checkpoints.of(tmp_path)


@pytest.fixture
def clip_vocabulary(tmp_path):
    checkpoints.clip_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    checkpoints.write_json(tmp_path / "config.json", {"model_type": "clip"})
    return checkpoints.of(tmp_path)


@pytest.mark.parametrize(
    ("name", "length", "theirs"),
    [
        ("siglip_sentencepiece", 64, TEXTS),
        ("gemma_json", 64, LOWER),
        ("gemma_sentencepiece", 64, LOWER),
        ("small_clip", 77, TEXTS),
        ("clip_vocabulary", 77, TEXTS),
        ("demo", 16, TEXTS),
    ],
)
def test_ids_are_those_of_transformers_own_tokenizer(request, name, length, theirs):
    checkpoint = request.getfixturevalue(name)
    assert ids(checkpoint, TEXTS, length) == oracle.token_ids(checkpoint, theirs, length)


def test_a_siglip_tokenizer_json_alone_gives_the_ids_of_its_sentencepiece_model(small_siglip, tmp_path):
    from sentencepiece import SentencePieceProcessor
    from tokenizers import Tokenizer, normalizers, pre_tokenizers
    from tokenizers.models import Unigram

    original = SentencePieceProcessor(model_file=str(small_siglip.directory / "spiece.model"))
    pieces = [(original.id_to_piece(i), original.get_score(i)) for i in range(original.get_piece_size())]
    tokenizer = Tokenizer(Unigram(pieces, unk_id=2))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.NFKC(), pre_tokenizers.Metaspace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert ids(checkpoints.of(tmp_path), TEXTS, 64) == ids(small_siglip, TEXTS, 64)


def test_canonical_text_is_big_visions():
    assert canonical(" A photo of a  Cat's\n(big) hat! \u2581x\u2581 ") == "a photo of a cats big hat x"


def test_a_long_text_keeps_its_end_mark(small_siglip, gemma_json, small_clip):
    for checkpoint, end in ((small_siglip, 1), (gemma_json, 1), (small_clip, 49407)):
        row = text_recipe(checkpoint, 8).ids("word " * 50)
        assert (len(row), row[-1]) == (8, end)
        assert end not in row[:-1]


def test_a_checkpoint_without_a_tokenizer_says_so(tmp_path):
    with pytest.raises(ModelError, match="has no tokenizer"):
        text_recipe(checkpoints.of(tmp_path), 64)


@pytest.mark.parametrize("name", ["tokenizer.json", "spiece.model"])
def test_a_damaged_tokenizer_is_a_model_error(tmp_path, name):
    (tmp_path / name).write_bytes(b"{]")
    with pytest.raises(ModelError, match=name):
        text_recipe(checkpoints.of(tmp_path), 64)


def test_no_more_of_a_text_is_looked_at_than_any_model_reads():
    """Ten million characters would take half a minute and gigabytes."""
    seen = []

    def clean(text):
        seen.append(len(text))
        return text

    recipe = TextRecipe(clean, lambda text: [7] * len(text), (1,), 2, 0, 5)
    assert recipe.ids("a" * 1_000_000).tolist() == [1, 7, 7, 7, 2]
    assert seen == [LONGEST]
