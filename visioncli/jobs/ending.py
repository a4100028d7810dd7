"""What is told of a run that an error ends: how far it was, and what becomes of it.

Knows nothing of what ended it, or of how rows are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from visioncli.errors import InterruptedRunError, NotNowError, RunError, VisioncliError
from visioncli.jobs.job import Stop
from visioncli.jobs.summary import Summary


@contextmanager
def ending(stop: Stop, so_far: Callable[[], Summary], after: Callable[[Summary], str]) -> Iterator[None]:
    """Leave in `stop` what had been done when the block raised, and end the error's sentence with what comes `after`.

    `so_far` is asked when all that could be written is written; it says whether the output is there by then.
    """
    try:
        yield
    except VisioncliError as error:
        done = so_far()
        if isinstance(error, (RunError, NotNowError, InterruptedRunError)):
            error.after = after(done)
        stop.so_far = replace(done, error_code=error.code, error=str(error))
        raise
