"""A long answer is made in steps, and between two of them somebody may look: that it goes on, or that it should end.

    with between_steps(look):            # who runs a model: `look` may raise, and ends the work
        predictor.forward(inputs, options)

    for chunk in chunks:                 # inside a model
        step()

A step is what cannot be divided: one pass over a batch, or over a few texts. Knows nothing of models or of who looks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_look: ContextVar[Callable[[], None] | None] = ContextVar("look", default=None)  # of this thread


@contextmanager
def between_steps(look: Callable[[], None]) -> Iterator[None]:
    """Call `look` before each step of what this thread computes inside."""
    token = _look.set(look)
    try:
        yield
    finally:
        _look.reset(token)


def step() -> None:
    """Begin a step. Raises what whoever looks raises; nothing where nobody does."""
    look = _look.get()
    if look is not None:
        look()
