"""Peak memory of `segment --masks rle` over 2,000 scenes against 100; each in a process of its own.

Usage: python -m tests.benchmarks.segment_memory [--scenes 2000]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageEnhance

SCENES = Path(__file__).parents[2] / "sample_data/scenes"
LIMIT_MB = 300
CHILD = """
import json, resource, sys
import visioncli
prompts = ("cat", "dog", "car", "apple", "tree", "house", "clock", "umbrella", "bus", "ball", "hat", "shoe")
job = visioncli.Job("segment", visioncli.SegmentOptions(prompts), sys.argv[2], (sys.argv[1],), model="demo")
summary = visioncli.run(job)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"rows": summary.ok, "peak_mb": peak, "rows_per_s": summary.rows_per_s}))
"""


def draw(folder: Path, count: int) -> Path:
    """Write `count` pictures, each its own: the committed scenes at many brightnesses."""
    folder.mkdir()
    scenes = [Image.open(path).convert("RGB") for path in sorted(SCENES.glob("*.[jp][pn]g"))]
    for number in range(count):
        brighter = ImageEnhance.Brightness(scenes[number % len(scenes)]).enhance(0.9 + 0.2 * number / count)
        brighter.save(folder / f"{number:05d}.jpg", quality=90)
    return folder


def measure(folder: Path, count: int) -> float:
    """Return the peak of one run, MB."""
    inputs, output = draw(folder / str(count), count), folder / f"{count}.parquet"
    child = [sys.executable, "-c", CHILD, str(inputs), str(output)]
    found = json.loads(subprocess.run(child, capture_output=True, text=True, check=True).stdout)
    print(f"{found['rows']:>6,} scenes: peak {found['peak_mb']:.0f} MB, {found['rows_per_s']:.1f} images/s", flush=True)
    return float(found["peak_mb"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=2000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        few, many = measure(Path(name), 100), measure(Path(name), asked.scenes)
    print(f"{many - few:.0f} MB more for {asked.scenes:,} scenes than for 100, at most {LIMIT_MB} allowed")


if __name__ == "__main__":
    main()
