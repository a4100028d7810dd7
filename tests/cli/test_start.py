"""The command answers at once: nothing heavy is imported before a command runs."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "pandas", "pyarrow", "numpy", "PIL", "httpx", "httpx2", "aiohttp", "huggingface_hub")
PROBE = """
import sys
from visioncli.cli import main
try:
    main()
except SystemExit as end:
    code = end.code
print(code, *(name for name in {heavy!r} if name in sys.modules), file=sys.stderr)
"""


@pytest.mark.parametrize("arguments", [["--help"], ["classify", "--help"], ["models", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    probe = [sys.executable, "-c", PROBE.format(heavy=HEAVY), *arguments]
    done = subprocess.run(probe, capture_output=True, text=True, check=True)
    assert done.stderr.strip().splitlines()[-1] == "0"
    assert done.stdout


OPEN_FILES = """
import resource
from visioncli.cli import main
resource.setrlimit(resource.RLIMIT_NOFILE, (256, {hard}))
try:
    main()
except SystemExit:
    print(resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_a_command_may_open_as_many_files_as_the_system_lets_it() -> None:
    command = [sys.executable, "-c", OPEN_FILES.format(hard=1000), "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "(1000, 1000)"


def test_importing_the_library_imports_nothing_heavy() -> None:
    code = f"import sys, visioncli; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("module", ["models", "io", "tasks", "jobs"])
def test_the_registries_are_tables_of_strings_that_resolve(module: str) -> None:
    from visioncli import engines, models, tasks
    from visioncli.io import sinks, sources
    from visioncli.tables import look_up

    tables = {"models": [models.FAMILIES], "io": [sources.SOURCES, sinks.SINKS], "tasks": [tasks.TASKS]}
    for table in tables.get(module, [engines.ENGINES]):
        assert all(look_up(table, name, "entry") for name in table)
