"""`--device hailo` against the double: the CPU's rows, in order, and what happens when the device fails."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import checkpoints
import clip_resnet_checkpoints
import hailo_programmes
import numpy as np
import pytest
from conftest import SMALL

from visioncli import models
from visioncli.batching import SafeForward
from visioncli.errors import DeviceError, ModelError, PredictError, UsageError
from visioncli.models.hailo import device
from visioncli.models.hailo.precomputed import Precomputed
from visioncli.models.runtime import HAILO_BATCH, HailoRequest, RuntimeRequest, choose
from visioncli.samples import Facts, ImageRef, Sample
from visioncli.tasks.classify import ClassifyOptions
from visioncli.tasks.embed import EmbedOptions

LABELS = ClassifyOptions(("cat", "a photo of a red car", "dog"), scoring="cosine")
CLOSE = 1e-4


@pytest.fixture
def hailo(monkeypatch):
    with hailo_programmes.plugged_in(monkeypatch) as module:
        yield module


@pytest.fixture(scope="session")
def small_rn(tmp_path_factory):
    return clip_resnet_checkpoints.clip_resnet(tmp_path_factory.mktemp("small-rn"), "small")


@pytest.fixture(params=["small_clip", "small_rn"])
def checkpoint(request):
    return request.getfixturevalue(request.param)


def on_hailo(checkpoint, task, tmp_path, text=None, **more):
    texts = {"text_hef": hailo_programmes.hef(tmp_path, checkpoint.directory, "text")} if text == "hef" else {}
    asked = HailoRequest(hailo_programmes.hef(tmp_path, checkpoint.directory), **texts, **more)
    return models.load(checkpoint, task, RuntimeRequest("hailo", hailo=asked))


def on_cpu(checkpoint, task):
    return models.load(checkpoint, task, RuntimeRequest("cpu", "float32"))


def rows(predictor, pictures, options):
    samples = [Sample(ImageRef(n, str(n), b"", {"t": "two dogs"}), Facts(), p) for n, p in enumerate(pictures)]
    predictor.check(options)
    predictor.prepare(options)
    inputs = [predictor.preprocess(sample, options) for sample in samples]
    return predictor.postprocess(predictor.forward(inputs, options), samples, options)


@pytest.mark.parametrize("text", [None, "hef"])
@pytest.mark.parametrize("frames", [1, 3])
def test_classify_gives_the_cpus_rows(hailo, checkpoint, tmp_path, pictures, text, frames):
    found = rows(on_hailo(checkpoint, "classify", tmp_path, text, frames=frames), pictures, LABELS)
    expected = rows(on_cpu(checkpoint, "classify"), pictures, LABELS)
    assert [row.labels for row in found] == [row.labels for row in expected]
    np.testing.assert_allclose([r.scores for r in found], [r.scores for r in expected], rtol=0, atol=CLOSE)


@pytest.mark.parametrize("text", [None, "hef"])
def test_embed_gives_the_cpus_vectors_of_pictures_and_texts(hailo, checkpoint, tmp_path, pictures, text):
    options = EmbedOptions(text_column="t")
    found = rows(on_hailo(checkpoint, "embed", tmp_path, text), pictures, options)
    expected = rows(on_cpu(checkpoint, "embed"), pictures, options)
    for name in ("embedding", "text_embedding"):
        both = ([getattr(row, name) for row in side] for side in (found, expected))
        np.testing.assert_allclose(*both, rtol=0, atol=CLOSE)


def test_texts_that_were_computed_before_stand_in_for_a_text_tower(hailo, small_clip, tmp_path, pictures):
    said = {"text_prefix": "a photo of a ", "entries": []}
    for text, prompt in {"cat": "a photo of a cat", "dog": "a photo of a dog"}.items():
        vector = on_cpu(small_clip, "embed")._encoder.texts(
            [on_cpu(small_clip, "embed")._encoder.tokenizer.ids(prompt)]
        )
        said["entries"].append({"text": text, "embedding": vector[0].tolist(), "negative": False, "ensemble": False})
    (tmp_path / "texts.json").write_text(json.dumps(said))
    predictor = on_hailo(small_clip, "classify", tmp_path, text_embeddings=str(tmp_path / "texts.json"))
    options = ClassifyOptions(("cat", "dog"), ("a photo of a {}",))
    for found, expected in zip(
        rows(predictor, pictures, options), rows(on_cpu(small_clip, "classify"), pictures, options), strict=True
    ):
        np.testing.assert_allclose(found.logits, expected.logits, atol=1e-3)
    with pytest.raises(UsageError, match=r"^texts.json has no embedding of 'a photo of a bee'; it has 4 texts$"):
        predictor.check(ClassifyOptions(("cat", "bee"), ("a photo of a {}",)))
    texts = predictor.with_same_weights("embed")
    with pytest.raises(PredictError) as refused:
        texts.preprocess(Sample(ImageRef(0, "0", None, {"t": "bee"}), Facts(), None), EmbedOptions(False, False, "t"))
    assert refused.value.code == "text_unknown"


def test_what_produced_the_vectors_is_named(hailo, small_clip, tmp_path):
    info = on_hailo(small_clip, "embed", tmp_path, "hef").info
    plain = on_cpu(small_clip, "embed").info
    assert (info.device, info.dtype, info.batch_size, info.token_shape) == ("hailo", "hef", HAILO_BATCH, None)
    assert info.recipe == f"{plain.recipe}+hef:{info.files['hef'][:12]}"
    assert info.embedding_space != plain.embedding_space
    assert info.resolved.keys() == {"dtype", "batch_size", "recipe", "hef", "text_hef"}
    assert info.choices["device"].reason == "asked for; HAILO10H at 0000:01:00.0, firmware 5.2.0"


def test_the_cpus_picture_tower_is_not_loaded(hailo, small_clip, tmp_path, monkeypatch):
    import transformers

    monkeypatch.setattr(transformers, "CLIPVisionModelWithProjection", None)
    assert on_hailo(small_clip, "classify", tmp_path).info.dimension == 512


def test_frames_keep_their_order_while_four_are_on_their_way(hailo, small_clip, tmp_path):
    predictor = on_hailo(small_clip, "embed", tmp_path)
    tower = predictor._encoder.image
    flat = [np.full((224, 224, 3), n, np.uint8) for n in range(0, 250, 5)]
    together, alone = tower.vectors(flat), [tower.vectors([row])[0] for row in flat]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert hailo._MACHINE.most_in_flight == 4


def test_a_batch_that_was_padded_computes_its_last_picture_once(hailo, small_clip, tmp_path):
    predictor = on_hailo(small_clip, "embed", tmp_path)
    picture = np.zeros((224, 224, 3), np.uint8)
    assert len(predictor._encoder.image.vectors([picture] * 16)) == 16
    assert hailo._MACHINE.frames == 1


def test_a_picture_that_the_device_fails_on_is_one_failed_row(hailo, small_clip, tmp_path, pictures, monkeypatch):
    monkeypatch.setenv("HAILO_DOUBLE_POISON", "7,8,9")
    predictor = on_hailo(small_clip, "embed", tmp_path)
    poison = np.full((50, 50, 3), (7, 8, 9), np.uint8)
    many = [*pictures[:5], poison, *pictures[5:]]
    inputs = [predictor.preprocess(Sample(ImageRef(0, "0", b""), Facts(), p), EmbedOptions()) for p in many]
    outputs = SafeForward(predictor, 8)(inputs, EmbedOptions())
    assert [n for n, output in enumerate(outputs) if isinstance(output, PredictError)] == [5]
    assert outputs[5].code == "device_failed"
    assert "8 (HAILO_INTERNAL_FAILURE)" in str(outputs[5])


@pytest.mark.parametrize(
    ("knobs", "sentence"),
    [
        ({"VANISH": "3"}, "^the Hailo device HAILO10H at 0000:01:00.0, firmware 5.2.0 answers no more .*hailo`$"),
        ({"STALL": "3"}, "^the Hailo device .* did not answer within 300 ms: raise --device-timeout-ms.* hailort.log$"),
    ],
)
def test_a_device_that_goes_or_hangs_ends_the_run(hailo, small_clip, tmp_path, pictures, monkeypatch, knobs, sentence):
    for name, value in knobs.items():
        monkeypatch.setenv(f"HAILO_DOUBLE_{name}", value)
    predictor = on_hailo(small_clip, "embed", tmp_path, timeout_ms=300)
    inputs = [predictor.preprocess(Sample(ImageRef(0, "0", b""), Facts(), p), EmbedOptions()) for p in pictures[:6]]
    with pytest.raises(DeviceError, match=sentence):
        SafeForward(predictor, 8)(inputs, EmbedOptions())


@pytest.mark.parametrize(
    ("knobs", "error", "sentence"),
    [
        ({"DEVICES": ""}, DeviceError, "^HailoRT 5.2.0 finds no Hailo device here: .* use --device cpu meanwhile$"),
        ({"FAULT": "no_driver"}, DeviceError, "^Hailo's driver is not loaded .*: install the one of HailoRT 5.2.0"),
        ({"FAULT": "driver"}, DeviceError, "^HailoRT 5.2.0, its driver and the device's firmware are of different"),
        ({"FAULT": "busy"}, DeviceError, "^the Hailo device is held by another process .*74 .HAILO_OUT_OF_PHYSICAL"),
        (
            {"DEVICES": "0000:01:00.0=HAILO8"},
            ModelError,
            "^image-HAILO10H.hef was compiled for another chip than HAILO8 at",
        ),
    ],
)
def test_what_is_wrong_with_the_device_is_one_sentence(
    hailo, small_clip, tmp_path, monkeypatch, knobs, error, sentence
):
    for name, value in knobs.items():
        monkeypatch.setenv(f"HAILO_DOUBLE_{name}", value)
    with pytest.raises(error, match=sentence):
        on_hailo(small_clip, "embed", tmp_path)


@pytest.mark.parametrize(
    ("content", "error", "sentence"),
    [
        (None, UsageError, "^--hef: .*x.hef cannot be read: No such file or directory$"),
        (
            "no HEF",
            ModelError,
            "^x.hef is no HEF, or not of a version that HailoRT 5.2.0 reads: take the file of the model zoo's release",
        ),
        ("cut short", ModelError, "^x.hef is damaged or cut short: fetch it again$"),
        ("small_rn", ModelError, r"^x.hef gives \d+ numbers a picture, small-clip\d+ has 512: take the HEF and the"),
        ("text", ModelError, "^x.hef takes 1x77x64, no RGB picture; is it the text tower[?]$"),
    ],
)
def test_a_hef_that_does_not_fit_is_one_sentence(hailo, small_clip, small_rn, tmp_path, content, error, sentence):
    path = tmp_path / "x.hef"
    if content == "no HEF":
        path.write_text(content)
    elif content is not None:
        model, kind = (small_rn if content == "small_rn" else small_clip), ("text" if content == "text" else "image")
        made = hailo_programmes.hef(tmp_path, model.directory, kind, is_whole=content != "cut short")
        Path(made).rename(path)
    with pytest.raises(error, match=sentence):
        models.load(small_clip, "embed", RuntimeRequest("hailo", hailo=HailoRequest(str(path))))


def test_an_older_library_says_its_own_of_a_file_that_is_no_hef(monkeypatch, small_clip, tmp_path):
    (tmp_path / "x.hef").write_text("no HEF")
    asked = RuntimeRequest("hailo", hailo=HailoRequest(str(tmp_path / "x.hef")))
    with (
        hailo_programmes.plugged_in(monkeypatch, VERSION="4.23.0"),
        pytest.raises(
            ModelError, match=r"^x\.hef is damaged, no HEF, or compiled for a newer HailoRT than 4\.23\.0: fetch"
        ),
    ):
        models.load(small_clip, "embed", asked)


def test_a_text_hef_of_another_length_is_one_sentence(hailo, small_clip, tmp_path):
    shorter = checkpoints.clip(tmp_path / "clip32", **SMALL, max_position_embeddings=32)
    asked = HailoRequest(
        hailo_programmes.hef(tmp_path, small_clip.directory), hailo_programmes.hef(tmp_path, shorter, "text")
    )
    with pytest.raises(
        ModelError, match=r"^text-HAILO10H\.hef is not the text tower of .*: it takes 1x32x64 .* texts are 1x77x64$"
    ):
        models.load(small_clip, "embed", RuntimeRequest("hailo", hailo=asked))


@pytest.mark.parametrize(
    ("content", "error", "sentence"),
    [
        ("[" * 100_000, UsageError, "^--text-embeddings: .*texts.json is not JSON: "),
        ('{"entries": [{"text": "a", "embedding": [1%s]}]}' % ("0" * 400), ModelError, "of 'a' is not 512 numbers"),
        ('{"entries": [{"text": "a", "embedding": [1e39%s]}]}' % (", 0" * 511), ModelError, "of 'a' is not 512 numb"),
        ('{"entries": [{"text": "a", "embedding": [1, 2]}]}', ModelError, "of 'a' is not 512 numbers"),
        ('{"entries": []}', UsageError, 'has no "entries" with a "text" and an "embedding" each$'),
    ],
    ids=["deep", "an integer beyond float", "beyond float32", "short", "empty"],
)
def test_a_file_of_texts_that_cannot_be_read_is_one_sentence(tmp_path, content, error, sentence):
    (tmp_path / "texts.json").write_text(content)
    with pytest.raises(error, match=sentence):
        Precomputed(tmp_path / "texts.json", 512)


@pytest.mark.parametrize(
    ("device_name", "files", "dtype", "sentence"),
    [
        ("hailo", None, "auto", "^--device hailo needs --hef FILE.hef"),
        ("cpu", HailoRequest("x.hef"), "auto", "^--hef needs --device hailo$"),
        ("hailo", HailoRequest("x.hef"), "float32", "^--dtype has no effect on --device hailo"),
    ],
)
def test_half_of_what_is_needed_is_a_usage_error(small_clip, device_name, files, dtype, sentence):
    with pytest.raises(UsageError, match=sentence):
        models.load(small_clip, "embed", RuntimeRequest(device_name, dtype, hailo=files))


def test_the_batch_for_it_has_its_reason():
    runtime = choose("hailo:1")
    assert (runtime.device.value, runtime.dtype.value, runtime.batch_size.value) == ("hailo:1", "hef", HAILO_BATCH)
    assert runtime.batch_size.reason == "4 on their way at a time; the device runs empty once a batch"


def test_a_second_device_is_taken_by_its_number(hailo, small_clip, tmp_path, monkeypatch):
    monkeypatch.setenv("HAILO_DOUBLE_DEVICES", "0000:01:00.0=HAILO8,0000:02:00.0=HAILO10H")
    asked = HailoRequest(hailo_programmes.hef(tmp_path, small_clip.directory))
    predictor = models.load(small_clip, "embed", RuntimeRequest("hailo:1", hailo=asked))
    assert predictor.info.choices["device"].reason.endswith("HAILO10H at 0000:02:00.0, firmware 5.2.0")
    with pytest.raises(DeviceError, match="one process holds one Hailo device"):
        device.held(0)


def test_everything_is_let_go_of_in_order(hailo, small_clip, tmp_path, monkeypatch):
    monkeypatch.setenv("HAILO_DOUBLE_LOG", str(tmp_path / "log"))
    predictor = on_hailo(small_clip, "classify", tmp_path, "hef")
    device.release()
    assert predictor is not None
    assert [(one["event"], one.get("kind")) for one in hailo_programmes.events(tmp_path / "log")] == [
        *(("open", None), ("configure", "image"), ("configure", "text")),
        *(("unconfigure", "text"), ("unconfigure", "image"), ("release", None)),
    ]


def test_without_the_library_the_sentence_says_where_it_comes_from(monkeypatch):
    monkeypatch.setitem(sys.modules, "hailo_platform", None)
    with pytest.raises(
        DeviceError, match=r"on no package index: install the wheel of Hailo's Developer Zone, or on a Raspb"
    ):
        device.library()


def test_a_library_that_does_not_load_is_told_from_one_that_is_not_there(monkeypatch, tmp_path):
    (tmp_path / "hailo_platform.py").write_text("raise ImportError('numpy.core.multiarray failed to import')")
    monkeypatch.delitem(sys.modules, "hailo_platform", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DeviceError, match=r"^hailo_platform is installed but cannot be imported .*multiarray failed"):
        device.library()


def test_the_project_names_no_package_of_hailos():
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text() + (
        Path(__file__).parents[2] / "constraints.txt"
    ).read_text()
    assert "hailo" not in text.lower()
