import numpy as np
import pytest
import torch

from visioncli import models
from visioncli.errors import ModelError, PredictError, UsageError
from visioncli.models.dual_encoder import Tower
from visioncli.models.runtime import RuntimeRequest
from visioncli.samples import Facts, ImageRef, Sample
from visioncli.tasks.classify import ClassifyOptions
from visioncli.tasks.embed import EmbedOptions

CPU = RuntimeRequest("cpu", "float32")
LABELS = ("cat", "dog", "red car", "the sea", "bread")


@pytest.fixture(scope="module")
def classifier(small_siglip):
    return models.load(small_siglip, "classify", CPU)


@pytest.fixture(scope="module")
def embedder(small_siglip):
    return models.load(small_siglip, "embed", CPU)


def sample(picture, **extra):
    return Sample(ImageRef(0, "0", None, extra), Facts(), picture)


def ask(predictor, samples, options):
    outputs = predictor.forward([predictor.preprocess(s, options) for s in samples], options)
    return predictor.postprocess(outputs, samples, options)


def by_label(row):
    return dict(zip(row.labels, row.scores.tolist(), strict=True))


@pytest.mark.parametrize("scoring", ["softmax", "sigmoid", "cosine"])
def test_the_order_of_the_labels_changes_no_score(small_siglip, pictures, scoring):
    rows = []
    for labels in (LABELS, LABELS[::-1], LABELS[2:] + LABELS[:2]):
        predictor = models.load(small_siglip, "classify", CPU)  # each with a text cache of its own
        rows.append(ask(predictor, [sample(pictures[4])], ClassifyOptions(labels, scoring=scoring))[0])
    assert by_label(rows[0]) == by_label(rows[1]) == by_label(rows[2])


def test_scores_come_best_first_and_equal_ones_in_the_order_of_the_labels(classifier, pictures):
    alike = ("cat", "Dog!", "dog", "CAT", "DOG")  # SigLIP's cleaning makes them two
    row = ask(classifier, [sample(pictures[4])], ClassifyOptions(alike))[0]
    assert (np.diff(row.scores) <= 0).all()
    assert row.labels in (("cat", "CAT", "Dog!", "dog", "DOG"), ("Dog!", "dog", "DOG", "cat", "CAT"))


def test_top_k_keeps_the_scores_over_all_labels(classifier, pictures):
    every = ask(classifier, [sample(pictures[4])], ClassifyOptions(LABELS))[0]
    best = ask(classifier, [sample(pictures[4])], ClassifyOptions(LABELS, top_k=2))[0]
    assert best.labels == every.labels[:2]
    assert best.scores.tolist() == every.scores[:2].tolist()


@pytest.mark.parametrize("scoring", ["softmax", "sigmoid", "cosine"])
def test_scores_follow_from_the_logits(classifier, pictures, scoring):
    row = ask(classifier, [sample(pictures[4])], ClassifyOptions(LABELS, scoring=scoring))[0]
    logits = row.logits.astype(np.float64)  # cosine * 100 - 10, see checkpoints.siglip
    truth = {
        "softmax": np.exp(logits) / np.exp(logits).sum(),
        "sigmoid": 1 / (1 + np.exp(-logits)),
        "cosine": (logits + 10) / 100,
    }
    np.testing.assert_allclose(row.scores, truth[scoring], atol=1e-6)


def test_templates_are_averaged_as_unit_vectors(classifier, embedder, pictures):
    templates = ("a photo of a {}", "{}", "a drawing of a {} and a {}")
    row = ask(classifier, [sample(pictures[4])], ClassifyOptions(("cat", "dog"), templates, "cosine"))[0]
    texts = {label: [t.replace("{}", label) for t in templates] for label in ("cat", "dog")}
    image = ask(embedder, [sample(pictures[4])], EmbedOptions())[0].embedding
    for label, prompts in texts.items():
        options = EmbedOptions(image=False, text_column="t")
        mean = np.mean([r.embedding for r in ask(embedder, [sample(None, t=p) for p in prompts], options)], axis=0)
        assert by_label(row)[label] == pytest.approx(float(image @ mean / np.linalg.norm(mean)), abs=1e-6)


def test_other_labels_may_share_a_batch(classifier, pictures):
    options, others = ClassifyOptions(LABELS), ClassifyOptions(("a mat", "a park"))
    inputs = [classifier.preprocess(sample(pictures[4]), options)] * 2
    assert classifier.batch_key(options, inputs[0]) == classifier.batch_key(others, inputs[1])
    row = classifier.postprocess(classifier.forward(inputs, options), [sample(pictures[4])] * 2, others)[1]
    assert set(row.labels) == {"a mat", "a park"}


def test_clip_has_no_sigmoid_scores(small_clip, pictures):
    predictor = models.load(small_clip, "classify", CPU)
    with pytest.raises(UsageError, match="softmax or cosine"):
        predictor.check(ClassifyOptions(LABELS, scoring="sigmoid"))
    with pytest.raises(UsageError):
        predictor.preprocess(sample(pictures[4]), ClassifyOptions(LABELS, scoring="sigmoid"))
    predictor.check(ClassifyOptions(LABELS, scoring="cosine"))


@pytest.mark.parametrize("normalize", [True, False])
def test_vectors_are_unit_only_when_asked(embedder, pictures, normalize):
    options = EmbedOptions(normalize=normalize, text_column="t")
    row = ask(embedder, [sample(pictures[4], t="a cat")], options)[0]
    lengths = [np.linalg.norm(v) for v in (row.embedding, row.text_embedding)]
    assert row.embedding.dtype == np.float32
    assert (np.abs(np.array(lengths) - 1) < 1e-6).all() == normalize


def test_an_empty_text_beside_a_picture_has_no_vector(embedder, pictures):
    options = EmbedOptions(text_column="t")
    rows = ask(embedder, [sample(pictures[4], t=t) for t in (None, "", "  ", "a cat")], options)
    assert [row.text_embedding is None for row in rows] == [True, True, True, False]
    assert (rows[0].embedding == rows[3].embedding).all()


@pytest.mark.parametrize("extra", [{}, {"t": None}, {"t": ""}, {"t": " \n"}])
def test_an_empty_text_alone_fails_its_row(embedder, extra):
    with pytest.raises(PredictError) as failed:
        embedder.preprocess(sample(None, **extra), EmbedOptions(image=False, text_column="t"))
    assert failed.value.code == "text_missing"


def test_a_row_without_a_picture_fails(embedder):
    with pytest.raises(PredictError) as failed:
        embedder.preprocess(sample(None), EmbedOptions())
    assert failed.value.code == "input_missing"


def test_each_text_is_computed_once_and_the_cache_is_bounded(small_siglip, monkeypatch):
    monkeypatch.setattr("visioncli.models.dual_encoder.TEXT_CACHE", 3)
    encoder = models.load(small_siglip, "embed", CPU, need_text=True)._encoder
    asked = []
    monkeypatch.setattr(
        encoder, "_computed", lambda texts, own=encoder._computed: asked.append(len(texts)) or own(texts)
    )
    ids = [encoder.tokenizer.ids(text) for text in ("a", "b", "a", "A!", "c", "d", "e")]
    first, again = encoder.texts(ids), encoder.texts(ids)
    assert asked == [5, 2]
    assert len(encoder._known) == 3
    assert all((x == y).all() for x, y in zip(first, again, strict=True))


def scaling(factors):
    """A tower whose vector is the row times the dtype's factor."""
    return Tower(factors.__getitem__, lambda factor, rows: rows * factor, "cpu", "float16")


def test_a_row_that_overflows_is_done_again_in_a_wider_dtype_and_its_neighbours_are_not():
    tower = scaling({"float16": 1e38, "bfloat16": 2.0, "float32": 3.0})
    rows = [np.full(2, value, np.float32) for value in (1, 100, 1, 1, 1)]
    assert [v[0] for v in tower.vectors(rows)] == [np.float32(1e38), 200, *[np.float32(1e38)] * 3]


def test_a_row_that_is_finite_in_no_dtype_fails_alone():
    tower = scaling(dict.fromkeys(("float16", "bfloat16", "float32"), 1.0))
    good, bad = tower.vectors([np.ones(2, np.float32), np.array([1, np.nan], np.float32)])
    assert good.tolist() == [1, 1]
    assert isinstance(bad, PredictError)
    assert bad.code == "non_finite"


def test_float16_falls_back_on_a_real_model(small_siglip, tmp_path, pictures):
    import checkpoints
    from transformers import SiglipModel

    model = SiglipModel.from_pretrained(small_siglip.directory)
    with torch.no_grad():
        model.vision_model.encoder.layers[0].mlp.fc1.weight.mul_(3e4)  # beyond float16 after fc1, not before
        model.vision_model.encoder.layers[0].mlp.fc2.weight.mul_(1e-4)
    model.save_pretrained(tmp_path)
    for name in ("preprocessor_config.json", "spiece.model", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((small_siglip.directory / name).read_bytes())
    vectors = [
        ask(
            models.load(checkpoints.of(tmp_path), "embed", RuntimeRequest("cpu", dtype)),
            [sample(pictures[4])],
            EmbedOptions(),
        )
        for dtype in ("float16", "float32")
    ]
    assert vectors[0][0].embedding @ vectors[1][0].embedding > 0.99


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), "cpu"])
def test_too_little_memory_has_its_own_code(error):
    def run(module, rows):
        if error == "cpu":
            return torch.empty(2**60)  # the CPU's allocator refuses
        raise error

    with pytest.raises(PredictError) as failed:
        Tower(lambda dtype: None, run, "cpu", "float32").vectors([np.ones(2, np.float32)])
    assert failed.value.code == "out_of_memory"


def test_what_else_fails_on_the_device_comes_through():
    def run(module, rows):
        raise RuntimeError("CUDA error: an illegal memory access")

    with pytest.raises(RuntimeError, match="illegal"):
        Tower(lambda dtype: None, run, "cpu", "float32").vectors([np.ones(2, np.float32)])


def test_a_label_without_a_finite_vector_stops_the_run(small_siglip, tmp_path, pictures):
    import checkpoints
    from transformers import SiglipModel

    model = SiglipModel.from_pretrained(small_siglip.directory)
    model.text_model.head.bias.data.fill_(float("nan"))
    model.save_pretrained(tmp_path)
    for name in ("preprocessor_config.json", "spiece.model", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((small_siglip.directory / name).read_bytes())
    predictor = models.load(checkpoints.of(tmp_path), "classify", CPU)
    with pytest.raises(ModelError, match="no finite vector for the text 'cat'"):
        ask(predictor, [sample(pictures[4])], ClassifyOptions(("cat",)))
