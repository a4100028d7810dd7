"""What a search costs: exact and approximate, from process start and by itself, and near-duplicates. Lines of README.

Vectors are drawn at random; files go to a temporary directory (8 GB for a million rows) and are removed.

Usage: python -m tests.benchmarks.search [exact] [approx] [pairs] [--rows N] [--device cuda]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from visioncli.io.sinks import write_parquet

WIDTH = 768
SAMPLE = Path(__file__).parents[2] / "sample_data/images"
Matrix = NDArray[np.float32]


def seconds(work: Callable[[], Any], repeats: int = 5) -> float:
    """The least of a few: what else runs on the machine only adds."""
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return min(found)


def unit(vectors: Matrix) -> Matrix:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def written(path: Path, blocks: Iterator[Matrix]) -> None:
    """An output of `embed` with these vectors, and a column that passes through."""
    said = {"embedding_space": "none", "parameters": {"normalize": True}}
    schema = pa.schema([("id", pa.string()), ("price", pa.int64()), ("embedding", pa.list_(pa.float32(), WIDTH))])
    write_parquet(path, schema.with_metadata({"visioncli": json.dumps(said)}), tables(schema, blocks))


def tables(schema: pa.Schema, blocks: Iterator[Matrix]) -> Iterator[pa.Table]:
    first = 0
    for block in blocks:
        numbers = np.arange(first, first + len(block))
        vectors = pa.FixedSizeListArray.from_arrays(block.ravel(), WIDTH)
        ids = pa.array([f"photo-{number:07}.jpg" for number in numbers])
        yield pa.Table.from_arrays([ids, pa.array(numbers * 7 % 1000), vectors], schema=schema)
        first += len(block)


def command(*arguments: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "visioncli", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# Line 1


def exact(folder: Path, rows: int) -> dict[str, float]:
    from visioncli.search.exact import nearest
    from visioncli.search.index import Index
    from visioncli.search.sidecar import open_store

    path = folder / "million.parquet"
    draw = np.random.default_rng(0)
    sizes = [min(16384, rows - at) for at in range(0, rows, 16384)]
    written(path, (unit(draw.standard_normal((size, WIDTH), np.float32)) for size in sizes))
    first = seconds(lambda: command("similar", "--index", path, "--row", "photo-0000007.jpg"), 1)
    ask = ("similar", "--index", path, "--row", "photo-0000007.jpg")
    warm = seconds(lambda: command(*ask), 7)
    print(f"{rows:,} rows: first search {first:.1f} s; warm, process start to printed hits {warm:.2f} s", flush=True)
    store = open_store(Index(str(path)))
    whole = np.array(store.vectors)
    queries = [one / np.linalg.norm(one) for one in draw.standard_normal((1000, WIDTH))]
    query = queries[0].astype(np.float32)
    numpy_s = seconds(lambda: whole @ query, 9)
    scoring_s = seconds(lambda: list(nearest(store, queries[:1], 10)), 9)
    print(f"scoring {scoring_s * 1000:.1f} ms, numpy X @ q {numpy_s * 1000:.1f} ms: {scoring_s / numpy_s:.2f} times")
    equal = agreeing(store, whole, queries)
    print(f"top 10 equal to brute force: {equal} of {len(queries)} queries", flush=True)
    return {"warm": warm, "ratio": scoring_s / numpy_s, "equal": equal}


def agreeing(store: Any, whole: Matrix, queries: list[NDArray[np.float64]]) -> int:
    """How many queries have the ten rows that a float64 product of all puts first, of equals the first."""
    from visioncli.search.exact import nearest

    equal = 0
    for first in range(0, len(queries), 100):
        some = queries[first : first + 100]
        truth = brute_force(whole, np.stack(some))
        equal += sum(
            np.array_equal(hits.rows, rows) for hits, rows in zip(nearest(store, some, 10), truth, strict=True)
        )
    return equal


def brute_force(whole: Matrix, queries: NDArray[np.float64]) -> list[NDArray[np.int64]]:
    """All in float64, a slice of rows at a time, of which the best fifty go on."""
    scores, rows = np.empty((len(queries), 0)), np.empty((len(queries), 0), np.int64)
    for at in range(0, len(whole), 65536):
        part = whole[at : at + 65536].astype(np.float64)
        found = (queries @ part.T) / np.linalg.norm(part, axis=1)
        scores = np.hstack([scores, found])
        rows = np.hstack([rows, np.broadcast_to(np.arange(at, at + len(part)), found.shape)])
        best = np.argpartition(-scores, min(50, scores.shape[1] - 1), axis=1)[:, :50]
        scores, rows = np.take_along_axis(scores, best, 1), np.take_along_axis(rows, best, 1)
    order = [np.lexsort((row, -score.astype(np.float32)))[:10] for score, row in zip(scores, rows, strict=True)]
    return [row[best] for row, best in zip(rows, order, strict=True)]


def by_text(folder: Path) -> dict[str, float]:
    path = folder / "sample.parquet"
    command("embed", SAMPLE, "--model", "demo", "-o", path)
    command("similar", "--index", path, "--text", "a cat")
    search = seconds(lambda: command("similar", "--index", path, "--text", "a cat"))
    alone = seconds(lambda: command("embed", "--text", "a cat", "--model", "demo", "-o", "-"))
    print(f"--text {search:.2f} s, `embed --text` alone {alone:.2f} s: {search - alone:+.2f} s more", flush=True)
    return {"more": search - alone}


# Line 2


def clustered(draw: np.random.Generator, rows: int) -> Matrix:
    """2,000 clusters of rows whose cosine with their centre is near 0.8."""
    centres = unit(draw.standard_normal((2000, WIDTH), np.float32))
    noise = unit(draw.standard_normal((rows, WIDTH), np.float32))
    return unit(centres[draw.integers(0, len(centres), rows)] + 0.75 * noise)


def approx(folder: Path, rows: int) -> dict[str, float]:
    from visioncli.search.approx import graph_of
    from visioncli.search.exact import nearest
    from visioncli.search.index import Index
    from visioncli.search.sidecar import open_store

    draw = np.random.default_rng(1)
    whole = clustered(draw, rows + 1000)
    path = folder / "clustered.parquet"
    written(path, iter([whole[at : min(at + 16384, rows)] for at in range(0, rows, 16384)]))
    store = open_store(Index(str(path)))
    start = time.perf_counter()
    graph = graph_of(store)
    print(f"graph of {rows:,} rows built in {time.perf_counter() - start:.0f} s, breadth {graph.breadth}", flush=True)
    queries = [one / np.linalg.norm(one) for one in whole[rows:].astype(np.float64)]
    truth, found = list(nearest(store, queries, 10)), list(graph.nearest(store, queries, 10))
    recall = float(np.mean([np.isin(one.rows, other.rows).mean() for one, other in zip(truth, found, strict=True)]))
    one_by_one = seconds(lambda: [list(nearest(store, [query], 10)) for query in queries[:50]], 3) / 50
    through_graph = seconds(lambda: list(graph.nearest(store, queries, 10)), 3) / len(queries)
    print(
        f"recall@10 {recall:.4f} on 1,000 new queries ({graph.recall:.3f} told); exact {one_by_one * 1e3:.2f} ms, "
        f"--approx {through_graph * 1e3:.3f} ms a query: {one_by_one / through_graph:.0f} times as fast",
        flush=True,
    )
    return {"recall": recall, "faster": one_by_one / through_graph}


# Line 3


def planted(draw: np.random.Generator, rows: int) -> tuple[Matrix, set[tuple[int, int]]]:
    """Random vectors, of which 1,000 are near copies of others (cosine about 0.97), and 1,000 not near enough: 0.93."""
    whole = unit(draw.standard_normal((rows, WIDTH), np.float32))
    from_, to = np.split(draw.permutation(rows)[:4000], 2)
    apart = np.where(np.arange(2000) < 1000, 0.25, 0.395)[:, None].astype(np.float32)
    whole[to] = unit(whole[from_] + apart * unit(draw.standard_normal((2000, WIDTH), np.float32)))
    near = zip(from_[:1000].tolist(), to[:1000].tolist(), strict=True)
    return whole, {(min(a, b), max(a, b)) for a, b in near}


def pairs(folder: Path, rows: int, device: str = "cpu") -> dict[str, float]:
    """In a process of its own, so that its peak is that of the search alone."""
    whole, near = planted(np.random.default_rng(2), rows)
    np.save(folder / "planted.npy", whole)
    code = (
        "import json, re, sys, time; import numpy as np\n"
        "from visioncli.search.pairs import near_duplicates\n"
        "whole = np.load(sys.argv[1]); "
        "kib = lambda name: int(re.search(name + r':\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
        "before = kib('VmRSS'); start = time.perf_counter()\n"
        "found = list(near_duplicates(whole, 0.95, sys.argv[2]))\n"
        "spent = time.perf_counter() - start\n"
        "pairs = [pair for one in found for pair in zip(one.a.tolist(), one.b.tolist())]\n"
        "print(json.dumps([spent, time.process_time(), (kib('VmHWM') - before) / 2**20, pairs]))"
    )
    arguments = [sys.executable, "-c", code, str(folder / "planted.npy"), device]
    spent, busy, peak_gib, found = json.loads(subprocess.run(arguments, stdout=subprocess.PIPE, check=True).stdout)
    got = {(a, b) for a, b in found}
    print(
        f"{rows:,} rows, --pairs on {device}: {spent:.1f} s ({busy:.1f} CPU s), {peak_gib:.2f} GiB over the matrix; "
        f"{len(got & near)} of {len(near)} planted, {len(got - near)} others",
        flush=True,
    )
    return {"seconds": spent, "peak_gib": peak_gib, "missing": len(near - got), "others": len(got - near)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", default=["exact", "text", "approx", "pairs"])
    parser.add_argument("--rows", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}", flush=True)
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as name:
        folder = Path(name)
        if "exact" in asked.what:
            exact(folder, asked.rows or 1_000_000)
        if "text" in asked.what:
            by_text(folder)
        if "approx" in asked.what:
            approx(folder, asked.rows or 200_000)
        if "pairs" in asked.what:
            pairs(folder, asked.rows or 100_000, asked.device)
    print(f"peak of this process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB")


if __name__ == "__main__":
    main()
