"""A double of HailoRT's Python package: the surface of visioncli.models.hailo.protocol, computed on the CPU.

There is no simulator of HailoRT. This one checks what the real one checks (names, shapes, dtypes, contiguity), works on
one frame after the other on a thread of its own, calls back from there, raises the same classes with the same
texts (and, where the real one forgets to convert them, numbers), and shuts a pipeline down when one of its jobs fails.
A "HEF" is a small JSON:

    {"kind": "image" | "text", "checkpoint": DIR, "architecture": "HAILO10H", "is_whole": true}

Knobs, by environment variables, all named HAILO_DOUBLE_...:

    DEVICES     addresses and chips, `0000:01:00.0=HAILO10H,...`; empty for none
    VERSION     of HailoRT; before 4.20 some failures have other names
    FAULT       busy, driver, no_driver or streams
    POISON      `r,g,b`: frames whose first pixel is this fail
    VANISH      number of the frame at which the device goes
    STALL       number of the frame that never ends
    LATENCY_MS  of a frame
    LOG         a file of JSON lines: what was opened, configured and let go

Written from HailoRT's own sources; never part of the package.
"""

from __future__ import annotations

import json
import os
import queue
import threading
import time
from dataclasses import dataclass, field
from enum import Enum
from math import prod
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from hailo_platform.networks import network
from hailo_platform.pyhailort import _pyhailort
from hailo_platform.pyhailort.pyhailort import ExceptionWrapper, HailoRTException

__version__ = _pyhailort.__version__
QUEUED = 4  # batches that may wait in one pipeline: HailoRT's own scale, before it took 32


class FormatType(Enum):
    UINT8 = np.uint8
    UINT16 = np.uint16
    FLOAT32 = np.float32


class HailoSchedulingAlgorithm(Enum):
    NONE = 0
    ROUND_ROBIN = 1


def _number(status):
    """As the extension raises it."""
    return _pyhailort.HailoRTStatusException(str(status))


_said = ExceptionWrapper.create_exception_from_status  # as most of the Python around it does


def _fault(name):
    return os.environ.get("HAILO_DOUBLE_FAULT") == name


class _Machine:
    """What is plugged in, and what has been done with it."""

    def __init__(self):
        self.frames = 0
        self.in_flight = self.most_in_flight = 0
        self.is_gone = False
        self.lock = threading.Lock()
        self.open = []

    @property
    def devices(self):
        given = os.environ.get("HAILO_DOUBLE_DEVICES", "0000:01:00.0=HAILO10H")
        return {} if self.is_gone else dict(one.split("=") for one in given.split(",") if one)

    def log(self, event, **facts):
        if path := os.environ.get("HAILO_DOUBLE_LOG"):
            with open(path, "a") as file:
                file.write(json.dumps({"event": event, **facts}) + "\n")

    def begun(self, count):
        with self.lock:
            self.in_flight += count
            self.most_in_flight = max(self.most_in_flight, self.in_flight)

    def one_frame(self):
        """Count a frame; let the device go at this one, wait for ever where it stalls."""
        with self.lock:
            self.frames += 1
            number = self.frames
        if number == int(os.environ.get("HAILO_DOUBLE_VANISH", 0)):
            self.is_gone = True
            for device in self.open:
                device.is_dead = True  # and stays so, even when it is plugged in again
        if number == int(os.environ.get("HAILO_DOUBLE_STALL", 0)):
            threading.Event().wait()

    def ended(self, count):
        with self.lock:
            self.in_flight -= count


_MACHINE = _Machine()


class Device:
    @classmethod
    def scan(cls):
        if _fault("no_driver"):
            raise _number(64)
        return list(_MACHINE.devices)

    def __init__(self, device_id):
        if device_id not in _MACHINE.devices:
            raise _number(61)
        if _fault("driver"):
            raise _number(76)
        known = {"device_architecture": _MACHINE.devices[device_id], "serial_number": "HLDDLBB000000001"}
        identity = SimpleNamespace(**known, firmware_version="5.2.0 (release,app,extended context switch buffer)")
        self.control = SimpleNamespace(identify=lambda: identity)

    def release(self):
        self.control = None


class HEF:
    def __init__(self, hef_source):
        if not isinstance(hef_source, str):
            raise ValueError("HEF can only be created from a file path (str) or a buffer (bytes)")
        try:
            self.content = json.loads(Path(hef_source).read_text())
            self.checkpoint, self.kind = Path(self.content["checkpoint"]), self.content["kind"]
        except (OSError, ValueError, KeyError):
            raise _said(
                26 if __version__.startswith("4.") else 92
            ) from None  # of 5: its first bytes are another file's
        if not self.content.get("is_whole", True):
            raise _said(91)
        self.network = network(self.checkpoint, self.kind)

    def get_input_vstream_infos(self):
        if _fault("streams"):
            raise _number(8)
        return [SimpleNamespace(name=f"{self.kind}/input_layer1", shape=self.network.input_shape)]

    def get_output_vstream_infos(self):
        return [SimpleNamespace(name=f"{self.kind}/output_layer1", shape=self.network.output_shape)]


@dataclass
class _Params:
    device_count: int = 1
    device_ids: list = field(default_factory=list)
    scheduling_algorithm: HailoSchedulingAlgorithm = HailoSchedulingAlgorithm.NONE
    group_id: str = "UNIQUE"
    multi_process_service: bool = False


class VDevice:
    @staticmethod
    def create_params():
        return _Params()

    def __init__(self, params=None, *, device_ids=None):
        params = params or _Params()
        if device_ids:
            if params.device_ids:
                raise _said(6)
            params = _Params(device_ids=device_ids)  # the parameters are forgotten, in HailoRT's extension, too
        self._params, ids = params, params.device_ids or list(_MACHINE.devices)[:1]
        is_shared = all(one._params.group_id == self._params.group_id != "UNIQUE" for one in _MACHINE.open)
        if _fault("busy") or not ids or not is_shared or not all(one in _MACHINE.devices for one in ids):
            raise _said(74)
        self.architecture, self.is_dead = _MACHINE.devices[ids[0]], False
        _MACHINE.open.append(self)
        _MACHINE.log(
            "open", device=ids[0], group=self._params.group_id, scheduler=self._params.scheduling_algorithm.name
        )

    def create_infer_model(self, hef_source, name=""):
        return InferModel(self, HEF(hef_source))

    def release(self):
        if self in _MACHINE.open:
            _MACHINE.open.remove(self)
            _MACHINE.log("release", frames=_MACHINE.frames, most_in_flight=_MACHINE.most_in_flight)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.release()


class _Stream:
    def __init__(self, info, format_type):
        self.name, self.shape, self.format_type = info.name, list(info.shape), format_type

    def set_format_type(self, format_type):
        self.format_type = FormatType(format_type)


class InferModel:
    def __init__(self, vdevice, hef):
        self._vdevice, self.hef, self.batch_size = vdevice, hef, 1
        self._inputs = {info.name: _Stream(info, FormatType.UINT8) for info in hef.get_input_vstream_infos()}
        self._outputs = {info.name: _Stream(info, FormatType.UINT8) for info in hef.get_output_vstream_infos()}
        self.input_names, self.output_names = list(self._inputs), list(self._outputs)

    def input(self, name=""):
        return _named(self._inputs, name)

    def output(self, name=""):
        return _named(self._outputs, name)

    def set_batch_size(self, batch_size):
        self.batch_size = batch_size

    def configure(self):
        if self._vdevice.is_dead:
            raise _said(36)
        if self.hef.content.get("architecture", self._vdevice.architecture) != self._vdevice.architecture:
            raise _said(93)
        if self._vdevice not in _MACHINE.open or self._vdevice._params.scheduling_algorithm.name != "ROUND_ROBIN":
            raise _said(6)
        _MACHINE.log("configure", kind=self.hef.kind, batch_size=self.batch_size)
        return ConfiguredInferModel(self)


def _named(streams, name):
    if name == "" and len(streams) == 1:
        return next(iter(streams.values()))
    if name not in streams:
        raise _said(61)
    return streams[name]


class _Bound:
    def __init__(self, stream):
        self._stream, self._buffer = stream, None

    def set_buffer(self, buffer):
        if not buffer.flags.c_contiguous:
            raise HailoRTException("Buffer must be C_CONTIGUOUS")
        expected = prod(self._stream.shape) * np.dtype(self._stream.format_type.value).itemsize
        if buffer.nbytes != expected or buffer.dtype != self._stream.format_type.value:
            raise _said(6)
        if list(buffer.shape) != self._stream.shape:
            raise HailoRTException(f"a buffer of {buffer.shape} for {self._stream.shape}")
        self._buffer = buffer

    def get_buffer(self, tf_format=False):
        return self._buffer


class _Bindings:
    def __init__(self, model, inputs, outputs):
        self._inputs = {name: _Bound(model.input(name)) for name in model.input_names}
        self._outputs = {name: _Bound(model.output(name)) for name in model.output_names}
        for streams, buffers in ((self._inputs, inputs), (self._outputs, outputs)):
            for name, buffer in (buffers or {}).items():
                _named(streams, name).set_buffer(buffer)

    def input(self, name=""):
        return _named(self._inputs, name)

    def output(self, name=""):
        return _named(self._outputs, name)


class _Job:
    def __init__(self):
        self.is_done = threading.Event()

    def wait(self, timeout_ms):
        if not self.is_done.wait(timeout_ms / 1000):
            raise _said(4)


class ConfiguredInferModel:
    def __init__(self, model):
        self._model, self._waiting, self._is_shut = model, queue.SimpleQueue(), False
        self._room = threading.Semaphore(self.get_async_queue_size())
        threading.Thread(target=self._work, daemon=True, name="hailort-double").start()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.shutdown()
        self._waiting.put(None)
        _MACHINE.log("unconfigure", kind=self._model.hef.kind)

    def shutdown(self):
        """What is on its way is aborted."""
        self._is_shut = True

    def create_bindings(self, input_buffers=None, output_buffers=None):
        return _Bindings(self._model, input_buffers, output_buffers)

    def get_async_queue_size(self):
        return QUEUED * self._model.batch_size

    def wait_for_async_ready(self, timeout_ms=1000, frames_count=1):
        for _ in range(frames_count):
            if not self._room.acquire(timeout=timeout_ms / 1000):
                raise _said(4)
        for _ in range(frames_count):
            self._room.release()

    def run_async(self, bindings, callback=None):
        if self._is_shut or self._model._vdevice.is_dead:
            raise _said(63)
        if len(bindings) > self._model.batch_size:
            raise _said(6)
        if not all(self._room.acquire(blocking=False) for _ in bindings):
            raise _said(82)
        job = _Job()
        _MACHINE.begun(len(bindings))
        self._waiting.put((bindings, callback, job))
        return job

    def _work(self):
        while (item := self._waiting.get()) is not None:
            bindings, callback, job = item
            error = self._computed(bindings)
            self._is_shut |= error is not None
            _MACHINE.ended(len(bindings))
            for _ in bindings:
                self._room.release()
            if callback is not None:
                callback(completion_info=SimpleNamespace(exception=error))
            job.is_done.set()

    def _computed(self, bindings):
        for one in bindings:
            if self._is_shut:
                return _said(63)
            _MACHINE.one_frame()
            if self._model._vdevice.is_dead:
                return _said(36)
            time.sleep(float(os.environ.get("HAILO_DOUBLE_LATENCY_MS", 0)) / 1000)
            given, gives = one.input().get_buffer(), one.output().get_buffer()
            if self._model.hef.kind == "image" and _is_poison(given):
                return _said(8)
            gives[...] = self._model.hef.network.forward(given).reshape(gives.shape)
        return None


def _is_poison(pixels):
    poison = os.environ.get("HAILO_DOUBLE_POISON")
    return bool(poison) and pixels[0, 0].tolist() == [int(level) for level in poison.split(",")]
