"""What the server adds to decoding and the model, asked from outside the process by wrk.

1. Full-size SigLIP-B/16-224 with random weights: images/s of 32 connections, one image a request, beside those of
   `visioncli embed` on the same files, each in its own process, one after the other and again.
2. The same model, one connection: the median of the answers beside that of decode, preprocess and forward alone.
3. Health while one request of 64 pictures is answered: the slowest of its answers.
4. The bundled SigLIP: processor time a request, beside that of decode, preprocess and forward alone.

wrk (https://github.com/wg/wrk) must be on the PATH.

Usage: python -m tests.benchmarks.serve [--seconds 60] [--images 256]
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image

from tests.models.checkpoints import siglip
from visioncli.io.decode import decode
from visioncli.pipeline import load
from visioncli.samples import Facts, ImageRef, Sample
from visioncli.server.settings import PIXELS
from visioncli.tasks.embed import EmbedOptions

API = "hf-endpoint"
ROUNDS = 6  # of what is compared, in turn: a machine's pace drifts
SCRIPT = """
local bodies, turn = {}, 0
for line in io.lines(os.getenv("BODIES")) do bodies[#bodies + 1] = line end
wrk.method, wrk.headers["Content-Type"] = "POST", "application/json"
function request() turn = turn + 1; return wrk.format(nil, nil, nil, bodies[turn % #bodies + 1]) end
"""


def draw(folder: Path, count: int, size: tuple[int, int] = (400, 300)) -> list[Path]:
    """Write `count` JPEGs of about 20 KB, (width, height)."""
    rng = np.random.default_rng(0)
    paths = [folder / f"{number:04d}.jpg" for number in range(count)]
    for path in paths:
        coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        coarse.resize(size, Image.Resampling.BICUBIC).save(path, quality=90)
    return paths


def write_bodies(paths: list[Path], file: Path) -> None:
    """One request a line, each with one image and the mode named."""
    packed = (base64.b64encode(path.read_bytes()).decode() for path in paths)
    lines = (json.dumps({"inputs": text, "parameters": {"mode": "image_embedding"}}) for text in packed)
    file.write_text("\n".join(lines) + "\n")


@contextmanager
def serving(model: str, api: str = API) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A server of its own process on a port of its own: its address, and the process."""
    command = [sys.executable, "-m", "visioncli", "serve-compat", "--api", f"{api}:0", "--model", model, "--offline"]
    with tempfile.TemporaryDirectory() as place:
        command += ["--preload", "--log-level", "info", "--jobs-db", f"{place}/jobs.sqlite"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            yield _address(process), process
        finally:
            process.terminate()
            process.wait(timeout=60)


def _address(process: subprocess.Popen[str]) -> str:
    """Where it listens, once it is ready; what it says later is read and dropped."""
    assert process.stderr is not None
    found = next((f for f in map(re.compile(r"http://127\.0\.0\.1:\d+").search, process.stderr) if f), None)
    if found is None:
        raise SystemExit("the server did not start")
    threading.Thread(target=deque, args=(process.stderr, 0), daemon=True).start()
    for _ in range(600):
        with contextlib.suppress(OSError), urllib.request.urlopen(found[0] + "/metrics", timeout=1) as answer:
            if b"visioncli_ready 1.0" in answer.read():
                return found[0]
        time.sleep(0.2)
    raise SystemExit("the server is never ready")


def ask(address: str, bodies: Path, connections: int, seconds: int) -> tuple[float, float, int]:
    """(requests/s, median in ms, answers that are not 2xx) as wrk tells them."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(SCRIPT)
        script.flush()
        said = subprocess.run(
            f"wrk -t1 -c{connections} -d{seconds}s --timeout 30s --latency -s {script.name} {address}".split(),
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"BODIES": str(bodies)},
        ).stdout
    rate, half = re.search(r"Requests/sec:\s+([\d.]+)", said), re.search(r"50%\s+([\d.]+)(us|ms|s)", said)
    assert rate and half, said
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    return float(rate[1]), float(half[1]) * {"us": 1e-3, "ms": 1, "s": 1e3}[half[2]], int(bad[1]) if bad else 0


def embed_rate(folder: Path, model: str) -> float:
    """images/s of `visioncli embed`, from its own summary: loading the model is not in it."""
    with tempfile.TemporaryDirectory() as out:
        summary = Path(out) / "summary.json"
        command = [sys.executable, "-m", "visioncli", "embed", str(folder), "-o", f"{out}/e.parquet", "--model", model]
        subprocess.run([*command, "--quiet", "--summary", str(summary)], check=True)
        return float(json.loads(summary.read_text())["rows_per_s"])


def alone(paths: list[Path], model: str) -> tuple[float, float]:
    """Decode, preprocess and forward of single pictures in this process: (median wall ms, mean CPU ms)."""
    predictor, options = load("embed", model, offline=True), EmbedOptions()

    def once(path: Path) -> float:
        began = time.perf_counter()
        decoded = decode(path.read_bytes(), PIXELS, predictor.decode_size)
        sample = Sample(ImageRef(0, "", None), Facts(size=decoded.size), decoded.image)
        predictor.forward([predictor.preprocess(sample, options)], options)
        return time.perf_counter() - began

    once(paths[0])  # the first loads and warms up
    busy = time.process_time()
    walls = [once(path) for path in paths]
    return median(walls) * 1e3, (time.process_time() - busy) / len(walls) * 1e3


def during_inference(address: str, paths: list[Path]) -> tuple[float, float]:
    """Seconds that one request of all pictures takes, and those of the slowest `/health` meanwhile."""
    packed = [base64.b64encode(path.read_bytes()).decode() for path in paths]
    body = json.dumps({"inputs": packed, "parameters": {"mode": "image_embedding"}}).encode()
    asked = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    with ThreadPoolExecutor(1) as pool:
        began, took = time.monotonic(), list[float]()
        answer = pool.submit(lambda: urllib.request.urlopen(asked, timeout=300).read())
        while not answer.done():
            before = time.monotonic()
            urllib.request.urlopen(address + "/health", timeout=60).read()
            took.append(time.monotonic() - before)
            time.sleep(0.02)
        answer.result()
        return time.monotonic() - began, max(took)


def cpu_s(process: subprocess.Popen[str]) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def serve(seconds: int, images: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder, bodies = Path(place) / "pictures", Path(place) / "bodies"
        folder.mkdir()
        paths = draw(folder, images)
        write_bodies(paths, bodies)
        model = str(siglip(Path(place) / "siglip"))
        for turn in (1, 2):
            batch = embed_rate(folder, model)
            with serving(model) as (address, _):
                ask(address, bodies, 32, 5)
                rate, _, bad = ask(address, bodies, 32, seconds)
            print(
                f"{turn}: embed {batch:.1f} images/s, 32 connections {rate:.1f} ({bad} refused): {rate / batch:.2f}",
                flush=True,
            )
        with serving(model) as (address, _):
            ask(address, bodies, 1, 3)
            took, slowest = during_inference(address, paths[:64])
            print(f"/health during an inference of {took:.1f} s: slowest {slowest * 1e3:.0f} ms", flush=True)
            turns = [(ask(address, bodies, 1, 10)[1], alone(paths[:64], model)[0]) for _ in range(ROUNDS)]
        print(
            "one connection: median {:.1f} ms, decode to forward {:.1f} ms".format(
                *map(median, zip(*turns, strict=True))
            ),
            flush=True,
        )
        os.environ["OMP_NUM_THREADS"] = "1"  # torch's threads spin while they wait: on both sides, no work
        torch.set_num_threads(1)
        print(
            "bundled: {:.2f} ms of processor time a request, decode to forward {:.2f}".format(*bundled(paths, bodies))
        )


def bundled(paths: list[Path], bodies: Path, seconds: int = 10) -> tuple[float, float]:
    """CPU ms of a request and of decode to forward alone: medians of rounds in turn."""
    served, bare = [], []
    with serving("demo") as (address, process):
        ask(address, bodies, 1, 3)
        for _ in range(ROUNDS):
            before = cpu_s(process)
            rate, _, _ = ask(address, bodies, 1, seconds)  # one, so that both see batches of one
            served.append((cpu_s(process) - before) / (rate * seconds) * 1e3)
            bare.append(alone(paths, "demo")[1])
    return median(served), median(bare)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--images", type=int, default=256)
    flags = parser.parse_args()
    serve(flags.seconds, flags.images)


if __name__ == "__main__":
    main()
