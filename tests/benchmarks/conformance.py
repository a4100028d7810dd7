"""Does each API answer as its own OpenAPI document says? schemathesis asks, the bundled models answer.

No 500, no status, content type or header that is not declared, no body that its schema does not allow. `schemathesis`
(https://schemathesis.readthedocs.io) must be on the PATH, from an environment of its own.

Usage: python -m tests.benchmarks.conformance [--cases 2000] [--api NAME ...]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import urllib.request

from tests.benchmarks.serve import serving
from visioncli.server import DIALECTS

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_headers_conformance,response_schema_conformance"
)


def conformance(api: str, cases: int) -> int:
    """Ask about `cases` questions, as many of each operation; return schemathesis' exit status."""
    with serving("demo", api) as (address, _):
        with urllib.request.urlopen(address + "/openapi.json", timeout=10) as answer:
            operations = sum(len(methods) for methods in json.load(answer)["paths"].values())
        print(f"== {api}: {operations} operations", flush=True)
        command = ["schemathesis", "run", address + "/openapi.json", "--checks", CHECKS, "--workers", "1"]
        # Coverage and small operations give fewer than their share: a third more makes up for it.
        command += ["--max-examples", str(-(-4 * cases // (3 * operations))), "--phases", "examples,coverage,fuzzing"]
        return subprocess.run([*command, "--continue-on-failure", "--seed", "7"], check=False).returncode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--api", action="append", choices=tuple(DIALECTS))
    flags = parser.parse_args()
    failed = [api for api in flags.api or DIALECTS if conformance(api, flags.cases)]
    raise SystemExit(f"not as documented: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
