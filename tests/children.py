"""Real processes that do a command or a job, and may be killed: forked from one that has imported everything.

    with children.nursery() as nursery:
        child = nursery.command(["embed", "photos", "-o", "out.parquet"])
        child.kill(9); child.wait()          # -> Ended(code=-9, …)

A fresh interpreter takes seconds to import torch, a fork of one that has imported it milliseconds. Nothing but
imports happens before the fork.
"""

from __future__ import annotations

import base64
import json
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FAMILIES = ("siglip", "sam3", "grounding_dino", "swin", "bert", "clip")
_FIRST = ["torch", "torch._dynamo", *(f"transformers.models.{name}.modeling_{name}" for name in _FAMILIES)]
_FIRST += ["pandas", "pyarrow.parquet", "trimesh", "pycocotools.mask"]
_OURS = (
    "cli jobs jobs.stream flow io.web io.decode io.drawings io.depth_files io.clouds models.siglip models.zero_shot "
    "models.text models.sam3 models.grounding_dino models.depth_anything3 tasks.classify tasks.embed"
)

_ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1"}  # on a busy machine torch's threads wait for each other, spinning


@dataclass(frozen=True)
class Ended:
    code: int  # of the exit; negative: the signal that ended it
    out: str
    err: str


class Child:
    def __init__(self, nursery: Nursery, pid: int, out: Path) -> None:
        self._nursery, self.pid, self._out = nursery, pid, out
        self.ended: Ended | None = None

    def kill(self, signal_number: int) -> None:
        os.kill(self.pid, signal_number)

    @property
    def err(self) -> str:
        """What it has said so far on standard error."""
        path = self._out.with_suffix(".err")
        return path.read_text() if path.exists() else ""

    def wait(self) -> Ended:
        if self.ended is None:
            code = os.waitstatus_to_exitcode(self._nursery.ask({"wait": self.pid}))
            self.ended = Ended(code, self._out.read_text() if self._out.exists() else "", self.err)
        return self.ended


class Nursery:
    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process, self._folder, self._count = process, folder, 0

    def command(self, arguments: Sequence[str | Path], **more: int | str) -> Child:
        """Begin `visioncli ARGUMENTS`.

        `file_bytes`: the largest file that it can write; `typed`, `shown`, `said`: what it reads and writes instead of
        nothing and files (named pipes, say).
        """
        return self._begin({"arguments": [str(argument) for argument in arguments], **more})

    def job(self, job: Any) -> Child:
        """Begin `visioncli.run(job)`."""
        return self._begin({"job": base64.b64encode(pickle.dumps(job)).decode()})

    def _begin(self, what: dict[str, Any]) -> Child:
        self._count += 1
        out = self._folder / f"{self._count}.out"
        return Child(self, self.ask({**what, "out": str(out), "folder": os.getcwd()}), out)

    def ask(self, question: dict[str, Any]) -> int:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextmanager
def nursery() -> Iterator[Nursery]:
    command = [sys.executable, "-m", "tests.children"]
    root = Path(__file__).parents[1]
    pipe = subprocess.PIPE
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=root, env=_ONE_THREAD) as process,
    ):
        yield Nursery(process, Path(folder))


def _serve() -> None:
    for name in (*_FIRST, *(f"visioncli.{name}" for name in _OURS.split())):
        __import__(name)
    _prepare_pillow()
    for line in iter(sys.stdin.readline, ""):
        question = json.loads(line)
        answer = os.waitpid(question["wait"], 0)[1] if "wait" in question else _fork(question)
        print(answer, flush=True)


def _prepare_pillow() -> None:
    from PIL import Image, ImageOps

    assert ImageOps is not None
    Image.init()


def _fork(question: dict[str, Any]) -> int:
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            code = _be(question)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return pid


def _be(question: dict[str, Any]) -> int:
    import resource
    import signal

    os.chdir(question["folder"])
    err = Path(question["out"]).with_suffix(".err")
    writing = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    os.dup2(os.open(question.get("said", err), writing), sys.stderr.fileno())
    os.dup2(os.open(question.get("typed", os.devnull), os.O_RDONLY), sys.stdin.fileno())
    os.dup2(os.open(question.get("shown", question["out"]), writing), sys.stdout.fileno())
    if "file_bytes" in question:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then writing on is an OSError, as on a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (question["file_bytes"],) * 2)
    return _do_job(question["job"]) if "job" in question else _do_command(question["arguments"])


def _do_command(arguments: list[str]) -> int:
    from visioncli import cli

    sys.argv = ["visioncli", *arguments]
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def _do_job(pickled: str) -> int:
    import visioncli
    from visioncli.cli import exit_code
    from visioncli.errors import VisioncliError

    try:
        visioncli.run(pickle.loads(base64.b64decode(pickled)))
    except VisioncliError as error:
        print(error, file=sys.stderr)
        return exit_code(error)
    return 0


if __name__ == "__main__":
    _serve()
