"""`forward` that answers every row: short batches padded, halved when memory runs out, poison rows isolated.

Knows nothing of files, order or threads: one device thread calls it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from visioncli.errors import DeviceError, PredictError, first_line
from visioncli.models import Predictor

_GIVE_UP_AFTER = 8  # rows that fail alone before any row ever succeeded: it is the device, not the pictures


class SafeForward:
    """One predictor's `forward`, one output or one PredictError per input."""

    def __init__(self, predictor: Predictor[Any, Any], batch_size: int, *, fill: bool = True) -> None:
        self._predictor = predictor
        self.limit = batch_size  # lowered for good when the device runs out of memory
        self._fill = fill  # pad short batches; off where a lone row must not pay for a whole batch
        self._good: tuple[Any, Any] | None = None  # answered input and options: tell a poison row from a broken device
        self._failed_alone = 0

    @property
    def has_answered(self) -> bool:
        return self._good is not None

    def __call__(self, inputs: Sequence[Any], options: Any) -> list[Any | PredictError]:
        """Return one output per input, in order. Raises DeviceError when the device fails whatever it is given."""
        outputs: list[Any | PredictError] = []
        while len(outputs) < len(inputs):
            outputs += self._attempt(inputs[len(outputs) : len(outputs) + self.limit], options)
        return outputs

    def _attempt(self, inputs: Sequence[Any], options: Any) -> list[Any | PredictError]:
        try:
            outputs = self._forward(inputs, options)
        except MemoryError:
            error = PredictError("out_of_memory", "there was not enough memory for the batch")
            return self._halve(inputs, options, error)
        except PredictError as error:
            is_full = error.code == "out_of_memory"
            return self._halve(inputs, options, error) if is_full else self._bisect(inputs, options, error)
        except RuntimeError as error:  # what torch raises for everything that goes wrong on a device
            return self._bisect(inputs, options, error)
        self._good = inputs[0], options
        return outputs

    def _forward(self, inputs: Sequence[Any], options: Any) -> list[Any | PredictError]:
        # Padded, so that a row's numbers do not depend on how many neighbours the end of a run left it.
        padded = list(inputs) + [inputs[-1]] * (self.limit - len(inputs) if self._fill else 0)
        outputs = list(self._predictor.forward(padded, options))
        if len(outputs) != len(padded):
            raise ValueError(f"{self._predictor.info.id} gave {len(outputs)} outputs for {len(padded)} inputs")
        return outputs[: len(inputs)]

    def _halve(self, inputs: Sequence[Any], options: Any, error: PredictError) -> list[Any | PredictError]:
        if self.limit == 1:
            return [error]
        self.limit //= 2
        return self(inputs, options)

    def _bisect(
        self, inputs: Sequence[Any], options: Any, error: RuntimeError | PredictError
    ) -> list[Any | PredictError]:
        if len(inputs) > 1:
            middle = len(inputs) // 2  # `self`, not `_attempt`: the limit may sink on the way
            return self(inputs[:middle], options) + self(inputs[middle:], options)
        if isinstance(error, PredictError):
            return [error]
        self._suspect_device(error)
        return [PredictError("device_failed", f"the device failed on this picture: {first_line(error)}")]

    def _suspect_device(self, error: RuntimeError) -> None:
        """Raise DeviceError unless the row may be to blame."""
        self._failed_alone += 1
        if self._good is None and self._failed_alone < _GIVE_UP_AFTER:
            return
        try:
            if self._good is not None:
                self._forward([self._good[0]], self._good[1])
                return
        except (PredictError, MemoryError):
            return  # the device answers, if only that it is full
        except RuntimeError as again:
            error = again
        raise DeviceError(f"the device fails whatever it is given: {first_line(error)}") from error
