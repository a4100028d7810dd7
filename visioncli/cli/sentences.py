"""What the library has to say, a sentence a line on standard error. Imports nothing heavy."""

from __future__ import annotations

import logging
import sys


def set_up(quiet: bool, verbose: bool) -> None:
    """Send what the library has to say to standard error, a sentence a line."""
    log = logging.getLogger("visioncli")
    log.setLevel(logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("visioncli: %(message)s"))
    log.handlers = [handler]
    log.propagate = False
