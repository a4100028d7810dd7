"""A HEF on the device: frames in, vectors out, in order, several on their way at a time.

The device works on one frame while the next ones are already with it, so that it does not wait for us between two of
them. After a job that failed HailoRT shuts the whole pipeline down; it is configured again at the next call.
Knows nothing of what the numbers mean.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visioncli.errors import RunError
from visioncli.models.hailo.device import Held, Layout, layout_of
from visioncli.models.hailo.errors import kind
from visioncli.models.hailo.protocol import Bindings, CompletionInfo, Configured

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
        """One flat output per row. Raises what HailoRT does; DeviceError when nothing ends within the time."""
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
        self._configured.run_async([frame.bindings for frame in carried], ended)

    def _collected(self, found: dict[int, NDArray[np.float32]]) -> Slot:
        """Wait for a job to end, keep what it gives, and return its slot."""
        try:
            slot, error = self._ended.get(timeout=self._timeout_ms / 1000)
        except queue.Empty:
            raise TimeoutError(f"no frame came back within {self._timeout_ms} ms") from None
        if error is not None:
            raise error
        for frame, place in zip(slot.frames, slot.rows, strict=False):
            found[place] = frame.output.reshape(-1).copy()
        return slot

    def close(self) -> None:
        self._configured.__exit__(None, None, None)


class Programme:
    """Thread-safe; configured once, and again after a failure."""

    def __init__(self, held: Held, path: Path, format_name: str, frames: int, timeout_ms: int) -> None:
        self._held, self._path, self._format, self._frames, self._timeout_ms = (
            held,
            path,
            format_name,
            frames,
            timeout_ms,
        )
        self._model = held.infer_model(path)
        self.layout = layout_of(path, self._model)
        self._model.input(self.layout.input_name).set_format_type(getattr(held.module.FormatType, format_name))
        self._model.output(self.layout.output_name).set_format_type(held.module.FormatType.FLOAT32)  # dequantised
        self._model.set_batch_size(frames)
        self._lock = threading.RLock()
        self._pipe: Pipe | None = None
        held.at_the_end(self.close)

    def ready(self) -> None:
        """Configure it now. Raises ModelError where it does not fit the device, DeviceError."""
        with self._lock:
            self._pipe = self._pipe or self._configured()

    def run(self, rows: Sequence[NDArray[Any]]) -> list[NDArray[np.float32]]:
        """One flat output per row, in order.

        Raises RuntimeError when the device failed on one of the rows, DeviceError when it answers no more.
        """
        with self._lock:
            self.ready()
            assert self._pipe is not None
            try:
                return self._pipe.run(rows)
            except (self._held.module.HailoRTException, TimeoutError) as error:
                self.close()
                raise self._failure(error) from error

    def _configured(self) -> Pipe:
        try:
            configured = self._model.configure().__enter__()
            return Pipe(configured, self.layout, self._format, self._frames, self._timeout_ms)
        except self._held.module.HailoRTException as error:
            raise self._held.explained(error, self._path) from error

    def _failure(self, error: Exception) -> RunError | RuntimeError:
        if isinstance(error, TimeoutError) or kind(error) == "HailoRTTimeout":
            return self._held.late(self._timeout_ms)
        return RuntimeError(str(error))  # a row may be to blame: whoever asked finds out by asking again

    def close(self) -> None:
        """Let go of what is configured; the next call configures it again."""
        with self._lock:
            pipe, self._pipe = self._pipe, None
            if pipe is not None:
                with suppress(self._held.module.HailoRTException):
                    pipe.close()
