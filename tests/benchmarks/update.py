"""`--update` on 100,000 small files: 500 changed, 100 moved, 100 vanished, and 50 of a server that is busy for now.

Asserts the counts, that forwards equal the byte strings never seen before, that good answers stay with `stale`, and
that a second update with nothing new infers nothing; prints what each run took.

Usage: python -m tests.benchmarks.update [--files 100000]
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow.parquet as pq

import visioncli
from visioncli.jobs.summary import Changes, Summary


def picture(number: int) -> bytes:
    """A BMP of 8×8 in one colour, different for every number below 2^24."""
    size = 54 + 8 * 8 * 3
    header = b"BM" + size.to_bytes(4, "little") + bytes(4) + (54).to_bytes(4, "little")
    header += (40).to_bytes(4, "little") + (8).to_bytes(4, "little") * 2 + (1).to_bytes(2, "little")
    header += (24).to_bytes(2, "little") + bytes(24)
    return header + number.to_bytes(3, "little") * 64


class Shop(BaseHTTPRequestHandler):
    """Answers /<number> with its picture, or 503 while it is busy; tells no version, so bytes are asked for again."""

    protocol_version = "HTTP/1.1"
    is_busy = False

    def do_GET(self) -> None:
        body = b"" if Shop.is_busy else picture(int(self.path[1:]))
        self.send_response(503 if Shop.is_busy else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def lay_out(root: Path, count: int) -> list[Path]:
    root.mkdir()
    paths = [root / f"{number // 1000:03d}" / f"{number % 1000:03d}.bmp" for number in range(count)]
    for number, path in enumerate(paths):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(picture(number))
    return paths


def run(names: list[str], manifest: Path, output: Path, update: bool) -> Summary:
    manifest.write_text("\n".join(names) + "\n")
    settings = visioncli.Settings(fetch=visioncli.FetchOptions(retries=0, timeout_s=120))
    policy = visioncli.Policy(update=update)
    options = visioncli.EmbedOptions()
    job = visioncli.Job("embed", options, str(output), (str(manifest),), model="demo", policy=policy, settings=settings)
    started = time.monotonic()
    summary = visioncli.run(job)
    print(f"{time.monotonic() - started:.1f} s: {summary.inferred:,} forwards, {summary.changes}", flush=True)
    return summary


def shake(paths: list[Path]) -> list[Path]:
    """Change five, move one and delete one of each thousand; return what is left, in order."""
    left = list(paths)
    for first in range(0, len(paths), 1000):
        for number in range(first, first + 5):
            paths[number].write_bytes(picture(2**20 + number))
        left[first + 5] = paths[first + 5].rename(paths[first + 5].with_name("moved.bmp"))
        paths[first + 6].unlink()
    return [path for path in left if path.exists()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=100_000)
    count = parser.parse_args().files
    groups = count // 1000
    server = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    urls = [f"http://127.0.0.1:{server.server_port}/{2**21 + number}" for number in range(groups // 2)]
    with tempfile.TemporaryDirectory() as name:
        check(Path(name), count, groups, urls)
    print("counts as they should be")


def check(folder: Path, count: int, groups: int, urls: list[str]) -> None:
    manifest, output = folder / "list.txt", folder / "out.parquet"
    paths = lay_out(folder / "images", count - len(urls))
    first = run([*map(str, paths), *urls], manifest, output, update=False)
    assert (first.rows, first.ok, first.inferred) == (count, count, count)
    before = pq.read_table(output, filters=[("source", "in", urls)])

    Shop.is_busy = True
    names = [*map(str, shake(paths)), *urls]
    second = run(names, manifest, output, update=True)
    unchanged = count - 7 * groups - len(urls)
    assert second.changes == Changes(unchanged, 0, 5 * groups, groups, len(urls), groups), second.changes
    assert (second.inferred, second.failed) == (5 * groups, {})
    stale = pq.read_table(output, filters=[("stale", "=", True)])
    assert stale.drop_columns(["stale"]).equals(before)

    third = run(names, manifest, output, update=True)
    assert (third.inferred, third.rows, third.ok) == (0, count - groups, count - groups)
    assert third.changes == Changes(unchanged=count - groups - len(urls), stale=len(urls)), third.changes


if __name__ == "__main__":
    main()
