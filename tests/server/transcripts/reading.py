"""The documents' examples as they are printed, with other hosts, keys and names; and whether an answer is alike."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

_HEADERS = ("-H", "--header")
_BODIES = ("-d", "--data-raw")
_METHODS = ("-X", "--request")


@dataclass(frozen=True)
class Curl:
    """What a printed curl command sends."""

    method: str
    url: str
    headers: dict[str, str]
    body: str

    def send(self) -> Any:
        return requests.request(self.method, self.url, headers=self.headers, data=self.body.encode(), timeout=60).json()


def parsed(command: str) -> Curl:
    """Read a curl command by the shell's rules; what `$` stands for stays as it is."""
    words = iter(shlex.split(command.replace("\\\n", " "))[1:])
    method, url, headers, body = "GET", "", {}, ""
    for word in words:
        if word in _METHODS:
            method = next(words)
        elif word in _HEADERS:
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word in _BODIES:
            body = next(words)
        elif word != "--location":
            assert not word.startswith("-"), word
            url = word
    return Curl(method, url, headers, body)


def run_in_shell(command: str, folder: Path) -> Any:
    """Run it as a person would, quietly. The answer must be JSON."""
    quiet = command.replace("curl ", "curl -sS ", 1)
    done = subprocess.run(["bash", "-c", quiet], cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)


def has(*programs: str) -> bool:
    return all(shutil.which(program) for program in programs)


def replaced(text: str, new: dict[str, str]) -> str:
    """Every old word must be there: an example that was not changed would go to the real host."""
    for old, word in new.items():
        assert old in text, old
        text = text.replace(old, word)
    return text


def alike(shown: Any, got: Any) -> bool:
    """The same keys in the same order, the same types all the way down; of a list, each item as the first shown.

    Whole numbers pass where the document shows a number with decimals, not the other way round.
    """
    if isinstance(shown, dict):
        return isinstance(got, dict) and list(shown) == list(got) and all(alike(shown[key], got[key]) for key in shown)
    if isinstance(shown, tuple):  # of fixed length, each place of its own type
        return isinstance(got, list) and len(shown) == len(got) and all(map(alike, shown, got))
    if isinstance(shown, list):
        return isinstance(got, list) and bool(got) and all(alike(shown[0], each) for each in got)
    if isinstance(shown, float):
        return isinstance(got, (int, float)) and not isinstance(got, bool)
    return type(shown) is type(got)
