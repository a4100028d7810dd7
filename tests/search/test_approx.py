"""The graph of neighbours: kept whole or not at all, built by one process, and never where it cannot be kept."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from tests.search.indexes import drawn, written
from visioncli.errors import NotNowError, UsageError
from visioncli.search import approx
from visioncli.search.approx import graph_of
from visioncli.search.index import Index
from visioncli.search.sidecar import open_store
from visioncli.search.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(Index(str(written(tmp_path / "emb.parquet", drawn(300), group=100))))


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often a graph is built."""
    built: list[int] = []
    build = approx._grown
    monkeypatch.setattr(approx, "_grown", lambda store: (built.append(1), build(store))[1])
    return built


def nearest(store: Store) -> list[int]:
    """Row 7's nearest, by the graph: itself."""
    [hits] = graph_of(store).nearest(store, [drawn(300)[7].astype(np.float64)], 1)
    return hits.rows.tolist()


@pytest.mark.parametrize("name", ["graph.usearch", "graph.json"])
@pytest.mark.parametrize("kept", [0, 0.5, 0.999])
def test_a_graph_that_is_not_whole_is_built_anew(store: Store, builds: list[int], name: str, kept: float) -> None:
    assert nearest(store) == [7]
    assert store.folder is not None
    file = store.folder / name
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * kept)])
    assert [nearest(store), nearest(store), len(builds)] == [[7], [7], 2]


def test_a_graph_of_the_right_size_that_is_none_is_built_anew(store: Store, builds: list[int]) -> None:
    assert nearest(store) == [7]
    assert store.folder is not None
    (store.folder / "graph.usearch").write_bytes(bytes((store.folder / "graph.usearch").stat().st_size))
    assert [nearest(store), nearest(store), len(builds)] == [[7], [7], 2]


def test_several_first_searches_build_one_graph(store: Store, builds: list[int]) -> None:
    found: list[list[int]] = []
    threads = [threading.Thread(target=lambda: found.append(nearest(store))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(builds), len(found)) == (1, 4)


def test_a_side_car_that_cannot_be_written_is_refused_before_the_work(store: Store, builds: list[int]) -> None:
    assert store.folder is not None
    (store.folder / ".graph.usearch.building").mkdir()  # as root may write wherever there is a folder
    with pytest.raises(
        UsageError, match=r"keeps its graph in the side-car, and .*\.search cannot be written \(Is a dir"
    ):
        graph_of(store)
    assert builds == []


def test_a_side_car_that_is_gone_is_no_place(store: Store, builds: list[int]) -> None:
    assert store.folder is not None
    shutil.rmtree(store.folder)
    with pytest.raises(NotNowError, match="the side-car was removed meanwhile, as the index has changed: search again"):
        graph_of(store)
    assert builds == []


def test_a_graph_that_finds_no_room_answers_once(store: Store, tmp_path: Path) -> None:
    assert store.folder is not None
    before = sorted(os.listdir(store.folder))
    full = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    full += "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000,) * 2); from visioncli.cli import main; main()"
    ask = ["similar", "--index", tmp_path / "emb.parquet", "--row", "7.jpg", "--approx", "-k", "1"]
    ended = subprocess.run([sys.executable, "-c", full, *ask], capture_output=True, text=True, check=False)
    assert (ended.returncode, len(ended.stdout.splitlines())) == (0, 1)
    assert "the graph cannot be kept (" in ended.stderr and "recall@10" in ended.stderr
    assert sorted(os.listdir(store.folder)) == before


def test_a_long_build_tells_how_far_it_is(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(approx, "_TOGETHER", 128)
    monkeypatch.setattr(approx, "_TELL_EVERY_S", 0.0)
    with caplog.at_level("INFO", "visioncli"):
        graph_of(store)
    assert [record.getMessage() for record in caplog.records] == [
        "building the graph of 300 rows; later searches map it",
        *(f"{rows} of 300 rows are in the graph" for rows in (128, 256, 300)),
    ]
    assert store.folder is not None
    said = json.loads((store.folder / "graph.json").read_text())
    assert said["bytes"] == (store.folder / "graph.usearch").stat().st_size
