"""The snapshot: ranges of rows, whatever the row groups; and what is known of them at the end of the listing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import small_pictures
from visioncli.io.listing import ListingOptions, columns_read, survey
from visioncli.jobs.listings import Listed
from visioncli.jobs.snapshot import PLAN, Snapshot, plan_snapshot, visible_schema, write_snapshot

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("uri", pa.binary()),
        ("source", pa.string()),
        ("missing", pa.string()),
        ("image_index", pa.int32()),
        ("price", pa.int64()),
    ]
)


def batches(*sizes: int) -> Iterator[pa.RecordBatch]:
    first = 0
    for size in sizes:
        numbers = range(first, first + size)
        names = [str(number) for number in numbers]
        columns = [names, [n.encode() for n in names], names, [None] * size, [0] * size, list(numbers)]
        yield pa.record_batch([pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], schema=SCHEMA)
        first += size


def prices(rows: Snapshot, first: int, end: int) -> list[int]:
    return [price for piece in rows.pieces(first, end) for price in piece["price"].to_pylist()]


def snapshot(path: Path, *sizes: int) -> Snapshot:
    write_snapshot(path, SCHEMA, batches(*sizes), Listed(True, 7).metadata)
    return Snapshot(path)


@pytest.mark.parametrize(("first", "end"), [(0, 10), (0, 0), (2, 3), (2, 4), (3, 3), (1, 9), (9, 10), (3, 4)])
def test_a_range_is_found_across_row_groups(tmp_path: Path, first: int, end: int) -> None:
    rows = snapshot(tmp_path / "s", 3, 1, 4, 2)
    assert rows.rows == 10
    assert prices(rows, first, end) == list(range(first, end))
    assert [(ref.position, ref.id, ref.uri, ref.extra) for ref in rows.refs(first, end, ("price",))] == [
        (number, str(number), str(number).encode(), {"price": number}) for number in range(first, end)
    ]


def test_names_that_came_one_by_one_share_row_groups(tmp_path: Path) -> None:
    write_snapshot(tmp_path / "s", SCHEMA, batches(*[1] * 9000), Listed(True).metadata)
    groups = pq.read_metadata(tmp_path / "s")
    assert [groups.row_group(number).num_rows for number in range(groups.num_row_groups)] == [8192, 808]
    assert prices(Snapshot(tmp_path / "s"), 8190, 8195) == list(range(8190, 8195))


def test_wide_rows_have_smaller_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("visioncli.jobs.snapshot.GROUP_BYTES", 3 * next(batches(2)).nbytes)
    rows = snapshot(tmp_path / "s", *[2] * 8)
    plan_snapshot(tmp_path / "s", lambda batch: pa.record_batch([*batch.columns, *planned(batch)], schema=PLANNED))
    for found in (rows, Snapshot(tmp_path / "s")):
        assert [piece["price"].to_pylist() for piece in found.pieces(1, 13)] == [
            [1, 2, 3, 4, 5],
            [6, 7, 8, 9, 10, 11],
            [12],
        ]


def test_references_are_made_without_the_columns_that_nobody_reads() -> None:
    assert columns_read(PLANNED, ()) == ["id", "uri", "missing", "_seen"]
    assert columns_read(SCHEMA, ("price",)) == ["id", "uri", "missing", "price"]


def test_what_the_listing_knew_at_its_end_is_kept_also_through_the_plan(tmp_path: Path) -> None:
    snapshot(tmp_path / "s", 3)
    plan_snapshot(tmp_path / "s", lambda batch: pa.record_batch([*batch.columns, *planned(batch)], schema=PLANNED))
    assert Listed.of(tmp_path / "s") == Listed(True, 7)
    assert (
        Snapshot(tmp_path / "s").columns(["_was", "_kept", "_seen"]).to_pylist()
        == [{"_was": -1, "_kept": False, "_seen": "v1"}] * 3
    )
    assert [ref.seen for ref in Snapshot(tmp_path / "s").refs(0, 3, ())] == ["v1"] * 3


PLANNED = pa.schema([*SCHEMA, *PLAN])


def planned(batch: pa.RecordBatch) -> list[pa.Array]:
    return [
        pa.repeat(pa.scalar(value, field.type), len(batch))
        for value, field in zip((-1, False, "v1"), PLAN, strict=True)
    ]


def test_a_plan_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    snapshot(tmp_path / "s", 3)
    plan_snapshot(tmp_path / "s", lambda batch: pa.record_batch([*batch.columns, *planned(batch)], schema=PLANNED))
    plan_snapshot(tmp_path / "s", lambda batch: pytest.fail("planned again"))


def test_an_empty_listing_is_an_empty_snapshot(tmp_path: Path) -> None:
    rows = snapshot(tmp_path / "s")
    assert rows.rows == 0
    assert list(rows.pieces(0, 0)) == []
    assert list(rows.refs(0, 0, ())) == []


def test_the_output_shows_ids_first_and_the_place_in_a_list_last() -> None:
    assert visible_schema(pa.schema([*SCHEMA, *PLAN])).names == ["id", "source", "price", "image_index"]


def test_a_folder_that_changes_after_the_snapshot_does_not_shift_rows(tmp_path: Path) -> None:
    photos = small_pictures.folder(tmp_path / "photos", [1, 3, 5])
    listing = survey([str(photos)], ListingOptions())
    write_snapshot(tmp_path / "s", listing.schema, listing.batches(), Listed(True).metadata)
    small_pictures.folder(photos, [0, 2])
    (photos / "00003.jpg").unlink()
    assert [ref.id for ref in Snapshot(tmp_path / "s").refs(0, 3, ())] == ["00001.jpg", "00003.jpg", "00005.jpg"]


def test_a_listing_that_breaks_off_leaves_no_snapshot(tmp_path: Path) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield from batches(3)
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        write_snapshot(tmp_path / "s", SCHEMA, broken(), Listed(True).metadata)
    assert list(tmp_path.iterdir()) == []
