from pathlib import Path

import checkpoints
import pytest

import visioncli
from visioncli.provenance import Checkpoint

SMALL = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}


@pytest.fixture(scope="session")
def pictures():
    return checkpoints.pictures()


@pytest.fixture(scope="session")
def siglip_224(tmp_path_factory) -> Checkpoint:
    return checkpoints.of(checkpoints.siglip(tmp_path_factory.mktemp("b16-224")))


@pytest.fixture(scope="session")
def siglip_512(tmp_path_factory) -> Checkpoint:
    return checkpoints.of(checkpoints.siglip(tmp_path_factory.mktemp("b16-512"), 512))


@pytest.fixture(scope="session")
def clip_b32(tmp_path_factory) -> Checkpoint:
    return checkpoints.of(checkpoints.clip(tmp_path_factory.mktemp("b32")))


@pytest.fixture(scope="session")
def small_siglip(tmp_path_factory) -> Checkpoint:
    return checkpoints.of(checkpoints.siglip(tmp_path_factory.mktemp("small-siglip"), 64, **SMALL))


@pytest.fixture(scope="session")
def small_clip(tmp_path_factory) -> Checkpoint:
    return checkpoints.of(checkpoints.clip(tmp_path_factory.mktemp("small-clip"), **SMALL))


@pytest.fixture(scope="session")
def demo() -> Checkpoint:
    return checkpoints.of(Path(visioncli.__file__).parent / "models/demo/siglip")
