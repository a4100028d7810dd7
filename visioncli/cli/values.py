"""What people write after a flag, as values. Raises UsageError with the flag's name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from visioncli.errors import UsageError

_SCALES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def items(given: Iterable[str], flag: str) -> tuple[str, ...]:
    """Return one list of what a flag was given, each time `a,b,c`, or `@file` with one item a line."""
    found = (_lines(text[1:], flag) if text.startswith("@") else text.split(",") for text in given)
    return tuple(item for item in (part.strip() for part in chain.from_iterable(found)) if item)


def _lines(path: str, flag: str) -> list[str]:
    if not path:
        raise UsageError(f"{flag}: @ stands before the name of a file: {flag} @list.txt")
    try:
        return Path(path).read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise UsageError(f"{flag}: {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise UsageError(f"{flag}: {path} is not UTF-8 text") from None


def amount(text: str, flag: str) -> int:
    """Return a count such as 100000, 500k, 100M or 2G (powers of ten)."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kmg]?)b?", text.strip().lower())
    if match is None or float(match[1]) <= 0:
        raise UsageError(f"{flag}: {text!r} is no amount; write 500k, 100M or 2G")
    return int(float(match[1]) * _SCALES[match[2]])


def duration_s(text: str, flag: str) -> float:
    """Return seconds from 90, 90s, 30m, 1.5h, 1h30m or 1h 30m."""
    given = text.strip().lower()
    number = r"\d+(?:\.\d+)?"
    if not re.fullmatch(rf"{number}|{number}[smhd](?:\s*{number}[smhd])*", given):  # 1h30 may be minutes or seconds
        raise UsageError(f"{flag}: {text!r} is no duration; write 90s, 30m or 1h30m")
    return sum(float(n) * _SECONDS[unit or "s"] for n, unit in re.findall(rf"({number})([smhd]?)", given))


def auto_or_count(text: str, flag: str) -> int | None:
    """Return None for `auto`, else a positive count."""
    if text == "auto":
        return None
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise UsageError(f"{flag}: {text!r} is neither auto nor a positive number")
    return int(text)


def header(text: str) -> tuple[str, str]:
    """Return a request header from `Name: value`."""
    name, colon, value = text.partition(":")
    if not colon or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name.strip()) or re.search(r"[\r\n]", value):
        raise UsageError(f"--header: {text!r} is not of the form 'Name: value'")
    return name.strip(), value.strip()
