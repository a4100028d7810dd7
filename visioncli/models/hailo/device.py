"""HailoRT's devices: which are here, and the one that this process holds.

One virtual device a process, in the group that other processes may share; what was configured on it stays, and all of
it is released in order when the process ends. Knows nothing of pictures or texts.
"""

from __future__ import annotations

import atexit
import importlib
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visioncli.errors import DeviceError, ModelError
from visioncli.models.hailo.errors import LATE, NO_DEVICE, NOT_INSTALLED, NOT_LOADABLE, explained
from visioncli.models.hailo.protocol import InferModel, Library

GROUP = "SHARED"  # HailoRT's group id: processes that name the same one share the device


@dataclass(frozen=True, slots=True)
class Found:
    """One device that is here."""

    id: str
    architecture: str
    firmware: str
    serial: str

    def __str__(self) -> str:
        return f"{self.architecture} at {self.id}, firmware {self.firmware}"


@dataclass(frozen=True, slots=True)
class Layout:
    """A HEF's one input and one output."""

    input_name: str
    input_shape: tuple[int, ...]  # (height, width, channels)
    output_name: str
    output_shape: tuple[int, ...]


def library() -> Library:
    """Return `hailo_platform`. Raises DeviceError that says where it comes from."""
    try:
        module: Library = importlib.import_module("hailo_platform")
    except ModuleNotFoundError as error:
        if error.name == "hailo_platform":
            raise DeviceError(NOT_INSTALLED) from error
        raise DeviceError(NOT_LOADABLE.format(error=error)) from error
    except ImportError as error:
        raise DeviceError(NOT_LOADABLE.format(error=error)) from error
    return module


def found() -> list[Found]:
    """Return every device that is here, in HailoRT's order. Raises DeviceError."""
    module = library()
    try:
        return [_identified(module, name) for name in module.Device.scan()]
    except module.HailoRTException as error:
        raise explained(error, version=module.__version__) from error


def _identified(module: Library, name: str) -> Found:
    device = module.Device(name)
    try:
        known = device.control.identify()
    finally:
        device.release()
    return Found(name, str(known.device_architecture), str(known.firmware_version).split(" ")[0], known.serial_number)


def layout(path: Path) -> Layout:
    """Return what a HEF takes and gives; needs no device. Raises DeviceError, ModelError."""
    module = library()
    try:
        hef = module.HEF(str(path))
        inputs, outputs = hef.get_input_vstream_infos(), hef.get_output_vstream_infos()
    except module.HailoRTException as error:
        raise explained(error, version=module.__version__, hef=path.name) from error
    return _one_of_each(path, inputs, outputs)


def layout_of(path: Path, model: InferModel) -> Layout:
    """As `layout`, of a model on the device."""
    inputs, outputs = map(model.input, model.input_names), map(model.output, model.output_names)
    return _one_of_each(path, list(inputs), list(outputs))


def _one_of_each(path: Path, inputs: list[Any], outputs: list[Any]) -> Layout:
    if (len(inputs), len(outputs)) != (1, 1):
        raise ModelError(f"{path.name} has {len(inputs)} inputs and {len(outputs)} outputs; one tower has one of each")
    (given,), (gives,) = inputs, outputs
    return Layout(given.name, tuple(given.shape), gives.name, tuple(gives.shape))


def by(shape: Sequence[int]) -> str:
    """Return a shape as people write it: 288x288x3."""
    return "x".join(map(str, shape))


class Held:
    """The virtual device of this process, open until `release`."""

    def __init__(self, number: int | None) -> None:
        self.module = library()
        here = found()
        if not here:
            raise DeviceError(NO_DEVICE.format(version=self.module.__version__))
        if number is not None and number >= len(here):
            raise DeviceError(
                f"hailo:{number} was asked for, but the devices here are hailo:0 to hailo:{len(here) - 1}"
            )
        self.device = here[number or 0]
        self._stack = ExitStack()
        self._open([self.device.id] if number is not None else None)

    def _open(self, ids: list[str] | None) -> None:
        params = self.module.VDevice.create_params()
        params.scheduling_algorithm = self.module.HailoSchedulingAlgorithm.ROUND_ROBIN
        params.group_id = GROUP
        try:
            self._device = self.module.VDevice(params, device_ids=ids)
        except self.module.HailoRTException as error:
            raise self.explained(error) from error
        self._stack.callback(self._device.release)

    def infer_model(self, path: Path) -> InferModel:
        """Raises ModelError for a file that is no HEF."""
        try:
            return self._device.create_infer_model(str(path))
        except self.module.HailoRTException as error:
            raise self.explained(error, path) from error

    def at_the_end(self, close: Any) -> None:
        """Call `close()` before the device is released; what came last goes first."""
        self._stack.callback(close)

    def explained(self, error: Exception, path: Path | None = None) -> Exception:
        hef = path.name if path else ""
        return explained(error, version=self.module.__version__, where=str(self.device), hef=hef)

    def late(self, timeout_ms: int) -> DeviceError:
        return DeviceError(LATE.format(where=self.device, timeout_ms=timeout_ms))

    def release(self) -> None:
        self._stack.close()


_lock = threading.Lock()
_held: dict[int | None, Held] = {}  # at most one


def held(number: int | None = None) -> Held:
    """Return this process's device, opening it at the first call; `number` counts in the order of `found`.

    Raises DeviceError: no device, held by others, versions that do not fit.
    """
    with _lock:
        if not _held:
            _held[number] = Held(number)
            atexit.register(release)
        if number not in _held:
            raise DeviceError("one process holds one Hailo device; start another for another device")
        return _held[number]


def release() -> None:
    """Let go of the device, if it is held, after what is configured on it."""
    with _lock:
        while _held:
            _held.popitem()[1].release()
