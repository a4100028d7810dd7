"""Outcomes to tables: one schema whatever happened, vectors with nulls, facts and codes in their columns."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import visioncli
from visioncli.errors import FetchError, UsageError
from visioncli.io.sinks import read_jsonl, write_jsonl, write_parquet
from visioncli.jobs.rows import answer_schema, answer_table, column, record_batches, reserved_names
from visioncli.provenance import ModelInfo
from visioncli.samples import Answer, Facts, Failure, ImageRef
from visioncli.tasks import classify, embed
from visioncli.tasks.objects import Rle

INFO = ModelInfo("m", "c", "siglip", "siglip/1", 3, "cpu", "float32", 8, token_shape=(2, 3))
FACTS = Facts("ab" * 32, 123, "1700000000000000000", (4, 5))
LABELS = visioncli.ClassifyOptions(("cat", "dog"))
TASKS = [(embed.TASK, visioncli.EmbedOptions()), (classify.TASK, LABELS)]


def ref(number: int, **more: object) -> ImageRef:
    return ImageRef(number, f"id{number}", f"/p/{number}.jpg".encode(), **more)  # type: ignore[arg-type]


def embedded(number: int) -> Answer[visioncli.Embedded]:
    return Answer(ref(number), FACTS, visioncli.Embedded(np.array([number, 0.5, -1], np.float32)))


def failed(number: int, facts: Facts | None = None) -> Failure:
    return Failure(ref(number), facts, FetchError("http_404", "not there"))


def table(outcomes: list[object], options: visioncli.EmbedOptions | None = None, stale: bool = False) -> pa.Table:
    options = options or visioncli.EmbedOptions()
    schema = answer_schema(embed.TASK, options, INFO, stale)
    return answer_table(outcomes, embed.TASK, options, schema)  # type: ignore[arg-type]


def test_the_columns_are_those_of_the_contract() -> None:
    facts = ["status", "error_code", "error", "sha256", "bytes", "version", "height", "width"]
    assert table([]).schema.names == [*facts, "embedding"]
    assert table([], stale=True).schema.names == [*facts, "stale", "embedding"]
    assert table([]).schema.field("embedding").type == pa.list_(pa.float32(), 3)


def test_an_answer_and_a_failure_are_a_row_each() -> None:
    facts = {"sha256": "ab" * 32, "bytes": 123, "version": "1700000000000000000", "height": 4, "width": 5}
    fine = {"status": "ok", "error_code": None, "error": None, **facts, "stale": False, "embedding": [2.0, 0.5, -1.0]}
    nothing = dict.fromkeys(["sha256", "bytes", "version", "height", "width", "embedding"])
    bad = {"status": "error", "error_code": "http_404", "error": "not there", "stale": False, **nothing}
    assert table([embedded(2), failed(1)], stale=True).to_pylist() == [fine, bad]


def test_a_failure_keeps_what_was_known_of_the_file() -> None:
    row = table([failed(0, FACTS)]).to_pylist()[0]
    assert (row["sha256"], row["bytes"], row["status"], row["embedding"]) == ("ab" * 32, 123, "error", None)


def test_a_failure_keeps_the_version_that_was_given() -> None:
    failure = Failure(ref(0, version="v7"), None, FetchError("fetch_timeout", "too slow"))
    assert table([failure])["version"].to_pylist() == ["v7"]


@pytest.mark.parametrize(("task", "options"), TASKS, ids=["embed", "classify"])
def test_an_all_failed_part_has_the_schema_of_a_full_one(task: object, options: object) -> None:
    assert isinstance(task, type(embed.TASK))
    labelled = classify.Labelled(("dog", "cat"), np.array([0.9, 0.1], np.float32), np.array([2, -2], np.float32))
    full = [Answer(ref(0), FACTS, labelled)] if task is classify.TASK else [embedded(0)]
    schema = answer_schema(task, options, INFO, stale=False)
    assert answer_table(full, task, options, schema).schema == schema  # type: ignore[arg-type]
    assert answer_table([failed(0)], task, options, schema).schema == schema
    assert answer_table([], task, options, schema).schema == schema


def test_vectors_with_nulls_between_them_stay_with_their_rows() -> None:
    found = table([failed(0), embedded(1), failed(2), embedded(3)])["embedding"].combine_chunks()
    found.validate(full=True)
    assert found.to_pylist() == [None, [1.0, 0.5, -1.0], None, [3.0, 0.5, -1.0]]


def test_half_precision_is_stored_as_such() -> None:
    found = table([embedded(1), failed(2)], visioncli.EmbedOptions(store="float16"))["embedding"]
    assert found.type == pa.list_(pa.float16(), 3)
    assert found.to_pylist() == [[1.0, 0.5, -1.0], None]


TOKENS = np.arange(6, dtype=np.float32).reshape(2, 3) / 4  # exact in float16 too


def tokens(options: visioncli.EmbedOptions, **result: Any) -> pa.Table:
    answer = Answer(ref(0), FACTS, visioncli.Embedded(None, **result))
    return table([answer, failed(1), answer], options)


@pytest.mark.parametrize("store", ["float32", "float16"])
def test_tokens_are_a_tensor_column(store: str) -> None:
    found = tokens(visioncli.EmbedOptions(features="tokens", store=store), tokens=TOKENS)
    assert found.schema.names[-1] == "tokens"
    assert found["tokens"].type == pa.fixed_shape_tensor(getattr(pa, store)(), [2, 3])
    found.validate(full=True)
    assert found["tokens"].combine_chunks().storage.to_pylist() == [
        TOKENS.ravel().tolist(),
        None,
        TOKENS.ravel().tolist(),
    ]


@pytest.mark.parametrize("store", ["float32", "float16"])
def test_tokens_come_back_from_parquet_and_from_json_lines(tmp_path: Path, store: str) -> None:
    found = tokens(visioncli.EmbedOptions(features="tokens", store=store), tokens=TOKENS)
    write_parquet(tmp_path / "a.parquet", found.schema, [found])
    assert pq.read_table(tmp_path / "a.parquet").equals(found)
    write_jsonl(tmp_path / "a.jsonl", found.schema, [found])
    assert json.loads((tmp_path / "a.jsonl").read_text().splitlines()[0])["tokens"] == TOKENS.tolist()
    _, tables = read_jsonl(tmp_path / "a.jsonl")
    assert pa.concat_tables(tables).equals(found)


def test_tokens_in_side_files_leave_their_path() -> None:
    found = tokens(visioncli.EmbedOptions(features="tokens", store="npz"), tokens_path="x.files/ab/0.npz")
    assert found.schema.names[-1] == "tokens_path"
    assert found["tokens_path"].to_pylist() == ["x.files/ab/0.npz", None, "x.files/ab/0.npz"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"features": "dense"}, "unknown features 'dense'; known: pooled, tokens"),
        ({"store": "npz"}, "unknown store 'npz' for pooled features; known: float32, float16"),
        ({"features": "tokens", "store": "int8"}, "known: float32, float16, npz"),
        ({"features": "tokens", "text_column": "t"}, "of pictures alone"),
        ({"features": "tokens", "normalize": False}, "never normalised"),
        ({"features": "tokens", "image": False}, "nothing to embed"),
    ],
)
def test_what_cannot_be_embedded_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        visioncli.EmbedOptions(**options)


def test_a_model_without_tokens_has_no_column_for_them() -> None:
    with pytest.raises(UsageError, match="m has no token features"):
        embed.TASK.columns(visioncli.EmbedOptions(features="tokens"), replace(INFO, token_shape=None))


def test_another_default_model_answers_tokens() -> None:
    kinds = [embed.TASK.default_for(visioncli.EmbedOptions(features=name)) for name in ("pooled", "tokens")]
    assert kinds == ["embed", "features"]


@pytest.mark.parametrize(
    "kind",
    [
        pa.string(),
        pa.int32(),
        pa.list_(pa.float32()),
        pa.list_(pa.float32(), 2),
        pa.fixed_shape_tensor(pa.float32(), [2, 3]),
    ],
)
def test_a_column_of_nothing_is_a_column_of_nulls(kind: pa.DataType) -> None:
    assert column([None, None], kind).equals(pa.nulls(2, kind))
    assert len(column([], kind)) == 0


def test_a_pass_through_column_may_have_no_name_of_ours() -> None:
    names = reserved_names(embed.TASK, visioncli.EmbedOptions(text_column="caption"))
    ours = {"id", "source", "image_index", "stale", "status", "version", "sha256", "embedding", "text_embedding"}
    ours |= {"_was", "_kept", "_seen"}  # of a snapshot
    assert ours <= names
    assert {"labels", "score"} <= reserved_names(classify.TASK, LABELS)
    assert "labels" not in names
    assert "tokens" in reserved_names(embed.TASK, visioncli.EmbedOptions(features="tokens"))


def test_outcomes_come_as_record_batches_in_order() -> None:
    outcomes = [embedded(n) if n % 2 else failed(n) for n in range(5)]
    batches = list(record_batches(iter(outcomes), "embed", visioncli.EmbedOptions(), INFO, rows=2))
    assert [len(batch) for batch in batches] == [2, 2, 1]
    whole = pa.Table.from_batches(batches)
    assert whole.schema.names[:3] == ["id", "source", "status"]
    assert whole["id"].to_pylist() == ["id0", "id1", "id2", "id3", "id4"]
    assert whole["source"].to_pylist() == [f"/p/{n}.jpg" for n in range(5)]
    assert whole["embedding"].to_pylist() == [None, [1.0, 0.5, -1.0], None, [3.0, 0.5, -1.0], None]


SQUARE = Rle((4, 5), "66000")  # any text: rows carry it unread
BOX = {"label": "cat", "score": 0.5, "x0": 0.0, "y0": 1.0, "x1": 2.0, "y1": 3.0, "phrase": "a cat"}
FOUND = visioncli.Objects(
    ("cat",), np.array([0.5], np.float32), np.array([[0, 1, 2, 3]], np.float32), ("a cat",), (SQUARE,), (([0.0, 1.0],),)
)
MAP = visioncli.DepthMap(np.array([[2, 1.5], [8, 3]], np.float32), True)
CAT = np.array([0.75, 0.25], np.float32)
EVERY_ANSWER = [  # task, options, a result, the task's own columns of its row
    ("depth", visioncli.DepthOptions(), MAP, {"depth_path": None, "depth_min": 1.5, "depth_max": 8.0, "metric": True}),
    (
        "depth",
        visioncli.DepthOptions(exports=(), size="model"),
        replace(MAP, depth=MAP.depth[:0], near=0.5, far=2.0, metric=False),
        {"depth_path": None, "depth_min": 0.5, "depth_max": 2.0, "metric": False},
    ),
    ("detect", visioncli.DetectOptions(("cat",)), FOUND, {"objects": [BOX]}),
    (
        "segment",
        visioncli.SegmentOptions(("cat",)),
        FOUND,
        {"objects": [BOX | {"mask": {"size": [4, 5], "counts": "66000"}}]},
    ),
    (
        "segment",
        visioncli.SegmentOptions(("cat",), masks="polygons"),
        FOUND,
        {"objects": [BOX | {"polygons": [[0.0, 1.0]]}]},
    ),
    ("embed", visioncli.EmbedOptions(), visioncli.Embedded(CAT), {"embedding": [0.75, 0.25]}),
    ("embed", visioncli.EmbedOptions(store="float16"), visioncli.Embedded(CAT), {"embedding": [0.75, 0.25]}),
    (
        "embed",
        visioncli.EmbedOptions(text_column="t"),
        visioncli.Embedded(CAT, -CAT),
        {"embedding": [0.75, 0.25], "text_embedding": [-0.75, -0.25]},
    ),
    (
        "classify",
        visioncli.ClassifyOptions(("dog", "cat")),
        classify.Labelled(("cat", "dog"), CAT, 2 * CAT),
        {"label": "cat", "score": 0.75, "labels": ["cat", "dog"], "scores": [0.75, 0.25], "logits": [1.5, 0.5]},
    ),
]


@pytest.mark.parametrize(("task", "options", "result", "columns"), EVERY_ANSWER)
def test_the_library_makes_rows_of_every_answer(task: str, options: Any, result: Any, columns: dict[str, Any]) -> None:
    outcomes = [Answer(ref(0), FACTS, result), failed(1)]
    (batch,) = record_batches(outcomes, task, options, replace(INFO, dimension=2))
    answered, failure = batch.to_pylist()
    assert batch.schema.names[:2] + batch.schema.names[-len(columns) :] == ["id", "source", *columns]
    assert {name: answered[name] for name in columns} == columns
    assert {name: failure[name] for name in columns} == dict.fromkeys(columns)


def test_the_library_makes_a_tensor_of_tokens() -> None:
    answer = Answer(ref(0), FACTS, visioncli.Embedded(None, tokens=TOKENS))
    (batch,) = record_batches([answer], "embed", visioncli.EmbedOptions(features="tokens"), INFO)
    assert batch.column("tokens").storage.to_pylist() == [TOKENS.ravel().tolist()]


@pytest.mark.parametrize(
    ("task", "options", "named"),
    [
        ("depth", visioncli.DepthOptions(exports=("png16", "glb", "ply")), "export 'glb'"),
        ("segment", visioncli.SegmentOptions(("cat",), masks="png"), "masks 'png'"),
        ("embed", visioncli.EmbedOptions(features="tokens", store="npz"), "store 'npz'"),
    ],
)
def test_the_library_refuses_answers_in_files_before_it_asks_for_any(task: str, options: Any, named: str) -> None:
    with pytest.raises(UsageError) as refused:
        record_batches(iter(lambda: pytest.fail("asked"), None), task, options, INFO)
    words = "asks for files, which visioncli.run writes beside its table; rows hold none"
    assert str(refused.value) == f"{task}: {named} {words}"
