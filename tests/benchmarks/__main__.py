"""Every figure that README gives: `make bench`. Each is a program of its own, so that none warms the next."""

import subprocess
import sys

NAMES = (
    "pipeline fetch overhead memory update segment_prompts detect_prompts segment_memory search".split()  # noqa: SIM905
)

if __name__ == "__main__":
    for name in NAMES:
        print(f"== {name}", flush=True)
        subprocess.run([sys.executable, "-m", f"tests.benchmarks.{name}"], check=True)
