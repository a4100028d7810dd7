"""The part of HailoRT's Python package `hailo_platform` that is used here, written down once.

Whoever has a device can hold this page against the real package: `tests/hardware` does so, and `tests/hailo_double`
imitates it. The same surface is in 4.x (Hailo-8, 8L) and 5.x (Hailo-10H, 15). Sources: HailoRT's pyhailort.py and its
asynchronous inference tutorial.

Only `HailoRTException` is at the package's top; its kinds (HailoRTTimeout, HailoRTHEFNotCompatibleWithDevice, ...) are
told apart by their names, and those without a class of their own by the status in their text, `(HAILO_...)`. What is
marked "raw" raises the extension's HailoRTStatusException instead: no HailoRTException, its text the status's number.
The package's own ExceptionWrapper makes the one of the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol


class Identity(Protocol):
    device_architecture: Any  # its str() is HAILO8, HAILO8L, HAILO10H, HAILO15H, ...
    firmware_version: Any  # its str() begins with 5.2.0, say
    serial_number: str


class Control(Protocol):
    def identify(self) -> Identity: ...


class Device(Protocol):
    """`Device(id)`; `Device.scan()` lists the ids."""

    control: Control

    def release(self) -> None: ...


class DeviceClass(Protocol):
    def __call__(self, device_id: str) -> Device:
        """Raw."""

    def scan(self) -> list[str]:
        """PCIe addresses, 0000:01:00.0 say; none where there is no device. Raw."""


class Stream(Protocol):
    """An input or output of an InferModel."""

    name: str
    shape: tuple[int, ...]  # (height, width, channels)

    def set_format_type(self, format_type: Any) -> None: ...


class InferModel(Protocol):
    input_names: list[str]
    output_names: list[str]

    def input(self, name: str = "") -> Stream: ...

    def output(self, name: str = "") -> Stream: ...

    def set_batch_size(self, batch_size: int) -> None: ...

    def configure(self) -> Configured: ...


class Bindings(Protocol):
    """One frame's buffers, kept by whoever made them until the frame's job has ended."""


class CompletionInfo(Protocol):
    exception: Exception | None


class Job(Protocol):
    def wait(self, timeout_ms: int) -> None:
        """Until its callback has returned. Raises HailoRTTimeout."""


class Configured(Protocol):
    """A context manager. After a job that failed it is shut down: nothing more can be asked of it."""

    def __enter__(self) -> Configured: ...

    def __exit__(self, *error: Any) -> Any:
        """Lets go of it: what is on its way is aborted."""

    def shutdown(self) -> None:
        """Aborts what is on its way; each job's callback is still called."""

    def create_bindings(self, input_buffers: dict[str, Any], output_buffers: dict[str, Any]) -> Bindings:
        """Buffers by stream name: C-contiguous, of the stream's shape and format."""

    def wait_for_async_ready(self, timeout_ms: int, frames_count: int) -> None:
        """Raises HailoRTTimeout where there is no room for so many frames within the time."""

    def run_async(self, bindings: Sequence[Bindings], callback: Callable[..., None]) -> Job:
        """Calls `callback(completion_info=...)` on a thread of HailoRT's when the job has ended, well or not."""


class VDeviceParams(Protocol):
    scheduling_algorithm: Any
    group_id: str
    device_ids: list[str]


class VDevice(Protocol):
    """One a process. Its argument `device_ids` is not used: with it the extension forgets the parameters."""

    def create_infer_model(self, hef_source: str) -> InferModel: ...

    def release(self) -> None:
        """Raw."""


class VDeviceClass(Protocol):
    def __call__(self, params: VDeviceParams) -> VDevice: ...

    def create_params(self) -> VDeviceParams: ...


class VStreamInfo(Protocol):
    name: str
    shape: tuple[int, ...]


class Hef(Protocol):
    """`HEF(path)`: needs the library, not a device."""

    def get_input_vstream_infos(self) -> list[VStreamInfo]:
        """Raw."""

    def get_output_vstream_infos(self) -> list[VStreamInfo]:
        """Raw."""


class Inner(Protocol):
    """The module `hailo_platform.pyhailort.pyhailort`."""

    ExceptionWrapper: Callable[[], AbstractContextManager[Any]]


class Package(Protocol):
    """The package `hailo_platform.pyhailort`."""

    pyhailort: Inner


class Library(Protocol):
    """The module `hailo_platform`."""

    __version__: str
    pyhailort: Package
    Device: DeviceClass
    VDevice: VDeviceClass
    HEF: Callable[[str], Hef]
    FormatType: Any  # .UINT8, .FLOAT32
    HailoSchedulingAlgorithm: Any  # .ROUND_ROBIN
    HailoRTException: type[Exception]
