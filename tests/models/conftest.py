from pathlib import Path

import checkpoints
import clip_resnet_checkpoints
import depth_checkpoints
import dinov3_checkpoints
import grounding_dino_checkpoints
import pytest
import sam3_checkpoints

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


# One for each family of models.FAMILIES, for test_contract


@pytest.fixture(scope="session")
def small_siglip(tmp_path_factory) -> Checkpoint:
    return checkpoints.of(checkpoints.siglip(tmp_path_factory.mktemp("small-siglip"), 64, **SMALL))


@pytest.fixture(scope="session")
def small_clip(tmp_path_factory) -> Checkpoint:
    return checkpoints.of(checkpoints.clip(tmp_path_factory.mktemp("small-clip"), **SMALL))


@pytest.fixture(scope="session")
def small_clip_resnet(tmp_path_factory) -> Checkpoint:
    return clip_resnet_checkpoints.clip_resnet(tmp_path_factory.mktemp("small-clip-resnet"), "small")


@pytest.fixture(scope="session")
def small_dinov3_vit(tmp_path_factory) -> Checkpoint:
    directory = tmp_path_factory.mktemp("small-dinov3-vit")
    dinov3_checkpoints.vit(directory, (80, 64), **dinov3_checkpoints.SMALL_VIT)
    return checkpoints.of(directory)


@pytest.fixture(scope="session")
def small_dinov3_convnext(tmp_path_factory) -> Checkpoint:
    directory = tmp_path_factory.mktemp("small-dinov3-convnext")
    dinov3_checkpoints.convnext(directory, (96, 64), **dinov3_checkpoints.SMALL_CONVNEXT)
    return checkpoints.of(directory)


@pytest.fixture(scope="session")
def small_sam3(tmp_path_factory) -> Checkpoint:
    return sam3_checkpoints.sam3(tmp_path_factory.mktemp("small-sam3"))


@pytest.fixture(scope="session")
def small_sam3_video(tmp_path_factory, small_sam3) -> Checkpoint:
    return sam3_checkpoints.as_video(small_sam3, tmp_path_factory.mktemp("small-sam3-video"))


@pytest.fixture(scope="session")
def small_grounding_dino(tmp_path_factory) -> Checkpoint:
    made = grounding_dino_checkpoints
    return checkpoints.of(made.grounding_dino(tmp_path_factory.mktemp("small-gd"), made.SMALL_SIZE, **made.SMALL))


@pytest.fixture(scope="session")
def small_mm_grounding_dino(tmp_path_factory) -> Checkpoint:
    made = grounding_dino_checkpoints
    return checkpoints.of(made.mm_grounding_dino(tmp_path_factory.mktemp("small-mm"), made.SMALL_SIZE, **made.SMALL))


@pytest.fixture(scope="session")
def small_depth_anything(tmp_path_factory) -> Checkpoint:
    small = {"hidden_size": 64, "num_attention_heads": 4}
    return depth_checkpoints.v2(tmp_path_factory.mktemp("small-depth-anything"), side=70, **small)


@pytest.fixture(scope="session")
def small_depth_anything3(tmp_path_factory) -> Checkpoint:
    return depth_checkpoints.custom(tmp_path_factory.mktemp("small-da3"), depth_checkpoints.TINY)


@pytest.fixture(scope="session")
def demo() -> Checkpoint:
    return checkpoints.of(Path(visioncli.__file__).parent / "models/demo/siglip")
