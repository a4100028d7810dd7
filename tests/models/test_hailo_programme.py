"""A HEF on the double of HailoRT: what is let go of when, and what a failure leaves behind."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import hailo_programmes
import numpy as np
import pytest

from visioncli import models
from visioncli.errors import DeviceError, ModelError
from visioncli.models.hailo.device import held, layout, release
from visioncli.models.hailo.programme import Programme
from visioncli.models.runtime import HailoRequest, RuntimeRequest

FLAT = [np.full((224, 224, 3), level, np.uint8) for level in range(0, 240, 20)]


@pytest.fixture
def log(tmp_path, monkeypatch):
    monkeypatch.setenv("HAILO_DOUBLE_LOG", str(tmp_path / "log"))
    return tmp_path / "log"


@pytest.fixture
def hailo(monkeypatch):
    with hailo_programmes.plugged_in(monkeypatch) as module:
        yield module


@pytest.fixture
def path(small_clip, tmp_path):
    return Path(hailo_programmes.hef(tmp_path, small_clip.directory))


def programme(path, **more):
    return Programme(held(), path, "UINT8", **{"frames": 1, "timeout_ms": 5000, **more})


def events(log):
    return [(one["event"], one.get("kind")) for one in hailo_programmes.events(log)]


def test_what_nobody_has_any_more_is_let_go_of_and_the_device_stays(hailo, log, path):
    first, second = programme(path), programme(path)
    first.ready()
    second.ready()
    del first
    assert events(log) == [("open", None), ("configure", "image"), ("configure", "image"), ("unconfigure", "image")]
    release()
    assert events(log)[4:] == [("unconfigure", "image"), ("release", None)]


def test_a_predictor_that_is_dropped_takes_its_networks_along(hailo, log, small_clip, tmp_path, path):
    texts = hailo_programmes.hef(tmp_path, small_clip.directory, "text")
    asked = RuntimeRequest("hailo", hailo=HailoRequest(str(path), texts))
    loaded = models.load_all(small_clip, asked)
    assert list(loaded) == ["classify", "embed"]
    loaded.clear()
    gc.collect()
    assert sorted(events(log)[1:]) == [(e, k) for e in ("configure", "unconfigure") for k in ("image", "text")]


def test_another_device_takes_the_place_of_one_that_nobody_uses(hailo, log, path, monkeypatch):
    monkeypatch.setenv("HAILO_DOUBLE_DEVICES", "0000:01:00.0=HAILO10H,0000:02:00.0=HAILO10H")
    used = Programme(held(0), path, "UINT8", 1, 5000)
    with pytest.raises(DeviceError, match="one process holds one Hailo device"):
        held(1)
    del used
    Programme(held(1), path, "UINT8", 1, 5000).ready()
    opened = [(one["device"], one["group"], one["scheduler"]) for one in hailo_programmes.events(log) if "group" in one]
    assert opened == [(f"0000:0{n}:00.0", "SHARED", "ROUND_ROBIN") for n in (1, 2)]


class Interrupted(list):
    """Rows, before whose third a person pressed Ctrl-C."""

    def __getitem__(self, place):
        if place == 2:
            raise KeyboardInterrupt
        return super().__getitem__(place)


def test_an_interrupted_call_leaves_nothing_to_the_next_one(hailo, path):
    image = programme(path)
    alone = [image.run([row])[0] for row in FLAT]
    with pytest.raises(KeyboardInterrupt):
        image.run(Interrupted(FLAT[::-1]))
    np.testing.assert_array_equal(image.run(FLAT), alone)


@pytest.mark.parametrize("fault", [{"VANISH": "3"}, {"STALL": "3"}])
def test_a_device_that_was_lost_is_opened_again_when_it_is_back(hailo, log, path, monkeypatch, fault):
    image = programme(path, timeout_ms=2000)
    other = programme(path)
    other.ready()
    before = image.run(FLAT[:2])
    for name, value in fault.items():
        monkeypatch.setenv(f"HAILO_DOUBLE_{name}", value)
    with pytest.raises((RuntimeError, DeviceError)):
        image.run(FLAT[:2])
    if "VANISH" in fault:
        with pytest.raises(DeviceError, match=r"^the Hailo device HAILO10H .* answers no more"):
            image.run(FLAT[:2])
        with pytest.raises(DeviceError, match=r"^HailoRT 5\.2\.0 finds no Hailo device here"):
            image.run(FLAT[:2])
        hailo._MACHINE.is_gone = False
    np.testing.assert_array_equal(image.run(FLAT[:2]), before)
    np.testing.assert_array_equal(other.run(FLAT[:2]), before)
    release()
    names = [event for event, _ in events(log)]
    assert [names.count(name) for name in ("open", "release", "configure", "unconfigure")] == [2, 2, 4, 4]


def test_a_hef_that_was_exchanged_meanwhile_is_not_taken_for_the_one_that_was_loaded(hailo, path, monkeypatch):
    monkeypatch.setenv("HAILO_DOUBLE_STALL", "1")
    image = programme(path, timeout_ms=100)
    with pytest.raises(DeviceError, match="did not answer within 100 ms"):
        image.run(FLAT[:1])
    os.utime(path, ns=(1, 1))
    with pytest.raises(ModelError, match=r"^image-HAILO10H\.hef has changed since it was loaded: start again with it"):
        image.run(FLAT[:1])


def test_a_job_may_carry_more_frames_than_one(hailo, path):
    image = programme(path, frames=16)
    np.testing.assert_allclose(image.run(FLAT * 7), [programme(path).run([row])[0] for row in FLAT] * 7, atol=1e-5)


@pytest.mark.parametrize(
    ("knobs", "sentence"),
    [
        (
            {"FAULT": "streams"},
            r"^HailoRT 5\.2\.0 failed on image-HAILO10H\.hef: .* error: 8 \(HAILO_INTERNAL_FAILURE\); hailor",
        ),
    ],
)
def test_what_hailort_says_as_a_number_is_a_sentence(hailo, path, monkeypatch, knobs, sentence):
    for name, value in knobs.items():
        monkeypatch.setenv(f"HAILO_DOUBLE_{name}", value)
    with pytest.raises(DeviceError, match=sentence):
        layout(path)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (
            "no_driver",
            r"^Hailo's driver is not loaded \(.* 64 \(HAILO_PCIE_DRIVER_NOT_INSTALLED\)\): install the one of",
        ),
        ("driver", r"^HailoRT 4\.18\.0, its driver and the device's firmware are of different versions \(.* 76 "),
    ],
)
def test_the_names_of_older_versions_are_known(monkeypatch, fault, sentence):
    with (
        hailo_programmes.plugged_in(monkeypatch, VERSION="4.18.0", FAULT=fault),
        pytest.raises(DeviceError, match=sentence),
    ):
        held()


def test_an_older_driver_that_fails_is_a_device_that_is_gone(monkeypatch, path):
    with hailo_programmes.plugged_in(monkeypatch, VERSION="4.18.0", VANISH="1"):
        image = programme(path)
        with pytest.raises(RuntimeError, match=r"^PCIe driver failure"):
            image.run(FLAT[:1])
        with pytest.raises(DeviceError, match=r"answers no more \(PCIe driver failure\. .*look at `dmesg"):
            image.run(FLAT[:1])
