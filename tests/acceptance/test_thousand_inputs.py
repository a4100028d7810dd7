"""A thousand inputs, forty of them broken in every way we know: a thousand rows, each its own picture's, exit 3."""

import csv
import os
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import visioncli
from tests.misbehaving import Server, serve
from tests.small_pictures import jpeg, sha256

DIFFICULT = Path(__file__).parents[2] / "sample_data" / "difficult"
BROKEN_FILES = {
    "truncated.jpg": "decode_truncated",
    "empty.jpg": "empty_file",
    "page.jpg": "decode_not_an_image",
    "float.tif": "decode_unsupported_mode",
    "bomb.png": "decode_too_many_pixels",
}
BROKEN_ROUTES = {
    "/404": "http_404",
    "/403": "http_403",
    "/500": "http_500",
    "/503": "http_503",
    "/slow?s=60": "fetch_timeout",
    "/dripping": "fetch_timeout",
    "/truncated": "fetch_truncated",
    "/chunked-truncated": "fetch_truncated",
    "/reset": "fetch_connection",
    "/endless": "too_many_bytes",
    "/redirect-loop": "fetch_redirects",
    "/html.jpg": "decode_not_an_image",
}


def broken(server: Server, folder: Path) -> Iterator[tuple[str, str]]:
    """Yield (cell, code): the ways above, twice each, and those that need neither a file nor a server."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed_port = unused.getsockname()[1]
    for again in range(2):
        for name, code in BROKEN_FILES.items():
            shutil.copy(DIFFICULT / name, folder / f"{again}-{name}")
            yield f"{again}-{name}", code
        for route, code in BROKEN_ROUTES.items():
            yield server.url(route).decode(), code
        yield f"nowhere-{again}.jpg", "file_not_found"
    yield "", "input_missing"
    yield ".", "not_a_file"
    yield "ftp://127.0.0.1/x.jpg", "url_invalid"
    yield f"http://127.0.0.1:{closed_port}/x.jpg", "fetch_connection"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[tuple[str, str | None, str]], pa.Table, int]]:
    """(cell, code or None, SHA-256 of the picture meant) of every row; the table; the exit code."""
    folder = tmp_path_factory.mktemp("thousand")
    pictures = {f"{number}.jpg": jpeg(number) for number in range(960)}
    with serve(pictures) as server:
        rows: list[tuple[str, str | None, str]] = []
        for number, (name, data) in enumerate(pictures.items()):
            if number % 2:
                (folder / name).write_bytes(data)
            cell = name if number % 2 else server.url(f"/ok/{name}").decode()
            rows.append((cell, None, sha256(data)))
        rows += [(cell, code, "") for cell, code in broken(server, folder)]
        random.Random(5).shuffle(rows)
        with open(folder / "list.csv", "w", newline="") as file:
            csv.writer(file).writerows([("image", "meant"), *((cell, meant) for cell, _, meant in rows)])
        out = folder / "out.parquet"
        command = [
            sys.executable,
            "-m",
            "visioncli",
            "embed",
            str(folder / "list.csv"),
            "--model",
            "demo",
            "--dtype",
            "float32",
            "-o",
            str(out),
        ]
        politeness = ["--timeout", "4", "--retries", "1", "--max-bytes", "2M", "--per-host", "64"]
        done = subprocess.run([*command, *politeness], capture_output=True, check=False, env=os.environ)
        yield rows, pq.read_table(out), done.returncode


def test_a_thousand_rows_in_order_and_exit_3(run) -> None:
    rows, table, code = run
    assert (len(rows), table.num_rows, code) == (1000, 1000, 3)
    cells = [cell for cell, _, _ in rows]
    assert [id_.split("#")[0] for id_, cell in zip(table["id"].to_pylist(), cells, strict=True) if cell] == [
        cell for cell in cells if cell
    ]


def test_each_broken_input_has_its_own_code(run) -> None:
    rows, table, _ = run
    assert table["error_code"].to_pylist() == [code for _, code, _ in rows]
    assert sum(code is not None for _, code, _ in rows) == 40


def test_no_row_is_another_pictures(run) -> None:
    rows, table, _ = run
    answered = [
        (sha, meant) for sha, (_, code, meant) in zip(table["sha256"].to_pylist(), rows, strict=True) if not code
    ]
    assert answered == [(meant, meant) for _, meant in answered]
    assert table["embedding"].null_count == 40


def test_each_rows_vector_is_that_of_its_picture_alone(run, tmp_path: Path) -> None:
    rows, table, _ = run
    predictor = visioncli.load("embed", "demo", dtype="float32", batch_size=1)
    known = {sha256(jpeg(number)): number for number in range(960)}
    sampled = [index for index in range(0, 1000, 25) if rows[index][1] is None]
    assert len(sampled) > 30
    for index in sampled:
        (tmp_path / "alone.jpg").write_bytes(jpeg(known[rows[index][2]]))
        ref = visioncli.ImageRef(0, "alone", os.fsencode(tmp_path / "alone.jpg"))
        (alone,) = visioncli.answer([ref], predictor, visioncli.EmbedOptions())
        assert isinstance(alone, visioncli.Answer)
        np.testing.assert_allclose(table["embedding"][index].as_py(), alone.result.embedding, atol=1e-5)
