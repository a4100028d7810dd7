"""Shells are driven for real: bash and zsh at a terminal, fish by `complete -C`. PowerShell's script is only read.

A visioncli and a python that leave a mark stand first on PATH: completing must run neither.
"""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import shutil
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.completions import ROOT, SHELLS, Command, Row, script

FOLDER = ROOT / "completions"

OFFERED = {
    "visioncli ": "classify depth detect doctor embed models parity report segment serve-compat similar",
    "visioncli serve-compat --api ha": "hailo-clip",
    "visioncli cl": "classify",
    "visioncli models ": "list pull verify",
    "visioncli models list --j": "--json",
    "visioncli classify --ov": "--overwrite",
    "visioncli classify --dtype ": "auto bfloat16 float16 float32",
    "visioncli classify --dtype=b": "--dtype=bfloat16",
    "visioncli classify --device ": "auto cpu cuda hailo mps",
    "visioncli classify --fail-on ": "any new none",
    "visioncli classify --alpha ": "black drop white",
    "visioncli embed --store ": "float16 float32 npz",
    "visioncli embed --features ": "pooled tokens",
    "visioncli embed --workers ": "auto",
    "visioncli segment --masks ": "png polygons rle",
    "visioncli depth --export ": "glb npz ply png16 preview",
    "visioncli embed --limit ": "",
    "visioncli embed --text ": "",
    "visioncli parity --device ": "",
    "visioncli report --min-score ": "",
    "visioncli report pic": "pictures.csv",
    "visioncli depth --depth-size=m": "--depth-size=model",
    "visioncli embed --scor": "",
    "visioncli classify pic": "pictures.csv",
    "visioncli classify --overwrite my": "'my pictures.csv'",
    "visioncli classify -- --ov": "",
    "visioncli classify -o pic": "pictures.csv",
    "visioncli classify --output=pic": "--output=pictures.csv",
    "visioncli classify --labels=@pic": "--labels=@pictures.csv",
    "visioncli parity --alpha ": "black drop white",
    "visioncli parity pic": "pictures.csv",
    "visioncli classify -m de": "demo depth-anything-v2-small",
    "visioncli classify -l @": "'@my pictures.csv' @pictures.csv",
    "visioncli classify -l pic": "",
    "visioncli similar --min": "--min-score --minus",
    "visioncli similar --index pic": "pictures.csv",
    "visioncli classify -m a --mod": "",
    "visioncli classify --model a --mod": "",
    "visioncli classify --labels a --lab": "--labels",
    "visioncli embed -t a --tex": "--text --text-col --text-embeddings --text-hef",
}

ODD = r"""it's [a:b] "q" $HOME $(touch ../ran) `touch ../ran` C:\new %d | # ~ * {x}"""
HELPS = {
    "visioncli models ": "check every file's hash, and print `<id> <commit> <directory>`.",
    "visioncli classify -": "How a label becomes a sentence; several are averaged. (default: {})",
}

SETUP = {
    "bash": (
        ["bash", "--noprofile", "--rcfile", "../.zshrc", "-i"],
        r"""source "$SCRIPTS/visioncli.bash"
bind '"\t": insert-completions'; bind '"\C-xl": possible-completions'
bind -x '"\C-xs": printf "%s\n" "$READLINE_LINE" >> "$TYPED"'
PS1='ready> '
""",
    ),
    "zsh": (
        ["zsh", "-i"],
        r"""fpath=($SCRIPTS $fpath)
autoload -Uz compinit && compinit -u -D
zstyle ':completion:*' completer _all_matches _complete
zstyle ':completion:*' insert true
typed() { print -r -- $BUFFER >> $TYPED }
listed() { zstyle ':completion:*' completer _complete; zle list-choices }
zle -N typed; bindkey '^Xs' typed
zle -N listed; bindkey '^Xl' listed
LISTMAX=1000 PROMPT='ready> '
""",
    ),
}


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    """A folder of two files; afterwards, that nothing ran which a static script has no use for."""
    (tmp_path / "here").mkdir()
    for name in ("pictures.csv", "my pictures.csv"):
        (tmp_path / "here" / name).touch()
    (tmp_path / "bin").mkdir()
    for name in ("visioncli", "python", "python3"):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\ntouch {shlex.quote(str(tmp_path / 'ran'))}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    yield tmp_path / "here"
    assert not (tmp_path / "ran").exists()


def environment(here: Path, scripts: Path) -> dict[str, str]:
    home = str(here.parent)
    path = f"{home}/bin{os.pathsep}{os.environ['PATH']}"
    said = {"TYPED": f"{home}/typed", "SCRIPTS": str(scripts), "TERM": "xterm", "LC_ALL": "C.UTF-8"}
    return {"PATH": path, "HOME": home, "ZDOTDIR": home, **said}


class Terminal:
    """A shell at a terminal 200 columns wide."""

    def __init__(self, shell: str, here: Path, scripts: Path) -> None:
        command, setup = SETUP[shell]
        (here.parent / ".zshrc").write_text(setup)
        self.typed, self.screen = here.parent / "typed", ""
        self.typed.touch()
        self.keys, end = pty.openpty()
        termios.tcsetwinsize(end, (60, 200))
        self.shell = subprocess.Popen(
            command, cwd=here, env=environment(here, scripts), stdin=end, stdout=end, stderr=end, start_new_session=True
        )
        os.close(end)

    def press(self, keys: str) -> None:
        self.until(lambda: "ready> " in self.screen)
        os.write(self.keys, keys.encode())

    def until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20
        while not done():
            assert time.monotonic() < deadline, self.screen
            if select.select([self.keys], [], [], 0.01)[0]:
                self.screen += os.read(self.keys, 1 << 16).decode(errors="replace")

    def completed(self, line: str) -> str:
        """Type `line` and Tab, bound to insert whatever is offered; return the line that stands there then."""
        before = len(self.typed.read_text().splitlines())
        self.press(line + "\t\x18s\x15")
        self.until(lambda: self.typed.read_text().count("\n") > before)
        return self.typed.read_text().splitlines()[before]

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *error: object) -> None:
        self.shell.kill()
        self.shell.wait()
        os.close(self.keys)


@pytest.fixture(params=SETUP)
def shell(request: pytest.FixtureRequest) -> str:
    return str(request.param) if shutil.which(request.param) else pytest.skip(f"no {request.param} here")


@pytest.fixture
def terminal(shell: str, here: Path) -> Iterator[Terminal]:
    with Terminal(shell, here, FOLDER) as opened:
        yield opened


@pytest.fixture
def odd_scripts(tmp_path: Path) -> Path:
    """Scripts of a made-up command whose help holds everything that a shell could take for its own."""
    rows = (
        Row(("pull",), "command", ODD),
        Row(("push",), "command", ODD),
        Row(("--odd",), "flag", ODD),
        Row(("--odder",), "files", ODD),
    )
    for name, render in SHELLS.values():
        (tmp_path / name).write_text(render([Command("", rows), Command(" pull", rows[2:])]))
    return tmp_path


needs_fish = pytest.mark.skipif(not shutil.which("fish"), reason="no fish here")


def fish(line: str, here: Path, scripts: Path = FOLDER) -> list[list[str]]:
    """Return what fish offers: each a word and, where there is one, its help."""
    code = "source $SCRIPTS/visioncli.fish; complete -C $argv[1]"
    done = subprocess.run(
        ["fish", "--no-config", "-c", code, line],
        cwd=here,
        env=environment(here, scripts),
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    return [one.split("\t") for one in done.stdout.splitlines()]


def offered(line: str, completed: str) -> list[str]:
    """Return the words that completing put in place of the last one; zsh ends --option= where a value follows."""
    added = shlex.split(completed)[line.count(" ") :]
    return sorted(word.rstrip("=") for word in added if word != line.rpartition(" ")[2])


def test_the_scripts_are_what_the_commands_make_of_them() -> None:
    written = {name: (FOLDER / name).read_text() for name in os.listdir(FOLDER)}
    assert written == {name: script(shell) for shell, (name, _) in SHELLS.items()}


def test_at_a_terminal_words_options_and_files_are_completed(terminal: Terminal) -> None:
    found = {line: offered(line, terminal.completed(line)) for line in OFFERED}
    assert found == {line: sorted(shlex.split(words)) for line, words in OFFERED.items()}


@pytest.mark.parametrize("line", HELPS)
def test_at_a_terminal_helps_stand_beside_what_is_listed(terminal: Terminal, line: str) -> None:
    terminal.press(line + "\x18l")
    terminal.until(lambda: HELPS[line] in terminal.screen)


@pytest.mark.parametrize("line", ["visioncli ", "visioncli --odd"])
def test_at_a_terminal_a_help_is_text_whatever_it_holds(shell: str, here: Path, odd_scripts: Path, line: str) -> None:
    with Terminal(shell, here, odd_scripts) as terminal:
        terminal.press(line + "\x18l")
        terminal.until(lambda: ODD in terminal.screen)


@needs_fish
def test_fish_takes_a_help_as_text_whatever_it_holds(here: Path, odd_scripts: Path) -> None:
    assert fish("visioncli pu", here, odd_scripts) == [["pull", ODD], ["push", ODD]]
    assert fish("visioncli --o", here, odd_scripts) == [["--odd", ODD], ["--odder", ODD]]


@needs_fish
@pytest.mark.parametrize("line", OFFERED)
def test_fish_completes_words_options_and_files(here: Path, line: str) -> None:
    assert sorted(word for word, *_ in fish(line, here)) == sorted(shlex.split(OFFERED[line]))


@needs_fish
@pytest.mark.parametrize("line", HELPS)
def test_fish_shows_helps(here: Path, line: str) -> None:
    assert any(help.endswith(HELPS[line]) for _, help in fish(line, here))


@pytest.mark.parametrize("name", [name for name, _ in SHELLS.values()])
def test_no_script_names_an_interpreter(name: str) -> None:
    assert "python" not in (FOLDER / name).read_text().lower()


def test_powershell_is_named_visioncli_once_and_its_quotes_close() -> None:
    text = (FOLDER / "visioncli.ps1").read_text()
    code = re.sub("'(?:[^'‘’‚‛]|'')*'|#.*", "", text)
    assert [line.split()[:3] for line in code.splitlines() if "visioncli" in line] == [
        ["Register-ArgumentCompleter", "-Native", "-CommandName"]
    ]
    assert not set("'‘’‚‛`") & set(code)
