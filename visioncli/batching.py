"""`forward` that answers every row: short batches padded, halved when memory runs out, poison rows isolated.

Knows nothing of files, order or threads: one device thread calls it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from visioncli.errors import DeviceError, PredictError
from visioncli.models import Predictor

_GIVE_UP_AFTER = 8  # rows that fail alone before any row ever succeeded: it is the device, not the pictures


class SafeForward:
    """One predictor's `forward`, one output or one PredictError per input."""

    def __init__(self, predictor: Predictor[Any, Any], options: Any, batch_size: int) -> None:
        self._predictor = predictor
        self._options = options
        self.limit = batch_size  # lowered for good when the device runs out of memory
        self._good: Any = None  # an input that was answered: tells a poison row from a broken device
        self._failed_alone = 0

    @property
    def has_answered(self) -> bool:
        return self._good is not None

    def __call__(self, inputs: Sequence[Any]) -> list[Any | PredictError]:
        """Return one output per input, in order. Raises DeviceError when the device fails whatever it is given."""
        outputs: list[Any | PredictError] = []
        while len(outputs) < len(inputs):
            outputs += self._attempt(inputs[len(outputs) : len(outputs) + self.limit])
        return outputs

    def _attempt(self, inputs: Sequence[Any]) -> list[Any | PredictError]:
        try:
            outputs = self._forward(inputs)
        except MemoryError:
            return self._halve(inputs, PredictError("out_of_memory", "there was not enough memory for the batch"))
        except PredictError as error:
            return self._halve(inputs, error) if error.code == "out_of_memory" else self._bisect(inputs, error)
        except RuntimeError as error:  # what torch raises for everything that goes wrong on a device
            return self._bisect(inputs, error)
        self._good = inputs[0]
        return outputs

    def _forward(self, inputs: Sequence[Any]) -> list[Any | PredictError]:
        # Padded, so that a row's numbers do not depend on how many neighbours the end of a run left it.
        padded = list(inputs) + [inputs[-1]] * (self.limit - len(inputs))
        outputs = list(self._predictor.forward(padded, self._options))
        if len(outputs) != len(padded):
            raise ValueError(f"{self._predictor.info.id} gave {len(outputs)} outputs for {len(padded)} inputs")
        return outputs[: len(inputs)]

    def _halve(self, inputs: Sequence[Any], error: PredictError) -> list[Any | PredictError]:
        if self.limit == 1:
            return [error]
        self.limit //= 2
        return self(inputs)

    def _bisect(self, inputs: Sequence[Any], error: RuntimeError | PredictError) -> list[Any | PredictError]:
        if len(inputs) > 1:
            middle = len(inputs) // 2
            return self(inputs[:middle]) + self(inputs[middle:])  # not `_attempt`: the limit may sink on the way
        if isinstance(error, PredictError):
            return [error]
        self._suspect_device(error)
        return [PredictError("device_failed", f"the device failed on this picture: {_first_line(error)}")]

    def _suspect_device(self, error: RuntimeError) -> None:
        """Raise DeviceError unless the row may be to blame."""
        self._failed_alone += 1
        if self._good is None and self._failed_alone < _GIVE_UP_AFTER:
            return
        try:
            if self._good is not None:
                self._forward([self._good])
                return
        except (PredictError, MemoryError):
            return  # the device answers, if only that it is full
        except RuntimeError as again:
            error = again
        raise DeviceError(f"the device fails whatever it is given: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
