"""--update: what is unchanged is not read, what is known not asked again, what fails for now keeps its answer."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import visioncli
from tests import misbehaving, small_pictures
from tests.children import Nursery
from visioncli.errors import UsageError
from visioncli.jobs.summary import Changes

SHA = {number: small_pictures.sha256(small_pictures.jpeg(number)) for number in range(100)}
UPDATE = visioncli.Policy(update=True, part_rows=16)


def a_job(output: Path | str, *inputs: Path | str, **more: Any) -> visioncli.Job:
    names = tuple(str(name) for name in inputs)
    given = {"task": "embed", "options": visioncli.EmbedOptions(), "policy": UPDATE, "model": "demo", **more}
    return visioncli.Job(output=str(output), inputs=names, **given)


def update(output: Path | str, *inputs: Path | str, **more: Any) -> visioncli.Summary:
    return visioncli.run(a_job(output, *inputs, **more))


def rows_of(output: Path) -> dict[str, dict[str, Any]]:
    """The output's rows by id."""
    if output.suffix in (".jsonl", ".ndjson"):
        found = [json.loads(line) for line in output.read_text().splitlines()]
    else:
        found = pq.read_table(output).to_pylist()
    return {row["id"]: row for row in found}


def rewrite_quietly(path: Path, data: bytes) -> None:
    """Put other bytes of the same number into a file, its modification time as it was: only reading tells."""
    facts = path.stat()
    path.write_bytes(data[: facts.st_size].ljust(facts.st_size, b"\0"))
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return small_pictures.folder(tmp_path / "photos", range(12))


def test_a_first_update_is_a_full_run_with_nothing_stale(photos: Path, tmp_path: Path) -> None:
    summary = update(tmp_path / "out.parquet", photos)
    assert (summary.rows, summary.ok, summary.inferred, summary.changes) == (12, 12, 12, None)
    assert pq.read_table(tmp_path / "out.parquet")["stale"].to_pylist() == [False] * 12


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".ndjson", "/"])
def test_unchanged_files_are_not_read(photos: Path, tmp_path: Path, suffix: str) -> None:
    output = Path(f"{tmp_path}/out{suffix}")
    update(f"{tmp_path}/out{suffix}", photos)
    before = output.read_bytes() if suffix in (".jsonl", ".ndjson") else pq.read_table(output)
    for number in range(12):
        rewrite_quietly(photos / f"{number:05d}.jpg", small_pictures.jpeg(number + 50))
    summary = update(f"{tmp_path}/out{suffix}", photos)
    assert (summary.inferred, summary.changes) == (0, Changes(unchanged=12))
    after = output.read_bytes() if suffix in (".jsonl", ".ndjson") else pq.read_table(output)
    assert after == before


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", "/"])
@pytest.mark.parametrize(
    "question",
    [
        {"options": visioncli.EmbedOptions(store="float16")},
        {"task": "classify", "options": visioncli.ClassifyOptions(("cat", "dog", "bus"), top_k=2)},
    ],
    ids=["half precision", "labels"],
)
def test_kept_and_new_answers_have_the_same_columns(
    photos: Path, tmp_path: Path, question: dict[str, Any], suffix: str
) -> None:
    output = f"{tmp_path}/out{suffix}"
    update(output, photos, **question)
    before = rows_of(Path(output))
    small_pictures.folder(photos, [20])
    (photos / "00000.jpg").write_bytes(b"<html>")
    assert update(output, photos, **question).changes == Changes(unchanged=11, new=1, changed=1)
    after = rows_of(Path(output))
    kept = [f"{number:05d}.jpg" for number in range(1, 12)]
    assert [after[id_] for id_ in kept] == [before[id_] for id_ in kept]
    assert (after["00020.jpg"]["sha256"], after["00000.jpg"]["status"]) == (SHA[20], "error")


def test_every_kind_of_change_is_found_and_only_new_bytes_are_asked(photos: Path, tmp_path: Path) -> None:
    update(tmp_path / "out.parquet", photos)
    before = rows_of(tmp_path / "out.parquet")
    os.utime(photos / "00000.jpg")  # touched
    (photos / "00001.jpg").write_bytes(small_pictures.jpeg(51))  # changed
    (photos / "deeper").mkdir()
    (photos / "00002.jpg").rename(photos / "deeper/00002.jpg")  # moved
    (photos / "00003.jpg").rename(photos / "zebra.jpg")  # renamed
    shutil.copy(photos / "00004.jpg", photos / "copy.jpg")  # copied
    (photos / "00005.jpg").unlink()  # vanished
    (photos / "00006.jpg").write_bytes(small_pictures.jpeg(7))  # now what another one is
    (photos / "new.jpg").write_bytes(small_pictures.jpeg(60))  # new
    summary = update(tmp_path / "out.parquet", photos)
    after = rows_of(tmp_path / "out.parquet")
    assert summary.inferred == 2
    assert summary.changes == Changes(unchanged=7, new=2, changed=2, moved=2, stale=0, vanished=1)
    assert {id_: row["sha256"] for id_, row in after.items()} == {
        **{f"{number:05d}.jpg": SHA[number] for number in (0, 4, 7, 8, 9, 10, 11)},
        **{"00001.jpg": SHA[51], "deeper/00002.jpg": SHA[2], "zebra.jpg": SHA[3], "copy.jpg": SHA[4]},
        **{"00006.jpg": SHA[7], "new.jpg": SHA[60]},
    }
    same = {"deeper/00002.jpg": 2, "zebra.jpg": 3, "copy.jpg": 4, "00006.jpg": 7, "00000.jpg": 0, "00008.jpg": 8}
    for id_, number in same.items():
        assert after[id_]["embedding"] == before[f"{number:05d}.jpg"]["embedding"]
        assert after[id_]["version"] == str((photos / id_).stat().st_mtime_ns)
    assert list(after) == sorted(after)  # the new listing's order


def test_a_second_update_reads_what_the_first_one_touched_no_more(photos: Path, tmp_path: Path) -> None:
    update(tmp_path / "out.parquet", photos)
    os.utime(photos / "00000.jpg")
    (photos / "00001.jpg").rename(photos / "moved.jpg")
    update(tmp_path / "out.parquet", photos)
    rewrite_quietly(photos / "00000.jpg", small_pictures.jpeg(50))
    rewrite_quietly(photos / "moved.jpg", small_pictures.jpeg(51))
    summary = update(tmp_path / "out.parquet", photos)
    assert (summary.inferred, summary.changes) == (0, Changes(unchanged=12))


def test_a_lasting_failure_takes_the_place_of_a_good_answer(photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.parquet"
    update(output, photos)
    (photos / "00003.jpg").write_bytes(small_pictures.jpeg(3)[:200])
    summary = update(output, photos)
    assert (summary.failed, summary.new_failures) == ({"decode_truncated": 1}, 1)
    row = rows_of(output)["00003.jpg"]
    assert (row["status"], row["stale"], row["embedding"], row["bytes"]) == ("error", False, None, 200)
    again = update(output, photos)
    assert (again.failed, again.new_failures, again.inferred) == ({"decode_truncated": 1}, 0, 0)


def last_progress(output: Path, *inputs: Path | str, **more: Any) -> visioncli.Progress:
    *_, last = visioncli.steps(a_job(output, *inputs, **more))
    return last


def test_progress_counts_failures_as_the_table_has_them(
    server: misbehaving.Server, photos: Path, tmp_path: Path
) -> None:
    (photos / "00003.jpg").write_bytes(small_pictures.jpeg(3)[:200])
    inputs = [photos, server.url("/ok/1.jpg").decode()]
    assert last_progress(tmp_path / "out.parquet", *inputs).failed == 1
    server.busy_with.add("1.jpg")
    again = last_progress(tmp_path / "out.parquet", *inputs, settings=NO_RETRIES)
    assert (again.done, again.failed) == (13, 1)  # one failure that stands, and a good answer that stands for now


def manifest(path: Path, rows: list[dict[str, str]]) -> Path:
    with open(path, "w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return path


def test_pass_through_columns_are_refreshed_without_asking(photos: Path, tmp_path: Path) -> None:
    rows = [{"image": f"photos/{number:05d}.jpg", "price": "1"} for number in range(12)]
    update(tmp_path / "out.parquet", manifest(tmp_path / "m.csv", rows))
    changed = [{"name": f"n{number}", **row, "price": "2"} for number, row in enumerate(reversed(rows))]
    summary = update(tmp_path / "out.parquet", manifest(tmp_path / "m.csv", changed))
    found = pq.read_table(tmp_path / "out.parquet")
    assert (summary.inferred, summary.changes) == (0, Changes(unchanged=12))
    assert found["price"].to_pylist() == ["2"] * 12
    assert found["name"].to_pylist() == [f"n{number}" for number in range(12)]
    assert found["sha256"].to_pylist() == [SHA[number] for number in reversed(range(12))]


def test_columns_with_the_names_of_our_own_bookkeeping_are_kept_under_others(photos: Path, tmp_path: Path) -> None:
    """`_was` says which earlier row a row was, `_kept` that its answer stands, `_seen` which version it had."""
    own = [{"_was": str(n), "_kept": "true", "_seen": '"v1"'} for n in (2, 0, 1)]
    rows = [{"image": f"photos/{number:05d}.jpg", **values} for number, values in enumerate(own)]
    for expected in (None, Changes(unchanged=3), Changes(unchanged=3)):
        summary = update(tmp_path / "out.parquet", manifest(tmp_path / "m.csv", rows))
        assert summary.changes == expected
    found = pq.read_table(tmp_path / "out.parquet")
    kept = found.select(["_was_in", "_kept_in", "_seen_in"]).to_pylist()
    assert kept == [{f"{name}_in": value for name, value in values.items()} for values in own]
    assert found["sha256"].to_pylist() == [SHA[0], SHA[1], SHA[2]]
    retry = visioncli.Policy(retry_failed=True)
    assert update(tmp_path / "out.parquet", tmp_path / "m.csv", policy=retry).ok == 3


def test_a_version_column_stands_for_the_file(photos: Path, tmp_path: Path) -> None:
    listing = visioncli.ListingOptions(version_column="rev")
    rows = [{"image": f"photos/{number:05d}.jpg", "rev": "1"} for number in range(6)]
    update(tmp_path / "out.parquet", manifest(tmp_path / "m.csv", rows), listing=listing)
    for number in range(6):
        (photos / f"{number:05d}.jpg").write_bytes(small_pictures.jpeg(number + 50))
    rows[2]["rev"], rows[3]["rev"] = "2", ""  # an empty one says nothing: the file does
    summary = update(tmp_path / "out.parquet", manifest(tmp_path / "m.csv", rows), listing=listing)
    found = pq.read_table(tmp_path / "out.parquet")
    assert (summary.inferred, summary.changes) == (2, Changes(unchanged=4, changed=2))
    assert found["sha256"].to_pylist() == [SHA[0], SHA[1], SHA[52], SHA[53], SHA[4], SHA[5]]
    assert found["version"].to_pylist()[:3] == ["1", "1", "2"]


def test_a_version_column_may_be_called_version(photos: Path, tmp_path: Path) -> None:
    listing = visioncli.ListingOptions(version_column="version")
    rows = [{"image": f"photos/{number:05d}.jpg", "version": "1"} for number in range(3)]
    rows.append({"image": "nowhere.jpg", "version": "1"})
    update(tmp_path / "out.parquet", manifest(tmp_path / "m.csv", rows), listing=listing)
    assert pq.read_table(tmp_path / "out.parquet")["version"].to_pylist() == ["1"] * 4
    shutil.copy(photos / "00005.jpg", tmp_path / "nowhere.jpg")
    retry = visioncli.Policy(retry_failed=True)
    summary = update(tmp_path / "out.parquet", tmp_path / "m.csv", listing=listing, policy=retry)
    assert (summary.inferred, summary.ok) == (1, 4)
    assert pq.read_table(tmp_path / "out.parquet")["version"].to_pylist() == ["1"] * 4


def test_a_changed_text_is_asked_again_and_its_picture_is_not_mixed_up(photos: Path, tmp_path: Path) -> None:
    both = {
        "listing": visioncli.ListingOptions(text_column="text"),
        "options": visioncli.EmbedOptions(text_column="text"),
    }
    rows = [{"image": f"photos/{number:05d}.jpg", "text": f"picture {number}"} for number in range(4)]
    update(tmp_path / "out.parquet", manifest(tmp_path / "m.csv", rows), **both)
    before = pq.read_table(tmp_path / "out.parquet").to_pylist()
    rows[1]["text"], rows[2]["text"] = rows[2]["text"], "another"
    summary = update(tmp_path / "out.parquet", manifest(tmp_path / "m.csv", rows), **both)
    after = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert (summary.inferred, summary.changes) == (2, Changes(unchanged=2, changed=2))
    np.testing.assert_allclose([row["embedding"] for row in after], [row["embedding"] for row in before], atol=1e-5)
    np.testing.assert_allclose(after[1]["text_embedding"], before[2]["text_embedding"], atol=1e-5)
    assert after[0] == before[0]


def test_texts_alone_are_known_by_what_they_say(tmp_path: Path) -> None:
    options = {
        "listing": visioncli.ListingOptions(text_column="text", images=False),
        "options": visioncli.EmbedOptions(text_column="text", image=False),
    }
    rows = [{"text": f"text {number}"} for number in range(4)]
    update(tmp_path / "out.parquet", manifest(tmp_path / "m.csv", rows), **options)
    before = pq.read_table(tmp_path / "out.parquet").to_pylist()
    rows = [{"text": "new"}, *reversed(rows), {"text": ""}]
    summary = update(tmp_path / "out.parquet", manifest(tmp_path / "m.csv", rows), **options)
    after = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert (summary.inferred, summary.failed) == (1, {"text_missing": 1})
    assert [row["embedding"] for row in after[1:5]] == [row["embedding"] for row in reversed(before)]


@pytest.fixture
def server() -> Iterator[misbehaving.Server]:
    with misbehaving.serve({f"{n}.jpg": small_pictures.jpeg(n) for n in range(10)}) as running:
        yield running


def test_a_url_that_says_unchanged_keeps_its_answer_and_sends_no_body(
    server: misbehaving.Server, tmp_path: Path
) -> None:
    names = [server.url(f"/tagged/{number}.jpg").decode() for number in range(3)]
    update(tmp_path / "out.parquet", *names)
    before = pq.read_table(tmp_path / "out.parquet")
    assert before["version"].to_pylist() == [misbehaving.ETAG] * 3
    asked = len(server.requests)
    summary = update(tmp_path / "out.parquet", *names)
    assert [request.headers.get("if-none-match") for request in server.requests[asked:]] == [misbehaving.ETAG] * 3
    assert (summary.inferred, summary.changes) == (0, Changes(unchanged=3))
    assert pq.read_table(tmp_path / "out.parquet").equals(before)


def test_a_url_without_a_version_is_fetched_and_known_by_its_bytes(server: misbehaving.Server, tmp_path: Path) -> None:
    names = [server.url(f"/ok/{number}.jpg").decode() for number in range(3)]
    update(tmp_path / "out.parquet", *names)
    server.pictures["1.jpg"] = small_pictures.jpeg(60)
    summary = update(tmp_path / "out.parquet", *names)
    assert (summary.inferred, summary.changes) == (1, Changes(unchanged=2, changed=1))
    assert pq.read_table(tmp_path / "out.parquet")["sha256"].to_pylist() == [SHA[0], SHA[60], SHA[2]]


def test_a_given_version_of_a_url_is_never_sent_to_its_server(server: misbehaving.Server, tmp_path: Path) -> None:
    listing = visioncli.ListingOptions(version_column="rev")
    rows = [{"image": server.url("/tagged/1.jpg").decode(), "rev": misbehaving.ETAG}]
    update(tmp_path / "out.parquet", manifest(tmp_path / "m.csv", rows), listing=listing)
    rows[0]["rev"] = "2"
    server.pictures["1.jpg"] = small_pictures.jpeg(61)
    update(tmp_path / "out.parquet", manifest(tmp_path / "m.csv", rows), listing=listing)
    assert pq.read_table(tmp_path / "out.parquet")["sha256"].to_pylist() == [SHA[61]]


NO_RETRIES = visioncli.Settings(fetch=visioncli.FetchOptions(retries=0))


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", "/"])
def test_a_passing_failure_keeps_the_last_good_answer_until_it_passes(
    server: misbehaving.Server, photos: Path, tmp_path: Path, suffix: str
) -> None:
    names, output = [server.url(f"/ok/{n}.jpg").decode() for n in range(3)], f"{tmp_path}/out{suffix}"
    update(output, *names, photos, settings=NO_RETRIES)
    good = rows_of(Path(output))[names[1]]
    server.busy_with.add("1.jpg")
    for _ in range(2):
        summary = update(output, *names, photos, settings=NO_RETRIES)
        assert (summary.ok, summary.failed, summary.inferred) == (15, {}, 0)
        assert summary.changes == Changes(unchanged=14, stale=1)
        assert rows_of(Path(output))[names[1]] == good | {"stale": True}
    server.busy_with.clear()
    assert update(output, *names, photos, settings=NO_RETRIES).changes == Changes(unchanged=15)
    assert rows_of(Path(output))[names[1]] == good


def test_a_good_answer_stands_in_for_a_passing_failure_only_where_its_text_is_still_asked(
    server: misbehaving.Server, tmp_path: Path
) -> None:
    both = {
        "listing": visioncli.ListingOptions(text_column="text"),
        "options": visioncli.EmbedOptions(text_column="text"),
        "settings": NO_RETRIES,
    }
    rows = [{"image": server.url(f"/ok/{n}.jpg").decode(), "text": f"picture {n}"} for n in range(3)]
    update(tmp_path / "out.parquet", manifest(tmp_path / "m.csv", rows), **both)
    server.busy_with |= {"0.jpg", "1.jpg"}
    rows[1]["text"] = "another"
    summary = update(tmp_path / "out.parquet", manifest(tmp_path / "m.csv", rows), **both)
    assert (summary.failed, summary.changes) == ({"http_503": 1}, Changes(unchanged=1, changed=1, stale=1))
    found = pq.read_table(tmp_path / "out.parquet")
    assert found["stale"].to_pylist() == [True, False, False]
    assert [vector is None for vector in found["text_embedding"].to_pylist()] == [False, True, False]


def test_what_fails_for_now_and_was_never_answered_is_asked_again(server: misbehaving.Server, tmp_path: Path) -> None:
    names = [server.url(f"/ok/{n}.jpg").decode() for n in range(3)]
    server.busy_with.add("1.jpg")
    assert update(tmp_path / "out.parquet", *names, settings=NO_RETRIES).failed == {"http_503": 1}
    server.busy_with.clear()
    summary = update(tmp_path / "out.parquet", *names, settings=NO_RETRIES)
    assert (summary.ok, summary.inferred, summary.changes) == (3, 1, Changes(unchanged=2, changed=1))


def test_a_picture_that_is_gone_takes_its_answer_with_it(server: misbehaving.Server, tmp_path: Path) -> None:
    name = server.url("/ok/1.jpg").decode()
    update(tmp_path / "out.parquet", name)
    server.pictures.clear()  # 404: a lasting failure
    gone = update(tmp_path / "out.parquet", name)
    assert (gone.failed, gone.changes) == ({"http_404": 1}, Changes(changed=1))


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"options": visioncli.EmbedOptions(normalize=False)}, "normalisation (--no-normalize) was on, is off"),
        (
            {"settings": visioncli.Settings(decode=visioncli.DecodeOptions(alpha="black"))},
            "--alpha was white, is black",
        ),
        ({"device": visioncli.Device(dtype="bfloat16")}, "--dtype was float32, is bfloat16"),
    ],
)
def test_answers_to_another_question_are_refused(
    photos: Path, tmp_path: Path, changed: dict[str, Any], named: str
) -> None:
    given = {"device": visioncli.Device(dtype="float32")}
    update(tmp_path / "out.parquet", photos, **given)
    before = (tmp_path / "out.parquet").read_bytes()
    with pytest.raises(UsageError) as refused:
        update(tmp_path / "out.parquet", photos, **{**given, **changed})
    assert named in str(refused.value)
    assert "say --overwrite to ask all again" in str(refused.value)
    assert (tmp_path / "out.parquet").read_bytes() == before


@pytest.mark.parametrize("content", [b"PAR1 no table", b"", b"{}"])
@pytest.mark.parametrize("name", ["out.parquet", "out.jsonl"])
def test_what_is_not_ours_is_not_updated(photos: Path, tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=name):
        update(tmp_path / name, photos)
    assert (tmp_path / name).read_bytes() == content
    assert visioncli.run(a_job(tmp_path / name, photos, policy=visioncli.Policy(overwrite=True))).ok == 12


def test_an_update_that_is_killed_goes_on(nursery: Nursery, tmp_path: Path) -> None:
    photos = small_pictures.folder(tmp_path / "photos", range(150))
    job = a_job(tmp_path / "out.parquet", photos)
    nursery.job(job).wait()
    for number in range(0, 150, 3):
        (photos / f"{number:05d}.jpg").write_bytes(small_pictures.jpeg(number + 1000))
    shutil.copy(tmp_path / "out.parquet", tmp_path / "twin.parquet")
    assert nursery.job(replace(job, output=str(tmp_path / "twin.parquet"))).wait().code == 0
    chance = random.Random(7)
    for _ in range(4):
        child = nursery.job(job)
        time.sleep(chance.uniform(0.05, 0.8))
        child.kill(9)
        child.wait()
    assert nursery.job(job).wait().code == 0
    found = pq.read_table(tmp_path / "out.parquet")
    assert found.equals(pq.read_table(tmp_path / "twin.parquet"))
    numbers = [number if number % 3 else number + 1000 for number in range(150)]
    assert found["sha256"].to_pylist() == [small_pictures.sha256(small_pictures.jpeg(n)) for n in numbers]


def test_an_update_that_died_between_its_two_files_is_published_again(photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    update(output, photos)
    small_pictures.folder(photos, [20])
    work = visioncli.steps(a_job(output, photos))
    seen = [next(work)]
    while seen[-1].done < 13 or len(seen) < 2:  # everything is answered, nothing published
        seen.append(next(work))
    work.close()
    (tmp_path / "out.jsonl.meta.json").write_text("{}")  # the new one, say: the old rows are not of its columns
    assert update(output, photos).changes == Changes(unchanged=12, new=1)
    assert len(rows_of(output)) == 13
    assert update(output, photos).changes == Changes(unchanged=13)


def an_update_left_with(parts: int, output: Path, photos: Path) -> None:
    """Begin an update, leave it, and put another output in the place of the one that it continued."""
    update(output, photos)
    work = visioncli.steps(a_job(output, photos, policy=replace(UPDATE, part_rows=4)))
    next(work)
    while len(list(output.parent.glob("*.run/part-*"))) < parts:
        next(work)
    work.close()
    (photos / "00000.jpg").unlink()
    update(output.with_name("other.parquet"), photos)
    os.replace(output.with_name("other.parquet"), output)


def test_an_update_that_had_no_part_begins_anew_on_another_output(photos: Path, tmp_path: Path) -> None:
    an_update_left_with(0, tmp_path / "out.parquet", photos)
    assert update(tmp_path / "out.parquet", photos).changes == Changes(unchanged=11)


def test_an_unfinished_update_of_another_output_is_refused(photos: Path, tmp_path: Path) -> None:
    """The snapshot of an update holds row numbers of the output that it continues."""
    output = tmp_path / "out.parquet"
    an_update_left_with(1, output, photos)
    with pytest.raises(
        UsageError, match=r"the unfinished run was begun with other settings \(the output that is continued was"
    ):
        update(output, photos)
    again = replace(UPDATE, resume=False)
    assert update(output, photos, policy=again).changes == Changes(unchanged=11)


def test_the_same_picture_listed_twice_is_two_rows_each_time(photos: Path, tmp_path: Path) -> None:
    rows = [{"image": "photos/00001.jpg", "n": str(number)} for number in range(3)]
    update(tmp_path / "out.parquet", manifest(tmp_path / "m.csv", rows))
    summary = update(tmp_path / "out.parquet", manifest(tmp_path / "m.csv", rows[:2]))
    assert (summary.inferred, summary.changes) == (0, Changes(unchanged=2, vanished=1))


def test_answers_about_texts_are_continued_however_pictures_were_to_be_read(tmp_path: Path) -> None:
    of_texts = {"options": visioncli.EmbedOptions(image=False, text_column="text"), "texts": ("cat",)}
    settings = visioncli.Settings(fetch=replace(visioncli.Settings().fetch, max_bytes=5_000_000))
    update(tmp_path / "out.parquet", **of_texts, settings=settings)
    done = update(tmp_path / "out.parquet", **{**of_texts, "texts": ("cat", "dog")})
    assert done.changes == Changes(new=1, unchanged=1)
