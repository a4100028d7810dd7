"""What a row costs besides fetch, decode and forward: the bundled model over 10,000 images of 64×64.

CPU seconds of a whole run (listing, snapshot, threads, rows, Parquet, assembling), less those that its own threads
spent in reading, decoding, preprocessing and the model, and less loading it; torch on one thread: no spinning counts.

Usage: python -m tests.benchmarks.overhead [--images 10000]
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import visioncli
from visioncli import flow, models


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


@dataclass
class Spent:
    """CPU seconds by stage, summed over threads."""

    seconds: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def on(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return `function`, its CPU time booked on `stage`."""

        def timed(*arguments: Any, **named: Any) -> Any:
            started = time.thread_time()
            try:
                return function(*arguments, **named)
            finally:
                with self._lock:
                    self.seconds[stage] = self.seconds.get(stage, 0.0) + time.thread_time() - started

        return timed


def spy_on(spent: Spent) -> None:
    """Book what the pipeline calls by name: its reader, its decoder, and a loaded predictor's two methods."""
    flow.read = spent.on("fetch", flow.read)
    flow.decode = spent.on("decode", flow.decode)
    load = models.load

    def loaded(*arguments: Any, **named: Any) -> Any:
        predictor = spent.on("loading", load)(*arguments, **named)
        predictor.preprocess = spent.on("preprocess", predictor.preprocess)
        predictor.forward = spent.on("forward", predictor.forward)
        return predictor

    models.load = loaded


def whole(folder: Path, output: Path) -> float:
    """Return the CPU seconds of one run."""
    started = time.process_time()
    visioncli.run(visioncli.Job("embed", visioncli.EmbedOptions(), str(output), (str(folder),), model="demo"))
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=10_000)
    count = parser.parse_args().images
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "images"
        folder.mkdir()
        draw(folder, count)
        visioncli.run(
            visioncli.Job(
                "embed", visioncli.EmbedOptions(), f"{name}/warm.jsonl", (str(folder),), model="demo", limit=8
            )
        )
        spent = Spent()
        spy_on(spent)
        run = whole(folder, Path(name) / "out.parquet")
    for stage, seconds in {"whole run": run, **spent.seconds}.items():
        print(f"{stage:>10}: {seconds:6.2f} CPU s, {seconds / count * 1e6:5.0f} µs a row")
    print(f"all else: {(run - sum(spent.seconds.values())) / count * 1e6:.0f} µs a row")


if __name__ == "__main__":
    main()
