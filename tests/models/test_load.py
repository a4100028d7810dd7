import json
import shutil
import socket
import subprocess
import sys

import checkpoints
import pytest
import torch
from safetensors.torch import load_file, save_file

from visioncli import models
from visioncli.errors import ModelError
from visioncli.models.runtime import RuntimeRequest

CPU = RuntimeRequest("cpu", "float32")


@pytest.fixture
def copy(small_siglip, tmp_path):
    shutil.copytree(small_siglip.directory, tmp_path / "copy")
    return checkpoints.of(tmp_path / "copy")


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "model.safetensors", "spiece.model"])
def test_a_missing_file_is_named(copy, name):
    (copy.directory / name).unlink()
    with pytest.raises(ModelError, match=name):
        models.load(copy, "classify", CPU)


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "model.safetensors", "spiece.model"])
@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\x00" * 99])
def test_a_damaged_file_is_a_model_error(copy, name, content):
    (copy.directory / name).write_bytes(content)
    with pytest.raises(ModelError, match=name.split(".")[0]):
        models.load(copy, "classify", CPU)


def test_truncated_weights_are_a_model_error(copy):
    path = copy.directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ModelError, match="damaged"):
        models.load(copy, "embed", CPU)


@pytest.mark.parametrize("lost", ["logit_bias", "vision_model.head.probe", "text_model.head.weight"])
def test_weights_that_lack_a_tensor_are_a_model_error(copy, lost):
    path = copy.directory / "model.safetensors"
    save_file({k: v for k, v in load_file(path).items() if k != lost}, path, {"format": "pt"})
    with pytest.raises(ModelError, match="lack"):
        models.load(copy, "classify", CPU)


def test_a_tensor_of_another_shape_is_a_model_error(copy):
    path = copy.directory / "model.safetensors"
    save_file(load_file(path) | {"vision_model.head.probe": torch.zeros(1, 1, 3)}, path, {"format": "pt"})
    with pytest.raises(ModelError, match="cannot be loaded"):
        models.load(copy, "embed", CPU)


def test_a_pickle_is_refused(copy):
    (copy.directory / "model.safetensors").rename(copy.directory / "pytorch_model.bin")
    with pytest.raises(ModelError, match="pickle"):
        models.load(copy, "embed", CPU)


@pytest.mark.parametrize(("kind", "words"), [("bert", "known: clip, .*siglip"), ("siglip2", "NaFlex"), (None, "known")])
def test_an_unknown_family_names_the_known_ones(copy, kind, words):
    checkpoints.write_json(copy.directory / "config.json", {"model_type": kind})
    with pytest.raises(ModelError, match=words):
        models.load(copy, "embed", CPU)


def test_a_task_of_another_family_is_refused(copy):
    with pytest.raises(ModelError, match="can classify and embed, not segment"):
        models.load(copy, "segment", CPU)


def test_a_recipe_that_does_not_fit_the_model_is_refused(copy):
    checkpoints.write_json(copy.directory / "preprocessor_config.json", {"size": {"height": 96, "width": 96}})
    with pytest.raises(ModelError, match="sees 64x64"):
        models.load(copy, "embed", CPU)


def test_a_processor_config_stands_in_for_a_preprocessor_config(copy):
    path = copy.directory / "preprocessor_config.json"
    checkpoints.write_json(copy.directory / "processor_config.json", {"image_processor": json.loads(path.read_text())})
    path.unlink()
    assert models.load(copy, "embed", CPU).decode_size == (64, 64)


def test_shards_are_read(small_siglip, tmp_path):
    from transformers import SiglipModel

    shutil.copytree(small_siglip.directory, tmp_path, dirs_exist_ok=True)
    (tmp_path / "model.safetensors").unlink()
    SiglipModel.from_pretrained(small_siglip.directory).save_pretrained(tmp_path, max_shard_size="1MB")
    assert (tmp_path / "model.safetensors.index.json").is_file()
    assert models.load(checkpoints.of(tmp_path), "classify", CPU).info.dimension == 64


def test_everything_is_known_of_a_loaded_model(small_siglip):
    info = models.load(small_siglip, "embed", RuntimeRequest("cpu", "float32", 3)).info
    assert (info.id, info.commit, info.family) == (small_siglip.id, "files:test", "siglip")
    assert (info.dimension, info.device, info.dtype, info.batch_size) == (64, "cpu", "float32", 3)
    assert info.recipe == "siglip/1 resize 64x64 bicubic mean 0.5 std 0.5"
    assert sorted(info.choices) == ["batch_size", "device", "dtype"]


@pytest.mark.parametrize("name", ["small_siglip", "small_clip", "small_clip_resnet"])
def test_loading_asks_no_network(request, name, monkeypatch):
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was attempted")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    models.load(request.getfixturevalue(name), "classify", CPU)


LOAD = """
import gc
from pathlib import Path
import torch
from visioncli import models
from visioncli.models.runtime import RuntimeRequest
from visioncli.provenance import Checkpoint
predictor = models.load(Checkpoint("x", Path({0!r}), ""), {1!r}, RuntimeRequest("cpu", "float32"), **{2})
print(sum(each.numel() for each in gc.get_objects() if type(each) is torch.nn.Parameter))
"""


@pytest.mark.parametrize(
    ("task", "needs", "towers"),
    [
        ("embed", {}, ["vision_"]),
        ("embed", {"need_image": False, "need_text": True}, ["text_"]),
        ("classify", {}, ["vision_", "text_"]),
    ],
)
def test_only_what_is_needed_is_loaded_and_nothing_is_said(small_siglip, task, needs, towers):
    weights = load_file(small_siglip.directory / "model.safetensors")
    expected = sum(tensor.numel() for name, tensor in weights.items() if name.startswith(tuple(towers)))
    script = LOAD.format(str(small_siglip.directory), task, needs)
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True)
    assert (int(done.stdout), done.stderr) == (expected, "")
