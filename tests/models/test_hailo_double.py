"""The double is as strict as what it stands for."""

from __future__ import annotations

import hailo_programmes
import numpy as np
import pytest


@pytest.fixture
def hailo(monkeypatch):
    with hailo_programmes.plugged_in(monkeypatch) as module:
        yield module


@pytest.fixture
def configured(hailo, small_clip, tmp_path):
    params = hailo.VDevice.create_params()
    params.scheduling_algorithm = hailo.HailoSchedulingAlgorithm.ROUND_ROBIN
    with hailo.VDevice(params) as vdevice:
        yield vdevice.create_infer_model(hailo_programmes.hef(tmp_path, small_clip.directory)).configure()


@pytest.mark.parametrize(
    "buffer",
    [
        np.zeros((224, 224, 3), np.float32),
        np.zeros((3, 224, 224), np.uint8),
        np.zeros((224, 448, 3), np.uint8)[:, ::2],
    ],
    ids=["dtype", "shape", "not contiguous"],
)
def test_a_buffer_that_does_not_fit_is_refused(hailo, configured, buffer):
    with pytest.raises(hailo.HailoRTException):
        configured.create_bindings({"image/input_layer1": buffer})


def test_an_unknown_stream_is_refused(hailo, configured):
    with pytest.raises(hailo.pyhailort.pyhailort.HailoRTNotFoundException):
        configured.create_bindings({"input": np.zeros((224, 224, 3), np.uint8)})


def test_a_second_device_outside_the_group_is_refused(hailo, configured):
    with pytest.raises(
        hailo.HailoRTException, match=r"^libhailort failed with error: 74 .HAILO_OUT_OF_PHYSICAL_DEVICES.$"
    ):
        hailo.VDevice()


def test_a_job_that_failed_shuts_the_pipeline_down(hailo, configured, monkeypatch):
    monkeypatch.setenv("HAILO_DOUBLE_POISON", "0,0,0")
    bound = configured.create_bindings(
        {"image/input_layer1": np.zeros((224, 224, 3), np.uint8)},
        {"image/output_layer1": np.zeros((1, 1, 512), np.uint8)},
    )
    ended = []
    configured.run_async([bound], lambda completion_info: ended.append(completion_info.exception)).wait(5000)
    assert [type(error) for error in ended] == [hailo.HailoRTException]
    with pytest.raises(hailo.pyhailort.pyhailort.HailoRTStreamAborted):
        configured.run_async([bound])


@pytest.mark.parametrize(
    ("fault", "call", "number"),
    [
        ("no_driver", lambda hailo, path: hailo.Device.scan(), "64"),
        ("driver", lambda hailo, path: hailo.Device("0000:01:00.0"), "76"),
        ("", lambda hailo, path: hailo.Device("0000:09:00.0"), "61"),
        ("streams", lambda hailo, path: hailo.HEF(path).get_input_vstream_infos(), "8"),
    ],
)
def test_what_the_real_one_forgets_to_convert_is_a_number_here_too(
    hailo, small_clip, tmp_path, monkeypatch, fault, call, number
):
    monkeypatch.setenv("HAILO_DOUBLE_FAULT", fault)
    path = hailo_programmes.hef(tmp_path, small_clip.directory)
    with pytest.raises(hailo.pyhailort._pyhailort.HailoRTStatusException, match=f"^{number}$") as raised:
        call(hailo, path)
    assert not isinstance(raised.value, hailo.HailoRTException)
    with pytest.raises(hailo.HailoRTException), hailo.pyhailort.pyhailort.ExceptionWrapper():
        call(hailo, path)


def test_ids_as_an_argument_make_it_forget_its_parameters(hailo):
    params = hailo.VDevice.create_params()
    params.group_id = "SHARED"
    with hailo.VDevice(params, device_ids=["0000:01:00.0"]) as vdevice:
        assert vdevice._params.group_id == "UNIQUE"


def test_what_is_on_its_way_when_it_is_let_go_of_is_aborted(hailo, configured, monkeypatch):
    monkeypatch.setenv("HAILO_DOUBLE_LATENCY_MS", "1000")
    ended = []
    with configured:
        jobs = [
            configured.run_async([bound(configured)], lambda completion_info: ended.append(completion_info.exception))
            for _ in range(4)
        ]
    for job in jobs:
        job.wait(5000)
    assert isinstance(ended[-1], hailo.pyhailort.pyhailort.HailoRTStreamAborted)


def test_as_many_frames_may_wait_as_four_batches_have(hailo, small_clip, tmp_path):
    params = hailo.VDevice.create_params()
    params.scheduling_algorithm = hailo.HailoSchedulingAlgorithm.ROUND_ROBIN
    model = hailo.VDevice(params).create_infer_model(hailo_programmes.hef(tmp_path, small_clip.directory))
    model.set_batch_size(16)
    configured = model.configure()
    configured.wait_for_async_ready(100, 64)
    with pytest.raises(hailo.pyhailort.pyhailort.HailoRTTimeout):
        configured.wait_for_async_ready(100, 65)


def bound(configured):
    given, gives = np.zeros((224, 224, 3), np.uint8), np.zeros((1, 1, 512), np.uint8)
    return configured.create_bindings({"image/input_layer1": given}, {"image/output_layer1": gives})
