"""What a row costs besides fetch, decode and forward: the bundled model over 10,000 images of 64×64.

CPU seconds of a whole run (listing, snapshot, threads, rows, Parquet, assembling), less those of reading, decoding and
preprocessing the same files in a plain loop, less those of the same forward passes in a plain loop; torch on one
thread, so that no spinning is counted.

Usage: python -m tests.benchmarks.overhead [--images 10000]
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import visioncli
from visioncli.io.decode import DecodeOptions, decode
from visioncli.samples import Facts, Sample


def draw(folder: Path, count: int) -> list[Path]:
    """Write `count` different JPEGs of 64×64 in folders of a thousand."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(count):
        paths.append(folder / f"{number // 1000:02d}" / f"{number:05d}.jpg")
        paths[-1].parent.mkdir(exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        coarse.resize((64, 64), Image.Resampling.BICUBIC).save(paths[-1], quality=90)
    return paths


def whole(folder: Path, output: Path) -> float:
    started = time.process_time()
    visioncli.run(visioncli.Job("embed", visioncli.EmbedOptions(), str(output), (str(folder),), model="demo"))
    return time.process_time() - started


def loading() -> float:
    started = time.process_time()
    visioncli.load("embed", "demo")
    return time.process_time() - started


def decoding(paths: list[Path], predictor: Any, options: Any) -> tuple[float, list[Any]]:
    started = time.process_time()
    inputs = []
    for path in paths:
        data = path.read_bytes()
        hashlib.sha256(data).hexdigest()
        decoded = decode(data, DecodeOptions(), predictor.decode_size)
        ref = visioncli.ImageRef(0, "", bytes(path))
        inputs.append(predictor.preprocess(Sample(ref, Facts(size=decoded.size), decoded.image), options))
    return time.process_time() - started, inputs


def forward(inputs: list[Any], predictor: Any, options: Any) -> float:
    size = predictor.info.batch_size
    started = time.process_time()
    for first in range(0, len(inputs), size):
        batch = inputs[first : first + size]
        predictor.forward(batch + batch[:1] * (size - len(batch)), options)
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=10_000)
    count = parser.parse_args().images
    torch.set_num_threads(1)
    options = visioncli.EmbedOptions()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "images"
        folder.mkdir()
        paths = draw(folder, count)
        predictor = visioncli.load("embed", "demo")
        whole(folder, Path(name) / "warm.parquet")
        run, load = whole(folder, Path(name) / "out.parquet"), loading()
        decoded, inputs = decoding(paths, predictor, options)
        passed = forward(inputs, predictor, options)
    for label, seconds in {"whole run": run, "loading": load, "decode": decoded, "forward": passed}.items():
        print(f"{label:>10}: {seconds:.2f} CPU s, {seconds / count * 1e6:.0f} µs a row")
    print(f"all else: {(run - load - decoded - passed) / count * 1e6:.0f} µs a row")


if __name__ == "__main__":
    main()
