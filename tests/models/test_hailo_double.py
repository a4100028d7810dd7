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
    with pytest.raises(hailo.HailoRTNotFoundException):
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
    with pytest.raises(hailo.HailoRTStreamAborted):
        configured.run_async([bound])
