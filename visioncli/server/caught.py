"""Where work of the server's threads ends: with what it returns, or with what is wrong as a value.

The server's only place that catches everything: nobody else would hear of it, and whoever waits would wait for ever.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from visioncli.errors import PredictError, VisioncliError

T = TypeVar("T")

log = logging.getLogger("visioncli.server")


def caught(work: Callable[[], T]) -> T | VisioncliError:
    """Return what `work` returns, or the error that it raises: what nobody foresaw as a PredictError, and logged."""
    try:
        return work()
    except VisioncliError as error:
        return error
    except MemoryError:
        return PredictError("out_of_memory", "there was not enough memory for one input")
    except Exception as error:  # a boundary: the next input must be answered, and this one told
        log.exception("an input failed unexpectedly")
        return PredictError("device_failed", f"the model failed: {type(error).__name__}: {error}")
