"""The side-car: built once, whole or absent, as new as the index, and never needed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.search.indexes import drawn, table, written
from visioncli.errors import UsageError
from visioncli.io.sinks import write_jsonl
from visioncli.search import sidecar
from visioncli.search.index import Index
from visioncli.search.sidecar import folder_of, open_store
from visioncli.search.store import Store


def opened(path: Path, sidecar: bool = True) -> Store:
    return open_store(Index(str(path)), sidecar)


def whole(store: Store) -> tuple[Any, ...]:
    rows = np.arange(store.rows)
    return store.vectors.tolist(), store.columns.take(rows).to_pylist(), store.columns.ids().to_pylist()


def stands(path: Path) -> list[str]:
    """What lies in the side-car, its lock aside."""
    return sorted(one.name for one in folder_of(Index(str(path))).iterdir() if one.name != "lock")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return written(tmp_path / "emb.parquet", drawn(40), lost=[3, 4, 20])


def test_it_holds_what_the_index_holds(path: Path) -> None:
    mapped, read = opened(path), opened(path, sidecar=False)
    assert whole(mapped) == whole(read)
    assert (mapped.rows, mapped.folder is not None, read.folder) == (37, True, None)
    assert mapped.vectors.tobytes() == np.delete(drawn(40), [3, 4, 20], axis=0).tobytes()
    assert mapped.columns.take(np.array([36, 0, 3])).to_pylist() == [
        {"id": f"{n}.jpg", "price": n * 3, "status": "ok"} for n in (39, 0, 5)
    ]


def test_the_error_that_it_states_is_that_of_its_float16_rows(path: Path) -> None:
    store = opened(path)
    assert store.half is not None
    exact = store.vectors / np.linalg.norm(store.vectors.astype(np.float64), axis=1, keepdims=True)
    apart = np.linalg.norm(store.half.astype(np.float64) - exact, axis=1)
    assert store.error == pytest.approx(apart.max(), rel=1e-9)
    assert 0 < store.error < 2.0**-11


def test_the_second_search_maps_what_the_first_built(path: Path) -> None:
    first = opened(path).folder
    assert first is not None
    before = {one.name: one.stat().st_mtime_ns for one in first.iterdir()}
    assert opened(path).folder == first
    assert before == {one.name: one.stat().st_mtime_ns for one in first.iterdir()}


def test_another_index_under_the_name_has_another_side_car(path: Path) -> None:
    old = stands(path) if opened(path) else []
    written(path, drawn(40, seed=7))
    assert opened(path).vectors.tobytes() == drawn(40, seed=7).tobytes()
    assert len(stands(path)) == 1 and stands(path) != old


def test_metadata_alone_make_another_side_car(path: Path) -> None:
    opened(path)
    facts = path.stat()
    pq.write_table(table(drawn(40), lost=[3, 4, 20], commit="files:2"), path, row_group_size=7)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert (path.stat().st_size, opened(path).facts["commit"]) == (facts.st_size, "files:2")


def test_what_a_killed_build_left_goes(path: Path) -> None:
    left = folder_of(Index(str(path))) / ".1234.building"
    left.mkdir(parents=True)
    (left / "half.bin").write_bytes(b"half")
    opened(path)
    assert not left.exists()


def test_two_at_once_build_it_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built, build = [], sidecar._build
    monkeypatch.setattr(sidecar, "_build", lambda *given: (built.append(1), build(*given)))
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(whole(opened(path)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(built), len(found)) == (1, 4)
    assert all(one == found[0] for one in found)


def test_where_nothing_can_be_written_the_index_is_read(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder_of(Index(str(path))).write_text("in the way")
    with caplog.at_level("WARNING", "visioncli"):
        found = opened(path)
    assert whole(found) == whole(opened(path, sidecar=False))
    [said] = [record.getMessage() for record in caplog.records]
    assert "cannot be written" in said and "read into memory instead" in said


def test_a_full_disk_leaves_no_half_of_it_and_the_search_answers(tmp_path: Path) -> None:
    path = written(tmp_path / "emb.parquet", drawn(4000, 256), group=1000)
    full = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    full += "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000,) * 2); from visioncli.cli import main; main()"
    ask = [sys.executable, "-c", full, "similar", "--index", str(path), "--row", "7.jpg", "-k", "1"]
    ended = subprocess.run(ask, capture_output=True, text=True, check=False)
    assert (ended.returncode, len(ended.stdout.splitlines())) == (0, 1)
    assert "cannot be written (File too large)" in ended.stderr
    assert stands(path) == []


def test_a_folder_of_parts_is_one_index_in_the_order_of_names(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    vectors = drawn(30)
    for first in (20, 0, 10):
        ids = [f"{n}.jpg" for n in range(first, first + 10)]
        written(folder / f"part-{first:09}-{first + 10:09}.parquet", vectors[first : first + 10], ids=ids)
    (folder / "_run.json").write_text("{}")
    assert opened(folder).columns.ids().to_pylist() == [f"{n}.jpg" for n in range(30)]
    assert opened(folder).vectors.tobytes() == vectors.tobytes()
    assert stands(folder)
    assert not any(one.suffix == ".search" for one in folder.iterdir())


def test_json_lines_are_an_index_too(path: Path, tmp_path: Path) -> None:
    read = pq.read_table(path)
    write_jsonl(tmp_path / "emb.jsonl", read.schema, [read])
    assert whole(opened(tmp_path / "emb.jsonl")) == whole(opened(path))


def test_json_lines_without_their_types_are_refused_without_advice_for_runs(path: Path, tmp_path: Path) -> None:
    read = pq.read_table(path)
    write_jsonl(tmp_path / "emb.jsonl", read.schema, [read])
    (tmp_path / "emb.jsonl.meta.json").unlink()
    assert refused(tmp_path / "emb.jsonl").endswith("emb.jsonl cannot be read without it")


def test_float16_vectors_are_an_index_too(tmp_path: Path) -> None:
    vectors = drawn(20).astype(np.float16)
    assert opened(written(tmp_path / "emb.parquet", vectors)).vectors.tolist() == vectors.astype(np.float32).tolist()


@pytest.mark.parametrize("rows", [0, 5])
def test_an_index_without_a_single_vector_is_empty(tmp_path: Path, rows: int) -> None:
    path = written(tmp_path / "emb.parquet", drawn(5)[:rows], lost=range(rows))
    for found in (opened(path), opened(path, sidecar=False)):
        assert (found.rows, found.columns.ids().to_pylist()) == (0, [])


def test_dictionaries_that_differ_between_row_groups_pass_through(tmp_path: Path) -> None:
    read = table(drawn(20))
    shop = pa.array([f"shop {n % 9}" for n in range(20)]).dictionary_encode()
    pq.write_table(read.append_column("shop", shop), tmp_path / "emb.parquet", row_group_size=4)
    found = opened(tmp_path / "emb.parquet").columns.take(np.arange(20))
    assert found["shop"].to_pylist() == shop.to_pylist()


@pytest.mark.parametrize("named", ["link.parquet", "elsewhere/emb.parquet"])
def test_two_names_of_one_index_leave_each_others_side_car(path: Path, tmp_path: Path, named: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / named).symlink_to(path)
    first, other = opened(path).folder, opened(tmp_path / named).folder
    assert first is not None and other is not None and first.is_dir() and other.is_dir()
    assert (first.parent, other.parent) == (tmp_path / "emb.parquet.search", tmp_path / f"{named}.search")
    assert (opened(path).folder, opened(tmp_path / named).folder) == (first, other)


@pytest.mark.parametrize("name", ["about.json", "half.bin", "vectors.bin", "columns.arrow"])
@pytest.mark.parametrize("kept", [0, 0.5])
def test_what_is_damaged_is_built_anew(path: Path, name: str, kept: float) -> None:
    built = opened(path)
    assert built.folder is not None
    before, file = whole(built), built.folder / name
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * kept)])
    assert whole(opened(path)) == before
    assert whole(opened(path)) == before and file.stat().st_size > 0


PASSED = [  # columns of one part, of another -> of both, in that order
    ([("n", pa.int32())], [("n", pa.int64())], [("n", pa.int64())]),
    ([("n", pa.int64())], [("shop", pa.string())], [("n", pa.int64()), ("shop", pa.string())]),
    ([("n", pa.null())], [("n", pa.list_(pa.float32(), 3))], [("n", pa.list_(pa.float32(), 3))]),
]


@pytest.mark.parametrize("sidecar", [True, False])
@pytest.mark.parametrize(("one", "other", "both"), PASSED)
def test_parts_with_other_columns_are_one_index(tmp_path: Path, one: Any, other: Any, both: Any, sidecar: bool) -> None:
    value = {"n": [1, 2, 3], "shop": "x"}
    for name, columns in (("a", one), ("b", other)):
        read = table(drawn(2), ids=[f"{name}1", f"{name}2"]).drop_columns(["price", "status"])
        for column, kind in columns:
            cell = None if kind == pa.null() else value[column] if "list" in str(kind) or column == "shop" else 7
            read = read.append_column(column, pa.array([cell] * 2, kind))
        pq.write_table(read, tmp_path / f"{name}.parquet")
    columns = opened(tmp_path, sidecar).columns.take(np.arange(4))
    assert columns.schema == pa.schema([("id", pa.string()), *both])
    assert columns["id"].to_pylist() == ["a1", "a2", "b1", "b2"]
    assert [columns[name].null_count for name, _ in both] == [
        0 if len(both) == 1 and one[0][1] != pa.null() else 2
    ] * len(both)


def test_parts_whose_columns_do_not_fit_are_no_index(tmp_path: Path) -> None:
    written(tmp_path / "a.parquet", drawn(3))
    read = pq.read_table(tmp_path / "a.parquet")
    pq.write_table(read.set_column(1, "price", pa.array(["x"] * 3)), tmp_path / "b.parquet")
    assert "b.parquet does not fit the files before it (Field price has incompatible types" in refused(tmp_path)
    assert not folder_of(Index(str(tmp_path))).exists()


def test_only_our_own_vectors_stay_behind(tmp_path: Path) -> None:
    lists = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(20, dtype=np.float32)), 4)
    read = table(drawn(5)).append_column("box", lists).append_column("text_embedding", lists)
    pq.write_table(read, tmp_path / "emb.parquet")
    found = opened(tmp_path / "emb.parquet").columns.take(np.arange(5))
    assert found.column_names == ["id", "price", "status", "box"]
    assert found["box"].to_pylist() == lists.to_pylist()


def test_what_is_no_index_gets_no_folder(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "hits.parquet")
    assert "has no column 'embedding'" in refused(tmp_path / "hits.parquet")
    assert os.listdir(tmp_path) == ["hits.parquet"]


@pytest.mark.parametrize("said", ["no JSON", "[1]", '{"parameters": 3}'])
def test_metadata_that_are_damaged_are_refused(tmp_path: Path, said: str) -> None:
    pq.write_table(table(drawn(3)).replace_schema_metadata({"visioncli": said}), tmp_path / "emb.parquet")
    assert "its metadata `visioncli` is no JSON object" in refused(tmp_path / "emb.parquet")


def test_a_folder_whose_run_goes_on_is_told_of(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for run, said in (({}, 1), ({"finished": {}}, 0)):
        (path.parent / "_run.json").write_text(json.dumps(run))
        caplog.clear()
        opened(path.parent)
        assert caplog.text.count("has not come to its end: rows are missing") == said


def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    assert "cannot be read: File name too long" in refused(tmp_path / f"{'x' * 300}.parquet")


def test_ids_that_are_numbers_are_asked_for_by_their_digits(tmp_path: Path) -> None:
    read = table(drawn(4))
    pq.write_table(read.set_column(0, "id", pa.array([10, 20, 30, 40])), tmp_path / "emb.parquet")
    store = opened(tmp_path / "emb.parquet")
    assert store.row_of("30") == 2
    with pytest.raises(UsageError, match="no row with a vector has the id 'x'"):
        store.row_of("x")


def test_an_index_without_ids_says_so_where_they_are_needed(tmp_path: Path) -> None:
    pq.write_table(table(drawn(4)).drop_columns("id"), tmp_path / "emb.parquet")
    store = opened(tmp_path / "emb.parquet")
    for asked in (lambda: store.row_of("x"), store.columns.ids):
        with pytest.raises(UsageError, match="the index has no column 'id'"):
            asked()


def refused(path: Path) -> str:
    with pytest.raises(UsageError) as error:
        opened(path)
    return str(error.value)


def test_what_is_no_index_is_refused(tmp_path: Path, path: Path) -> None:
    pq.write_table(pa.table({"id": ["a"], "label": ["cat"]}), tmp_path / "labels.parquet")
    pq.write_table(pa.table({"id": ["a"], "embedding": [[1.0]]}), tmp_path / "lists.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 nothing")
    (tmp_path / "empty").mkdir()
    assert "has no column 'embedding'" in refused(tmp_path / "labels.parquet")
    assert "not a list of numbers of a fixed size" in refused(tmp_path / "lists.parquet")
    assert "cannot be read as Parquet" in refused(tmp_path / "broken.parquet")
    assert "holds no .parquet parts" in refused(tmp_path / "empty")
    assert "there is no index" in refused(tmp_path / "nowhere.parquet")


def test_parts_of_two_models_are_no_index(tmp_path: Path) -> None:
    written(tmp_path / "a.parquet", drawn(3))
    written(tmp_path / "b.parquet", drawn(3), embedding_space="another")
    assert "another embedding space" in refused(tmp_path)


def test_vectors_that_were_changed_afterwards_are_refused(tmp_path: Path) -> None:
    vectors = drawn(9)
    vectors[5] *= 3
    assert "that of '5.jpg' has 3" in refused(written(tmp_path / "emb.parquet", vectors))
    assert not json.dumps(stands(tmp_path / "emb.parquet")).strip("[]")


def test_vectors_of_no_length_or_not_finite_are_no_rows(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    vectors = drawn(6)
    vectors[0], vectors[2], vectors[5, 3] = 0, np.nan, np.inf
    with caplog.at_level("INFO", "visioncli"):
        store = opened(written(tmp_path / "emb.parquet", vectors))
    assert store.columns.ids().to_pylist() == ["1.jpg", "3.jpg", "4.jpg"]
    assert "3 rows are without a usable vector: never a hit" in caplog.text


def test_an_id_that_is_not_there_or_there_twice_is_refused(tmp_path: Path) -> None:
    store = opened(written(tmp_path / "emb.parquet", drawn(20), ids=[*"abcdefghijklmnopqr", "b", "c"], lost=[2]))
    assert (store.row_of("a"), store.row_of("c")) == (0, 18)
    for id, said in (("b", "2 rows have the id 'b'"), ("z", "no row with a vector has the id 'z'")):
        with pytest.raises(UsageError, match=said):
            store.row_of(id)


def test_removing_it_costs_nothing_but_time(path: Path) -> None:
    before = whole(opened(path))
    shutil.rmtree(folder_of(Index(str(path))))
    assert whole(opened(path)) == before
