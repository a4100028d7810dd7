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


def in_one_line(text: str, most: int) -> str:
    """Return at most so many letters of a text; what a terminal would obey shows as an escape."""
    short = text if len(text) <= most else f"{text[:most]}…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in short)
