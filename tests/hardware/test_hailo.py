"""The real HailoRT against what visioncli expects of it; skipped where there is no device.

    HEF=image.hef [TEXT_HEF=text.hef] pytest tests/hardware

Needs no checkpoint: names, shapes, formats, order and the ways to fail. How far a HEF's vectors are from the CPU's is
`visioncli parity`'s to say.
"""

from __future__ import annotations

import os
from math import prod
from pathlib import Path

import numpy as np
import pytest

from visioncli.errors import DeviceError, ModelError, VisioncliError
from visioncli.models.hailo import protocol
from visioncli.models.hailo.device import found, held, layout, layout_of, library, release
from visioncli.models.hailo.errors import in_sentences
from visioncli.models.hailo.programme import IN_FLIGHT, Programme


def _devices() -> int:
    try:
        return len(found())
    except VisioncliError:
        return 0


pytestmark = pytest.mark.skipif(_devices() == 0, reason="no Hailo device here")
needs_hef = pytest.mark.skipif("HEF" not in os.environ, reason="HEF=image.hef is not set")


@pytest.fixture
def image():
    device = held()
    try:
        yield Programme(device, Path(os.environ["HEF"]), "UINT8", 1, 5000)
    finally:
        release()


@pytest.mark.parametrize("name", list(protocol.Library.__annotations__))
def test_the_library_has_every_name_that_is_used(name: str) -> None:
    assert hasattr(library(), name)


@pytest.mark.parametrize(
    ("kind", "methods"),
    [
        ("VDevice", ("create_params", "create_infer_model", "release")),
        ("Device", ("scan", "release")),
        ("HEF", ("get_input_vstream_infos", "get_output_vstream_infos")),
    ],
)
def test_its_classes_have_every_method_that_is_used(kind: str, methods: tuple[str, ...]) -> None:
    assert [name for name in methods if not hasattr(getattr(library(), kind), name)] == []


def test_a_device_says_what_it_is() -> None:
    assert all(one.architecture.startswith("HAILO") and one.firmware[0].isdigit() for one in found())


def test_its_parameters_take_a_group_a_scheduler_and_ids() -> None:
    params = library().VDevice.create_params()
    params.group_id, params.scheduling_algorithm = "SHARED", library().HailoSchedulingAlgorithm.ROUND_ROBIN
    params.device_ids = library().Device.scan()[:1]
    assert (params.group_id, list(params.device_ids)) == ("SHARED", library().Device.scan()[:1])


def test_what_it_raises_as_a_number_becomes_a_sentence() -> None:
    with pytest.raises(DeviceError, match=r"HailoRT|Hailo device"), in_sentences(library()):
        library().Device("0000:ff:1f.7")
    with pytest.raises(library().HailoRTException), library().pyhailort.pyhailort.ExceptionWrapper():
        library().Device("0000:ff:1f.7")


def test_the_last_device_is_taken_by_its_number() -> None:
    last = len(found()) - 1
    try:
        assert held(last).device == found()[last]
    finally:
        release()


@needs_hef
def test_the_file_and_the_model_on_the_device_agree(image: Programme) -> None:
    shapes = layout(Path(os.environ["HEF"]))
    assert layout_of(Path(os.environ["HEF"]), image._model) == shapes
    assert (len(shapes.input_shape), shapes.input_shape[-1]) == (3, 3)


@needs_hef
def test_frames_come_back_in_order_and_the_same_each_time(image: Programme) -> None:
    rows = [np.full(image.layout.input_shape, level, np.uint8) for level in range(0, 256, 255 // (4 * IN_FLIGHT))]
    together, alone = image.run(rows), [image.run([row])[0] for row in rows]
    assert together[0].shape == (prod(image.layout.output_shape),)
    np.testing.assert_array_equal(together, alone)
    assert np.isfinite(together).all() and np.ptp(together, axis=0).any()


@needs_hef
def test_it_can_be_configured_again(image: Programme) -> None:
    row = np.zeros(image.layout.input_shape, np.uint8)
    before = image.run([row])
    image.close()
    np.testing.assert_array_equal(image.run([row]), before)


@needs_hef
def test_it_can_be_opened_again(image: Programme) -> None:
    row = np.zeros(image.layout.input_shape, np.uint8)
    before = image.run([row])
    held().is_lost = True
    np.testing.assert_array_equal(image.run([row]), before)


@needs_hef
def test_what_is_on_its_way_when_a_call_is_interrupted_is_given_up(image: Programme) -> None:
    class Interrupted(list[np.ndarray]):
        def __getitem__(self, place):  # type: ignore[no-untyped-def]
            if place == IN_FLIGHT - 1:
                raise KeyboardInterrupt
            return super().__getitem__(place)

    rows = [np.full(image.layout.input_shape, level, np.uint8) for level in range(0, 256, 32)]
    before = image.run(rows)
    with pytest.raises(KeyboardInterrupt):
        image.run(Interrupted(rows[::-1]))
    np.testing.assert_array_equal(image.run(rows), before)


def test_a_file_that_is_no_hef_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "x.hef").write_text("no HEF" * 1000)
    with pytest.raises(ModelError, match=r"^x\.hef is "):
        layout(tmp_path / "x.hef")


@pytest.mark.skipif("TEXT_HEF" not in os.environ, reason="TEXT_HEF=text.hef is not set")
def test_a_text_tower_takes_and_gives_token_states() -> None:
    try:
        text = Programme(held(), Path(os.environ["TEXT_HEF"]), "FLOAT32", 1, 5000)
        assert text.layout.input_shape == text.layout.output_shape
        assert np.isfinite(text.run([np.zeros(text.layout.input_shape, np.float32)])[0]).all()
    finally:
        release()
