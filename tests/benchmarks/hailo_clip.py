"""hailo-clip on clip-resnet-50x4 at its full size, random weights, asked from outside the process by wrk.

1. One connection, one image of 400x300 a request: the median of the answers.
2. Eight connections (the document's queue holds ten): images/s.

wrk (https://github.com/wg/wrk) must be on the PATH.

Usage: python -m tests.benchmarks.hailo_clip [--seconds 60] [--images 64]
"""

from __future__ import annotations

import argparse
import base64
import json
import tempfile
import urllib.request
from pathlib import Path

import numpy as np

from tests.benchmarks.serve import ask, draw, serving
from tests.models.clip_resnet_checkpoints import clip_resnet
from visioncli.pipeline import load

PATH = "/v1/embed/image"
CONNECTIONS = 8


def write_bodies(paths: list[Path], file: Path) -> None:
    """One request a line."""
    packed = (base64.b64encode(path.read_bytes()).decode() for path in paths)
    file.write_text("\n".join(json.dumps({"image": text}) for text in packed) + "\n")


def embedding(address: str, body: str) -> tuple[int, float]:
    """The dimension that the server tells, and its vector's length."""
    asked = urllib.request.Request(address, body.encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=60) as answer:
        content = json.load(answer)
    return content["dimension"], float(np.linalg.norm(content["embedding"]))


def measure(seconds: int, images: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder, bodies = Path(place) / "pictures", Path(place) / "bodies"
        folder.mkdir()
        paths = draw(folder, images)
        write_bodies(paths, bodies)
        model = str(clip_resnet(Path(place) / "clip-resnet-50x4", "RN50x4", half=True).directory)
        with serving(model, "hailo-clip") as (address, _):
            dimension, length = embedding(address + PATH, bodies.read_text().splitlines()[0])
            ask(address + PATH, bodies, 1, 3)
            _, half, _ = ask(address + PATH, bodies, 1, seconds)
            rate, _, bad = ask(address + PATH, bodies, CONNECTIONS, seconds)
        dtype = load("embed", model, offline=True).info.dtype
    print(f"{dimension} numbers, length {length:.6f}, {dtype}")
    print(f"one connection: median {half:.1f} ms")
    print(f"{CONNECTIONS} connections: {rate:.2f} images/s ({bad} refused)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--images", type=int, default=64)
    flags = parser.parse_args()
    measure(flags.seconds, flags.images)


if __name__ == "__main__":
    main()
