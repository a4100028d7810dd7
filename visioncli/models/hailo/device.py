"""HailoRT's devices: which are here, and the one that this process holds.

One virtual device a process, in the group that other processes may share; what is configured on it stays as long as
somebody has it, and all of it is released in order when the process ends. One that answers no more is opened again by
whoever asks next. Knows nothing of pictures or texts.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import threading
import weakref
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from visioncli.errors import DeviceError, ModelError
from visioncli.models.hailo.errors import LATE, NO_DEVICE, NOT_INSTALLED, NOT_LOADABLE, LostDevice, in_sentences
from visioncli.models.hailo.protocol import InferModel, Library, VDevice
from visioncli.wording import counted

GROUP = "SHARED"  # HailoRT's group id: processes that name the same one share the device, where it can be shared


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
    with in_sentences(module):
        return [_identified(module, name) for name in module.Device.scan()]


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
    with in_sentences(module, hef=path.name):
        hef = module.HEF(str(path))
        inputs, outputs = hef.get_input_vstream_infos(), hef.get_output_vstream_infos()
    return _one_of_each(path, inputs, outputs)


def layout_of(path: Path, model: InferModel) -> Layout:
    """As `layout`, of a model on the device."""
    inputs, outputs = map(model.input, model.input_names), map(model.output, model.output_names)
    return _one_of_each(path, list(inputs), list(outputs))


def _one_of_each(path: Path, inputs: list[Any], outputs: list[Any]) -> Layout:
    if (len(inputs), len(outputs)) != (1, 1):
        has = f"{counted(len(inputs), 'input')} and {counted(len(outputs), 'output')}"
        raise ModelError(f"{path.name} has {has}; one tower has one of each")
    (given,), (gives,) = inputs, outputs
    return Layout(given.name, tuple(given.shape), gives.name, tuple(gives.shape))


def by(shape: Sequence[int]) -> str:
    """Return a shape as people write it: 288x288x3."""
    return "x".join(map(str, shape))


class Tenant(Protocol):
    """Whoever has something configured on the device."""

    def close(self) -> None:
        """Let go of it."""


class Held:
    """The virtual device of this process, open until `release`."""

    def __init__(self, number: int | None) -> None:
        self.number, self.module = number, library()
        here = found()
        if not here:
            raise DeviceError(NO_DEVICE.format(version=self.module.__version__))
        if number is not None and number >= len(here):
            raise DeviceError(
                f"hailo:{number} was asked for, but the devices here are hailo:0 to hailo:{len(here) - 1}"
            )
        self.device = here[number or 0]
        self.is_lost = False  # set by whoever gets no answer
        self._tenants: list[weakref.ref[Tenant]] = []  # in the order of their coming
        self._device = self._opened()

    def _opened(self) -> VDevice:
        with self.asking():
            params = self.module.VDevice.create_params()
            params.scheduling_algorithm = self.module.HailoSchedulingAlgorithm.ROUND_ROBIN
            params.group_id = GROUP
            if self.number is not None:
                params.device_ids = [self.device.id]
            return self.module.VDevice(params)

    @property
    def is_let(self) -> bool:
        """Whether somebody has something of it."""
        return bool(self._tenants)

    def let_to(self, tenant: Tenant) -> None:
        """Remember, as long as it lives, whom to close before the device is released; who came last goes first."""
        self._tenants.append(weakref.ref(tenant, self._tenants.remove))

    def infer_model(self, path: Path) -> InferModel:
        """Raises ModelError for a file that is no HEF."""
        with self.asking(path):
            return self._device.create_infer_model(str(path))

    def asking(self, path: Path | None = None) -> AbstractContextManager[None]:
        """What HailoRT raises within becomes a sentence: DeviceError, LostDevice, ModelError."""
        return in_sentences(self.module, where=str(self.device), hef=path.name if path else "")

    def late(self, timeout_ms: int) -> LostDevice:
        return LostDevice(LATE.format(where=self.device, timeout_ms=timeout_ms))

    def release(self) -> None:
        self.is_lost = True
        with ExitStack() as stack:
            stack.callback(self._release)
            for reference in list(self._tenants):
                tenant = reference()
                if tenant is not None:
                    stack.callback(tenant.close)

    def _release(self) -> None:
        with suppress(DeviceError), self.asking():  # of a device that is gone
            self._device.release()


_lock = threading.Lock()  # taken before any tenant's own
_held: list[Held] = []  # at most one


def held(number: int | None = None) -> Held:
    """Return this process's device, opening it where it is not; `number` counts in the order of `found`.

    Another one takes its place when nobody has anything of it any more. Raises DeviceError: no device, held by others,
    versions that do not fit.
    """
    with _lock:
        if _held and (_held[0].is_lost or (_held[0].number != number and not _is_let(_held[0]))):
            _held.pop().release()
        if not _held:
            _held.append(Held(number))
            atexit.register(release)
        if _held[0].number != number:
            raise DeviceError("one process holds one Hailo device; start another for another device")
        return _held[0]


def _is_let(device: Held) -> bool:
    if device.is_let:
        gc.collect()  # a predictor that was let go may wait for the collector
    return device.is_let


def release() -> None:
    """Let go of the device, if it is held, after what is configured on it."""
    with _lock:
        while _held:
            _held.pop().release()
