"""A HEF on the device: frames in, vectors out, in order, several on their way at a time.

The device works on one frame while the next ones are already with it, so that it does not wait for us between two of
them. After a job that failed HailoRT shuts the whole pipeline down; it is configured again at the next call, on a
device that was opened again where that was lost.
Knows nothing of what the numbers mean.
"""

from __future__ import annotations

import queue
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visioncli.errors import ModelError, RunError
from visioncli.models.hailo.device import Held, Layout, held, layout_of
from visioncli.models.hailo.errors import LostDevice, kind
from visioncli.models.hailo.protocol import Bindings, CompletionInfo, Configured, Job

IN_FLIGHT = 4  # jobs: one that is computed, one that is moved in, one that is moved out, one that waits
FORMATS = {"UINT8": np.uint8, "FLOAT32": np.float32}


@dataclass(eq=False)
class Frame:
    """One frame's buffers; free again when its job has ended."""

    input: NDArray[Any]
    output: NDArray[np.float32]
    bindings: Bindings


@dataclass(eq=False)
class Slot:
    """What one job carries, and which rows it has at the moment."""

    frames: list[Frame]
    rows: range = range(0)
    job: Job | None = None  # while it is on its way


class Pipe:
    """A configured model with its buffers. Of no use after anything was raised."""

    def __init__(self, configured: Configured, layout: Layout, format_name: str, frames: int, timeout_ms: int) -> None:
        self._configured, self._timeout_ms, self._frames = configured, timeout_ms, frames
        self._ended: queue.SimpleQueue[tuple[Slot, Exception | None]] = queue.SimpleQueue()
        dtype = FORMATS[format_name]
        self._slots = [Slot([self._frame(layout, dtype) for _ in range(frames)]) for _ in range(IN_FLIGHT)]

    def _frame(self, layout: Layout, dtype: Any) -> Frame:
        given = np.zeros(layout.input_shape, dtype)  # NHWC without the N, C-contiguous
        gives = np.zeros(layout.output_shape, np.float32)
        bound = self._configured.create_bindings({layout.input_name: given}, {layout.output_name: gives})
        return Frame(given, gives, bound)

    def run(self, rows: Sequence[NDArray[Any]]) -> list[NDArray[np.float32]]:
        """One flat output per row. Raises what HailoRT does; TimeoutError when nothing ends within the time."""
        found: dict[int, NDArray[np.float32]] = {}
        free = deque(self._slots)
        for first in range(0, len(rows), self._frames):
            if not free:
                free.append(self._collected(found))
            self._submit(free.popleft(), rows, range(first, min(first + self._frames, len(rows))))
        while len(free) < len(self._slots):
            free.append(self._collected(found))
        return [found[place] for place in range(len(rows))]

    def _submit(self, slot: Slot, rows: Sequence[NDArray[Any]], places: range) -> None:
        slot.rows = places
        carried = slot.frames[: len(places)]
        for frame, place in zip(carried, places, strict=True):
            np.copyto(frame.input, rows[place].reshape(frame.input.shape))

        def ended(completion_info: CompletionInfo) -> None:  # on a thread of HailoRT's, which must not wait
            self._ended.put((slot, completion_info.exception))

        self._configured.wait_for_async_ready(timeout_ms=self._timeout_ms, frames_count=len(carried))
        slot.job = self._configured.run_async([frame.bindings for frame in carried], ended)

    def _collected(self, found: dict[int, NDArray[np.float32]]) -> Slot:
        """Wait for a job to end, keep what it gives, and return its slot."""
        try:
            slot, error = self._ended.get(timeout=self._timeout_ms / 1000)
        except queue.Empty:
            raise TimeoutError(f"no frame came back within {self._timeout_ms} ms") from None
        slot.job = None
        if error is not None:
            raise error
        for frame, place in zip(slot.frames, slot.rows, strict=False):
            found[place] = frame.output.reshape(-1).copy()
        return slot

    def close(self) -> None:
        """Let go of it. Raises what HailoRT does."""
        try:
            self._abort([slot.job for slot in self._slots if slot.job is not None])
        finally:
            self._configured.__exit__(None, None, None)

    def _abort(self, jobs: list[Job]) -> None:
        """End what is on its way, and wait until HailoRT has called back.

        HailoRT 4.18 would wait for it in `__exit__` with Python's lock in its hands, for ever.
        """
        if jobs:
            self._configured.shutdown()
            for job in jobs:
                job.wait(self._timeout_ms)


class Programme:
    """Thread-safe; configured once, and again after a failure. Let go of with the last reference to it, or `close`."""

    def __init__(self, device: Held, path: Path, format_name: str, frames: int, timeout_ms: int) -> None:
        self._path, self._format, self._frames, self._timeout_ms = path, format_name, frames, timeout_ms
        self._lock = threading.RLock()
        self._pipes: list[Pipe] = []  # what is configured: one, or nothing yet
        weakref.finalize(self, _close, self._lock, self._pipes, device.module.HailoRTException).atexit = False
        self._stamp = _stamp(path)
        self._move_to(device)

    def _move_to(self, device: Held) -> None:
        """Have the device read the HEF. Raises ModelError, DeviceError."""
        if _stamp(self._path) != self._stamp:
            raise ModelError(f"{self._path.name} has changed since it was loaded: start again with it as it is now")
        model = device.infer_model(self._path)
        with device.asking(self._path):
            self.layout = layout_of(self._path, model)
            model.input(self.layout.input_name).set_format_type(getattr(device.module.FormatType, self._format))
            model.output(self.layout.output_name).set_format_type(device.module.FormatType.FLOAT32)  # dequantised
            model.set_batch_size(self._frames)
        self._held, self._model = device, model
        device.let_to(self)

    def ready(self) -> None:
        """Configure it now. Raises ModelError where it does not fit the device, DeviceError."""
        device = self._device()
        with self._lock:
            self._pipe(device)

    def run(self, rows: Sequence[NDArray[Any]]) -> list[NDArray[np.float32]]:
        """One flat output per row, in order.

        Raises RuntimeError when the device failed on one of the rows, DeviceError when it answers no more.
        """
        device = self._device()
        with self._lock:
            pipe = self._pipe(device)
            try:
                return pipe.run(rows)
            except (device.module.HailoRTException, TimeoutError) as error:
                self.close()
                raise self._failure(error) from error
            except BaseException:  # Ctrl-C, say: jobs are still on their way, and would be taken for the next call's
                self.close()
                raise

    def _device(self) -> Held:
        """Return the device, opened again where it was lost.

        To be asked without our lock: before it is opened again, everybody's pipes are closed.
        """
        return held(self._held.number) if self._held.is_lost else self._held

    def _pipe(self, device: Held) -> Pipe:
        if device.is_lost:
            raise LostDevice(f"the Hailo device {device.device} was let go of meanwhile")  # by another thread
        try:
            if device is not self._held:
                self._move_to(device)
            if not self._pipes:
                self._pipes.append(self._configured())
        except LostDevice:
            device.is_lost = True
            raise
        return self._pipes[0]

    def _configured(self) -> Pipe:
        with self._held.asking(self._path):
            configured = self._model.configure().__enter__()
            return Pipe(configured, self.layout, self._format, self._frames, self._timeout_ms)

    def _failure(self, error: Exception) -> RunError | RuntimeError:
        if isinstance(error, TimeoutError) or kind(error) == "HailoRTTimeout":
            self._held.is_lost = True  # what it still does, and for whom, cannot be known
            return self._held.late(self._timeout_ms)
        return RuntimeError(str(error))  # a row may be to blame: whoever asked finds out by asking again

    def close(self) -> None:
        """Let go of what is configured; the next call configures it again."""
        _close(self._lock, self._pipes, self._held.module.HailoRTException)


def _close(lock: threading.RLock, pipes: list[Pipe], of_hailo: type[Exception]) -> None:
    with lock:
        while pipes:
            with suppress(of_hailo):  # of a device that is gone
                pipes.pop().close()


def _stamp(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from another at its place, None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
