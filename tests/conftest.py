"""What every test shares."""

import logging
import os
from collections.abc import Iterator

import pytest

# As `visioncli.models.runtime` does for itself, before any test imports torch: the suite runs beside what it starts.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
# One thread each: numbers are equal to the last bit whoever computes them, and two workers do not wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A command that runs in this process sets up its log, for a standard error that is closed after its test."""
    log = logging.getLogger("visioncli")
    level, handlers, propagate = log.level, [*log.handlers], log.propagate
    yield
    log.setLevel(level)  # which also clears what loggers remember of levels
    log.handlers, log.propagate = handlers, propagate
