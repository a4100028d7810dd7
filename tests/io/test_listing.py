"""Several INPUTs as one listing: columns merged and renamed, repeated ids told apart, ImageRefs."""

from __future__ import annotations

import datetime
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visioncli.errors import CODES, SourceError
from visioncli.io import ids
from visioncli.io.ids import IdLedger
from visioncli.io.listing import Listing, ListingOptions, refs, survey
from visioncli.samples import ImageRef


def jsonl(path: Path, *rows: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def table(*inputs: str, **options: Any) -> pa.Table:
    listing = survey(inputs, ListingOptions(**options))
    return pa.Table.from_batches(listing.batches(), listing.schema)


def test_inputs_of_every_kind_come_in_the_order_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d").mkdir()
    (tmp_path / "d/1.jpg").touch()
    (tmp_path / "b.jpg").touch()
    (tmp_path / "l.txt").write_text("t.jpg\n")
    jsonl(tmp_path / "m.jsonl", {"url": "http://h/x.jpg", "n": 1})
    inputs = ["b.jpg", "http://h/u.jpg", "d", "m.jsonl", "-", "l.txt", "*.jpg"]
    listing = survey(inputs, ListingOptions(), io.BytesIO(b"s.jpg"))
    found = pa.Table.from_batches(listing.batches(), listing.schema)
    ids = ["b.jpg", "http://h/u.jpg", "d/1.jpg", "http://h/x.jpg", "s.jpg", "t.jpg", "b.jpg#2"]
    assert found["id"].to_pylist() == ids
    assert found["n"].to_pylist() == [None, None, None, 1, None, None, None]
    assert [manifest[0] for manifest in listing.manifests] == [f"{tmp_path}/m.jsonl", f"{tmp_path}/l.txt"]
    assert listing.notes == ("m.jsonl: images are read from column 'url'",)


def test_columns_of_several_manifests_are_united(tmp_path: Path) -> None:
    one = jsonl(tmp_path / "1.jsonl", {"image": "a.jpg", "n": 1, "same": "x"})
    two = jsonl(tmp_path / "2.jsonl", {"path": "b.jpg", "same": "y", "m": [0.5]})
    found = table(one, two)
    assert found.schema.names == ["id", "uri", "source", "missing", "n", "same", "m"]
    assert found.select(["n", "same", "m"]).to_pylist() == [
        {"n": 1, "same": "x", "m": None},
        {"n": None, "same": "y", "m": [0.5]},
    ]


def test_columns_whose_types_differ_become_json_strings(tmp_path: Path) -> None:
    one = tmp_path / "1.parquet"
    day = datetime.datetime(2024, 1, 2)
    pq.write_table(pa.table({"image": ["a.jpg"], "v": [day], "w": [b"\xff"], "x": ["s"]}), one)
    two = jsonl(tmp_path / "2.jsonl", {"image": "b", "v": 1, "w": {"k": "\u00e9"}, "x": 1}, {"image": "c", "x": "s"})
    listing = survey([str(one), two], ListingOptions())
    found = pa.Table.from_batches(listing.batches(), listing.schema)
    assert found["v"].to_pylist() == ['"2024-01-02T00:00:00"', "1", None]
    assert found["w"].to_pylist() == ['"\\\\xff"', '{"k": "\u00e9"}', None]
    assert found["x"].to_pylist() == ['"s"', "1", '"s"']  # JSON on one side already, and not twice
    for name in "vwx":
        note = f"column {name!r} has different types in different manifests: kept as JSON strings"
        assert note in listing.notes


def test_a_list_beside_others_leaves_their_image_index_null(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    lists = jsonl(tmp_path / "1.jsonl", {"image": ["b.jpg", "c.jpg"]})
    found = table(str(tmp_path / "a.jpg"), lists)
    assert found.schema.field("image_index").type == pa.int32()
    assert found["image_index"].to_pylist() == [None, 0, 1]


def test_columns_that_clash_with_ours_are_kept_and_announced(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "x.jsonl", {"image": "a.jpg", "label": "l", "label_in": "i", "uri": "u", "score": 1})
    listing = survey([path], ListingOptions(reserved=frozenset({"label", "status"})))
    assert listing.schema.names[4:] == ["label_in_in", "label_in", "uri_in", "score"]
    assert listing.renamed == {"label": "label_in_in", "uri": "uri_in"}
    assert listing.notes[1:] == (
        "column 'label' clashes with one of ours and is kept as 'label_in_in'",
        "column 'uri' clashes with one of ours and is kept as 'uri_in'",
    )
    (batch,) = listing.batches()
    assert list(batch.to_pylist()[0].values())[4:] == ["l", "i", "u", 1]


def test_a_column_named_like_one_of_ours_that_is_not_there_keeps_its_name(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "x.jsonl", {"image": "a.jpg", "version": "v", "image_index": 7, "uri": 1})
    (tmp_path / "b.jpg").touch()
    found = table(path, str(tmp_path / "b.jpg"))
    assert found.schema.names == ["id", "uri", "source", "missing", "version", "image_index", "uri_in"]
    assert found.select(["version", "image_index", "uri_in"]).to_pylist() == [
        {"version": "v", "image_index": 7, "uri_in": 1},
        {"version": None, "image_index": None, "uri_in": None},
    ]


def test_two_columns_never_get_one_name(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "x.jsonl", {"image": "a.jpg", "a": 1, "a_in": 2})
    listing = survey([path], ListingOptions(reserved=frozenset({"a", "a_in"})))
    assert listing.schema.names[4:] == ["a_in_in", "a_in_in_in"]


def test_derived_ids_that_repeat_are_numbered_across_inputs(tmp_path: Path) -> None:
    one = jsonl(tmp_path / "1.jsonl", {"image": "a.jpg"}, {"image": "b.jpg"}, {"image": "a.jpg"})
    two = jsonl(tmp_path / "2.jsonl", {"image": "a.jpg"}, {"image": "b.jpg", "id": "a.jpg"})
    listing = survey([one, two], ListingOptions())
    found = [id_ for batch in listing.batches(rows=2) for id_ in batch["id"].to_pylist()]
    assert found == ["a.jpg", "b.jpg", "a.jpg#2", "a.jpg#3", "a.jpg"]
    progress = listing.progress
    assert (progress.rows, progress.derived_repeats, progress.explicit_repeats) == (5, 2, 1)


def test_a_listing_can_be_read_again(tmp_path: Path) -> None:
    listing = survey([jsonl(tmp_path / "x.jsonl", {"image": "a.jpg"}, {"image": "a.jpg"})], ListingOptions())
    assert list(listing.batches()) == list(listing.batches())
    assert listing.progress.rows == 2


def test_batches_are_never_longer_than_asked(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "x.jsonl", *({"image": [f"{n}.jpg"] * 3} for n in range(5)))
    assert [len(batch) for batch in survey([path], ListingOptions()).batches(rows=4)] == [4, 4, 4, 3]


@settings(max_examples=80, deadline=None)
@given(batches=st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=12), max_size=12))
def test_each_occurrence_of_an_id_is_numbered(batches: list[list[str]]) -> None:
    ledger, seen = IdLedger(), ""
    for batch in batches:
        ranks = ledger.add(pa.array(batch, pa.string()))
        assert ranks.tolist() == [seen.count(id_) + batch[: at + 1].count(id_) for at, id_ in enumerate(batch)]
        seen += "".join(batch)


def test_a_long_listings_ids_are_numbered_in_several_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "_RUN_CAP", 100)
    ledger = IdLedger()
    chosen = np.random.default_rng(0).integers(0, 3000, 5000).tolist()
    ranks = [rank for at in range(0, 5000, 250) for rank in ledger.add(pa.array(map(str, chosen[at : at + 250])))]
    seen: dict[int, int] = {}
    for number, rank in zip(chosen, ranks, strict=True):
        seen[number] = seen.get(number, 0) + 1
        assert rank == seen[number]


def listed(tmp_path: Path, **options: Any) -> Listing:
    rows = {"image": "a.jpg", "sku": 1, "v": "e1", "t": "red"}, {"image": "", "sku": 2, "v": None, "t": "blue"}
    return survey([jsonl(tmp_path / "x.jsonl", *rows)], ListingOptions(**options))


def test_rows_become_refs(tmp_path: Path) -> None:
    (batch,) = listed(tmp_path, id_column="sku", version_column="v").batches()
    first, second = refs(batch, 40, ["t", "sku"])
    uri = f"{tmp_path}/a.jpg".encode()
    assert first == ImageRef(40, "1", uri, {"t": "red", "sku": 1}, version="e1")
    assert (second.position, second.id, second.uri, second.extra) == (41, "2", None, {"t": "blue", "sku": 2})
    assert isinstance(second.error, SourceError)
    assert (second.error.code, str(second.error)) == ("input_missing", CODES["input_missing"])


def test_refs_hold_no_columns_that_nobody_needs(tmp_path: Path) -> None:
    (batch,) = listed(tmp_path).batches()
    assert [ref.extra for ref in refs(batch, 0)] == [{}, {}]


@pytest.mark.parametrize("rows", [1, 2, 8192])
@pytest.mark.parametrize(
    ("limit", "ids", "repeats"),
    [
        (1, ["a"], (0, 0)),
        (2, ["a", "b.jpg"], (0, 0)),
        (3, ["a", "b.jpg", "a"], (0, 1)),
        (4, ["a", "b.jpg", "a", "b.jpg#2"], (1, 1)),
        (5, ["a", "b.jpg", "a", "b.jpg#2"], (1, 1)),
    ],
)
def test_a_limit_takes_the_first_rows_and_counts_no_others(
    tmp_path: Path, rows: int, limit: int, ids: list[str], repeats: tuple[int, int]
) -> None:
    images = ({"id": "a", "image": "x"}, {"image": "b.jpg"}, {"id": "a", "image": "x"}, {"image": "b.jpg"})
    one, two = jsonl(tmp_path / "1.jsonl", *images[:2]), jsonl(tmp_path / "2.jsonl", *images[2:])
    listing = survey([one, two], ListingOptions())
    assert [id_ for batch in listing.batches(rows, limit) for id_ in batch["id"].to_pylist()] == ids
    assert (listing.progress.derived_repeats, listing.progress.explicit_repeats) == repeats


def test_a_limit_ends_a_list_of_images_in_its_middle(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "x.jsonl", {"image": ["a", "b", "c"], "n": 1}, {"image": ["d"], "n": 2})
    found = [row for batch in survey([path], ListingOptions()).batches(limit=2) for row in batch.to_pylist()]
    assert [(row["id"], row["image_index"], row["n"]) for row in found] == [("a", 0, 1), ("b", 1, 1)]


def test_what_a_walk_left_out_is_known_when_a_limit_ended_it(tmp_path: Path) -> None:
    (tmp_path / ".hidden.jpg").touch()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).touch()
    listing = survey([str(tmp_path)], ListingOptions())
    batches = listing.batches(1, limit=1)
    assert (len(next(batches)), next(batches, None)) == (1, None)
    assert listing.remarks.notes == [f"{tmp_path}: 1 dot-file or dot-folder skipped"]
