"""Peak memory of a run over a manifest of 1,000,000 rows against one of 10,000; each in a process of its own.

`files`: the rows name a thousand small pictures again and again, so every row is read, hashed and answered.
`missing`: the rows name files that are not there, so nothing but the table's own machinery runs.

Usage: python -m tests.benchmarks.memory [--rows 1000000] [--kind missing|files]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.overhead import draw

LIMIT_MB = 200
CHILD = """
import json, resource, sys, time
import visioncli
started = time.monotonic()
job = visioncli.Job("embed", visioncli.EmbedOptions(), sys.argv[2], (sys.argv[1],), model="demo")
summary = visioncli.run(job)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"rows": summary.rows, "peak_mb": peak / 1024, "seconds": time.monotonic() - started}))
"""


def write_manifest(path: Path, names: list[str], rows: int) -> None:
    with open(path, "w") as file:
        file.write("sku,image,price\n")
        file.writelines(f"{row:07d},{names[row % len(names)]},{row % 100}.90\n" for row in range(rows))


def measure(folder: Path, names: list[str], rows: int) -> dict[str, float]:
    manifest, output = folder / f"{rows}.csv", folder / f"{rows}.parquet"
    write_manifest(manifest, names, rows)
    child = [sys.executable, "-c", CHILD, str(manifest), str(output)]
    done = subprocess.run(child, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    print(f"{rows:>9,} rows: peak {found['peak_mb']:.0f} MB, {rows / found['seconds']:,.0f} rows/s", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--kind", choices=["files", "missing"], default="missing")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        names = [f"not/here/{number:05d}.jpg" for number in range(1000)]
        if asked.kind == "files":
            names = [str(path) for path in draw(folder, 1000)]
        small, large = measure(folder, names, 10_000), measure(folder, names, asked.rows)
    grown = large["peak_mb"] - small["peak_mb"]
    print(f"{asked.kind}: {grown:.0f} MB more, at most {LIMIT_MB} allowed")
    raise SystemExit(grown > LIMIT_MB)


if __name__ == "__main__":
    main()
