"""What ends a run early, with which exit code, and that the same command goes on; what another command is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import visioncli
from tests import misbehaving, small_pictures
from tests.acceptance.test_killed_runs import killed_when
from tests.children import Child, Nursery
from tests.prompt import visioncli as prompt
from visioncli.errors import ErrorRateError, OutOfTimeError, OutputError, UsageError

CLASSIFY = ["--model", "demo", "--labels", "cat,dog"]
MODEL = Path(visioncli.__file__).parent / "models/demo/siglip"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_pictures.folder(tmp_path_factory.mktemp("photos"), range(200))


def embed(output: Path, *inputs: Path, limit: int | None = None, **policy: object) -> visioncli.Job:
    names = tuple(str(name) for name in inputs)
    return visioncli.Job(
        "embed",
        visioncli.EmbedOptions(),
        str(output),
        names,
        model="demo",
        limit=limit,
        policy=visioncli.Policy(**{"part_rows": 8, **policy}),  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def server() -> Iterator[misbehaving.Server]:
    with misbehaving.serve() as running:
        yield running


@pytest.fixture
def held(nursery: Nursery, server: misbehaving.Server, photos: Path, tmp_path: Path) -> Child:
    """A command that has answered some of 40 rows, or all, and waits long for the 41st."""
    names = [f"{photos}/{n:05d}.jpg" for n in range(40)] + [server.url("/slow?s=60").decode()]
    (tmp_path / "m.txt").write_text("\n".join(names))
    before = server.count("/slow")
    child = nursery.command(arguments(tmp_path))
    until = time.monotonic() + 60
    while server.count("/slow") == before and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.5)
    return child


def arguments(tmp_path: Path) -> list[str | Path]:
    output, summary = tmp_path / "out.parquet", tmp_path / "s.json"
    return ["embed", tmp_path / "m.txt", "-o", output, "--model", "demo", "--summary", summary]


@pytest.fixture(scope="module")
def unfinished(nursery: Nursery, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a classification that was killed with some parts done."""
    output = tmp_path_factory.mktemp("unfinished") / "out.parquet"
    labels = visioncli.ClassifyOptions(("cat", "dog"))
    job = replace(embed(output, photos), task="classify", options=labels)
    run = output.with_name("out.parquet.run")
    assert killed_when(nursery.job(job), lambda: list(run.glob("part-*"))).code == -9
    return output


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (["--labels", "bus"], "--labels was cat,dog, is cat,dog,bus"),
        (["--template", "a {}"], "--template was {}, is a {}"),
        (["--scoring", "sigmoid"], "--scoring was softmax, is sigmoid"),
        (["--alpha", "black"], "--alpha was white, is black"),
        (["--max-pixels", "1M"], "--max-pixels was 100000000, is 1000000"),
        (["--limit", "9"], "--limit was not given, is 9"),
        (["--batch-size", "4"], "--batch-size was 8, is 4"),
        (["--model", str(MODEL)], "--model was demo, is "),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_an_unfinished_run_is_not_continued_with_other_settings(
    unfinished: Path, photos: Path, changed: list[str], named: str
) -> None:
    before = sorted(os.listdir(f"{unfinished}.run"))
    told = prompt("classify", photos, "-o", unfinished, *CLASSIFY, *changed)
    assert told.code == 2
    assert f"the unfinished run was begun with other settings ({named}" in told.err
    assert "say --no-resume to begin anew" in told.err
    assert sorted(os.listdir(f"{unfinished}.run")) == before


def test_a_run_goes_on_with_the_batch_size_it_was_begun_with_where_none_is_asked_for(
    photos: Path, tmp_path: Path
) -> None:
    """An automatic one follows the memory that is free just now."""
    job = embed(tmp_path / "out.parquet", photos, limit=30)
    work = visioncli.steps(replace(job, device=visioncli.Device(batch_size=4)))
    while not list((tmp_path / "out.parquet.run").glob("part-*")):
        next(work)
    work.close()
    assert visioncli.run(job).done_before > 0
    known_as = json.loads(pq.read_schema(tmp_path / "out.parquet").metadata[b"visioncli"])
    assert known_as["batch_size"] == 4
    assert known_as["choices"]["batch_size"] == {"value": "4", "reason": "as the unfinished run"}


def test_an_unfinished_run_is_not_continued_in_another_mode(unfinished: Path, photos: Path) -> None:
    told = prompt("classify", photos, "-o", unfinished, *CLASSIFY, "--update")
    assert (told.code, "an unfinished run without --update or --retry-failed" in told.err) == (2, True)


def test_no_resume_forgets_and_begins_anew(nursery: Nursery, photos: Path, tmp_path: Path) -> None:
    job, run = embed(tmp_path / "out.parquet", photos), tmp_path / "out.parquet.run"
    killed_when(nursery.job(job), lambda: list(run.glob("part-*")))
    told = prompt("embed", photos, "-o", tmp_path / "out.parquet", "--model", "demo", "--limit", "20", "--no-resume")
    assert told.code == 0
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 20
    assert os.listdir(tmp_path) == ["out.parquet"]


@pytest.mark.parametrize("torn", ["", '{"mode": "run", "ans'])
def test_a_run_whose_key_is_torn_is_not_thrown_away_unasked(
    nursery: Nursery, photos: Path, tmp_path: Path, torn: str
) -> None:
    job, run = embed(tmp_path / "out.parquet", photos, limit=30), tmp_path / "out.parquet.run"
    killed_when(nursery.job(job), lambda: list(run.glob("part-*")))
    (run / "run.json").write_text(torn)
    parts = sorted(run.glob("part-*"))
    with pytest.raises(
        UsageError, match=rf"holds {len(parts)} finished parts?, but its run.json is damaged.*--no-resume"
    ):
        visioncli.run(job)
    assert sorted(run.glob("part-*")) == parts
    summary = visioncli.run(replace(job, policy=replace(job.policy, resume=False)))
    assert (summary.done_before, summary.inferred, summary.ok) == (0, 30, 30)


def test_a_run_whose_key_is_torn_before_anything_was_finished_begins_anew(photos: Path, tmp_path: Path) -> None:
    job = embed(tmp_path / "out.parquet", photos, limit=30)
    work = visioncli.steps(job)
    next(work)
    work.close()
    (tmp_path / "out.parquet.run/run.json").write_text('{"mode": "run", "ans')
    assert visioncli.run(job).ok == 30


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_first_signal_closes_the_open_part_and_the_same_command_goes_on(
    held: Child, tmp_path: Path, number: int, code: int
) -> None:
    held.kill(number)
    end = held.wait()
    assert end.code == code
    assert end.err.endswith("interrupted; finished parts are kept, the same command goes on from here\n")
    parts = [path.name for path in (tmp_path / "out.parquet.run").glob("part-*")]
    assert len(parts) <= 1  # of at most 4,096 rows: it was closed before it was full
    done = sum(int(name[18:30]) for name in parts)
    summary = json.loads((tmp_path / "s.json").read_text())
    assert (summary["finished"], summary["error_code"]) == (False, "interrupted")
    assert (summary["rows"], summary["ok"], summary["rows_left"]) == (done, done, 41 - done)
    assert f"out.parquet: {done} of 41 rows so far, {done} ok\n" in end.err
    told = prompt(*arguments(tmp_path), "--timeout", "0.05", "--retries", "0")
    summary = json.loads((tmp_path / "s.json").read_text())
    assert (told.code, summary["failed"], summary["finished"]) == (3, {"fetch_timeout": 1}, True)
    assert (summary["rows"], summary["done_before"], summary["inferred"]) == (41, done, 40 - done)


def test_a_second_signal_leaves_at_once(nursery: Nursery, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("image\n" + "nowhere.jpg\n" * 300_000)
    child = nursery.command(["embed", tmp_path / "m.csv", "-o", tmp_path / "out.parquet", "--model", "demo"])
    time.sleep(0.3)
    for _ in range(2):
        child.kill(signal.SIGINT)
        time.sleep(0.01)
    assert child.wait().code == 130
    assert not (tmp_path / "out.parquet").exists()


def test_out_of_time_is_not_now_and_goes_on(photos: Path, tmp_path: Path) -> None:
    job = embed(tmp_path / "out.parquet", photos)
    with pytest.raises(OutOfTimeError, match=r"--max-runtime is over"):
        visioncli.run(
            replace(job, policy=replace(job.policy, max_runtime_s=0.05))
        )  # a fraction of what 200 pictures take
    assert visioncli.run(job).ok == 200


def test_max_runtime_ends_with_exit_code_75(photos: Path, tmp_path: Path) -> None:
    told = prompt("embed", photos, "-o", tmp_path / "o.parquet", "--model", "demo", "--max-runtime", "0.01s")
    assert (told.code, "--max-runtime is over" in told.err) == (75, True)


def test_the_second_run_on_one_output_is_told_to_come_back(held: Child, tmp_path: Path) -> None:
    told = prompt(*arguments(tmp_path))
    assert (told.code, "another run is working on" in told.err) == (75, True)
    held.kill(signal.SIGKILL)
    assert held.wait().code == -9
    assert prompt(*arguments(tmp_path), "--timeout", "0.05", "--retries", "0").code == 3  # the lock is free


def test_too_many_failures_stop_the_run_and_a_higher_rate_goes_on(photos: Path, tmp_path: Path) -> None:
    names = [f"{photos}/{n:05d}.jpg" if n % 4 else "nowhere.jpg" for n in range(200)]
    (tmp_path / "m.txt").write_text("\n".join(names))
    job = embed(tmp_path / "out.parquet", tmp_path / "m.txt", max_error_rate=0.2)
    with pytest.raises(ErrorRateError, match=r"25 of 100 rows failed \(25 with file_not_found\)"):
        visioncli.run(job)
    summary = visioncli.run(replace(job, policy=replace(job.policy, max_error_rate=0.3)))
    assert (summary.rows, summary.done_before, summary.failed) == (200, 100, {"file_not_found": 50})


def test_a_run_that_ended_early_leaves_what_it_had_done(photos: Path, tmp_path: Path) -> None:
    names = [f"{photos}/{n:05d}.jpg" if n % 4 else "nowhere.jpg" for n in range(200)]
    (tmp_path / "m.txt").write_text("\n".join(names))
    stop = visioncli.Stop()
    with pytest.raises(ErrorRateError) as ended:
        visioncli.run(embed(tmp_path / "out.parquet", tmp_path / "m.txt", max_error_rate=0.2), stop)
    assert stop.so_far is not None
    found = stop.so_far
    assert (found.rows, found.ok, found.failed, found.rows_left) == (100, 75, {"file_not_found": 25}, 100)
    assert (found.finished, found.error_code, found.error) == (False, "max_error_rate", str(ended.value))
    assert str(ended.value).endswith("allows; finished parts are kept, the same command goes on from here")


def test_an_update_that_ended_early_tells_neither_changes_nor_new_failures(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "m.txt").write_text("\n".join(f"{photos}/{n:05d}.jpg" for n in range(20)))
    job, stop = embed(tmp_path / "out.parquet", tmp_path / "m.txt"), visioncli.Stop()
    assert visioncli.run(job).finished
    names = [*(f"{photos}/{n:05d}.jpg" for n in range(20)), *["nowhere.jpg"] * 150]
    (tmp_path / "m.txt").write_text("\n".join(names))
    with pytest.raises(ErrorRateError):
        visioncli.run(replace(job, policy=replace(job.policy, update=True, max_error_rate=0.5)), stop)
    found = stop.so_far
    assert found is not None
    assert (found.rows, found.ok, found.rows_left) == (120, 20, 50)
    assert (found.changes, found.new_failures) == (None, None)


def test_a_stopped_run_goes_on_by_the_same_command_as_long_as_its_own_rows_are_good(
    photos: Path, tmp_path: Path
) -> None:
    names = [f"{photos}/{n:05d}.jpg" if n > 60 else "nowhere.jpg" for n in range(200)]
    (tmp_path / "m.txt").write_text("\n".join(names))
    job = embed(tmp_path / "out.parquet", tmp_path / "m.txt", max_error_rate=0.2)
    with pytest.raises(ErrorRateError, match="61 of 100 rows failed"):
        visioncli.run(job)
    summary = visioncli.run(job)
    assert (summary.rows, summary.done_before, summary.failed) == (200, 100, {"file_not_found": 61})


def test_a_run_that_failed_leaves_no_threads_even_while_its_error_is_held(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "m.txt").write_text("".join(f"{photos}/nowhere.jpg\n" for _ in range(300)))
    before = set(threading.enumerate())
    for output in (f"{tmp_path}/out.parquet", "-"):
        with pytest.raises(ErrorRateError) as held:
            visioncli.run(replace(embed(tmp_path, tmp_path / "m.txt", max_error_rate=0.1), output=output))
        assert set(threading.enumerate()) <= before, held


def test_a_full_disk_is_exit_1_and_the_same_command_goes_on(nursery: Nursery, photos: Path, tmp_path: Path) -> None:
    embedding = ["embed", photos, "-o", tmp_path / "out.parquet", "--model", "demo"]
    end = nursery.command(embedding, file_bytes=60_000).wait()  # 200 vectors of 128 floats are 100 kB
    assert (end.code, "cannot be written: File too large" in end.err) == (1, True)
    assert not (tmp_path / "out.parquet").exists()
    assert prompt(*embedding).code == 0
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 200


def test_a_full_disk_keeps_the_finished_parts(photos: Path, tmp_path: Path) -> None:
    job, run, stop = embed(tmp_path / "out.parquet", photos), tmp_path / "out.parquet.run", visioncli.Stop()
    work = visioncli.steps(job, stop)
    while len(list(run.glob("part-*"))) < 2:
        next(work)
    last = run / "part-000000000192-000000000200.parquet"  # far from what is being written now
    last.mkdir()  # what cannot be written, for whatever reason
    with pytest.raises(OutputError, match=r"part-000000000192-000000000200\.parquet cannot be written"):
        for _ in work:
            pass
    last.rmdir()
    assert stop.so_far is not None
    assert (stop.so_far.rows, stop.so_far.rows_left, stop.so_far.error_code) == (192, 8, "output")
    summary = visioncli.run(job)
    assert (summary.rows, summary.done_before, summary.inferred) == (200, 192, 8)


@pytest.mark.parametrize(
    ("refused", "code", "corrected"),
    [
        (["depth", "--focal", "500"], 2, ["depth"]),
        (["embed", "--device", "mps"], 1, ["embed", "--alpha", "black"]),
        (["detect", "--prompts", "cat", "--model", str(MODEL)], 1, ["detect", "--prompts", "dog"]),
        (["embed", "--dtype", "float16", "--device", "mps"], 1, ["embed", "--limit", "3", "--update"]),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
def test_a_command_that_is_refused_does_not_hold_up_the_corrected_one(
    tmp_path: Path, refused: list[str], code: int, corrected: list[str]
) -> None:
    photos = small_pictures.folder(tmp_path / "photos", range(3))
    common = [photos, "-o", tmp_path / "out.parquet", "--model", "demo"]
    assert prompt(refused[0], *common, *refused[1:]).code == code
    assert (tmp_path / "out.parquet.run/inputs.parquet").exists()
    assert prompt(corrected[0], *common, *corrected[1:]).code == 0
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 3


def test_what_was_listed_before_a_run_had_a_part_is_listed_anew(tmp_path: Path) -> None:
    photos = small_pictures.folder(tmp_path / "photos", range(3))
    command = ["classify", photos, "-o", tmp_path / "out.parquet", *CLASSIFY]
    assert prompt(*command, "--device", "mps").code == 1
    small_pictures.folder(photos, [3])
    assert prompt(*command).code == 0
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 4


def test_other_names_on_standard_input_count_where_no_part_is_finished(photos: Path, tmp_path: Path) -> None:
    command = ["embed", "-", "-o", tmp_path / "out.parquet", "--model", "demo"]
    assert prompt(*command, "--device", "mps", typed=f"{photos}/00001.jpg\n").code == 1
    assert prompt(*command, typed=f"{photos}/00002.jpg\n").code == 0
    assert pq.read_table(tmp_path / "out.parquet")["id"].to_pylist() == [f"{photos}/00002.jpg"]


@pytest.mark.parametrize(
    ("changed", "code"), [(["nowhere"], 2), (["--unique-ids"], 2), (["--max-runtime", "0.000001s"], 75)]
)
def test_no_resume_forgets_nothing_before_the_command_is_known_to_be_good(
    tmp_path: Path, changed: list[str], code: int
) -> None:
    (tmp_path / "m.csv").write_text("id,image\n" + "a,nowhere.jpg\n" * 150)
    command = ["embed", tmp_path / "m.csv", "-o", tmp_path / "out.parquet", "--model", "demo"]
    assert prompt(*command, "--max-error-rate", "0.5").code == 1
    before = {path: path.read_bytes() for path in (tmp_path / "out.parquet.run").iterdir()}
    assert prompt(*command, "--no-resume", *changed).code == code
    assert {path: path.read_bytes() for path in (tmp_path / "out.parquet.run").iterdir()} == before


@pytest.mark.parametrize("output", ["out.parquet", "-"])
def test_a_certificate_that_cannot_be_read_is_told_before_anything_is_listed(tmp_path: Path, output: str) -> None:
    place = output if output == "-" else tmp_path / output
    done = prompt("embed", tmp_path / "nothing", "--model", "demo", "-o", place, "--ca-cert", tmp_path / "ca.pem")
    assert (done.code, "--ca-cert" in done.err, "ca.pem cannot be read" in done.err) == (2, True, True)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_refused_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("text\nhello\n")
    for inputs in (["nowhere"], [tmp_path / "m.csv"], []):
        assert prompt("embed", *inputs, "-o", tmp_path / "out.parquet", "--model", "demo").code == 2
    assert os.listdir(tmp_path) == ["m.csv"]


@pytest.mark.parametrize("change", ["later", "another"])
def test_a_run_does_not_go_on_after_a_manifest_behind_a_glob_changed(photos: Path, tmp_path: Path, change: str) -> None:
    (tmp_path / "1.txt").write_text("".join(f"{photos}/{n:05d}.jpg\n" for n in range(20)))
    job = embed(tmp_path / "out.parquet", tmp_path / "*.txt", part_rows=1)
    work = visioncli.steps(job)
    while not list(tmp_path.glob("out.parquet.run/part-*")):
        next(work)
    work.close()
    (tmp_path / ("1.txt" if change == "later" else "2.txt")).write_text(f"{photos}/00000.jpg\n")
    with pytest.raises(UsageError, match=r"other settings \(a manifest's size or time was .*--no-resume"):
        visioncli.run(job)


def test_a_closed_standard_input_is_told_where_it_is_needed(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", None)  # what Python makes of `<&-`
    assert visioncli.run(embed(tmp_path / "out.parquet", photos / "00000.jpg")).ok == 1
    with pytest.raises(UsageError, match="there is no standard input to read names from"):
        visioncli.run(embed(tmp_path / "other.parquet", Path("-")))


def test_a_comparison_without_standard_input_is_one_sentence() -> None:
    command = [sys.executable, "-m", "visioncli", "parity", "-", "--device", "cpu", "--device", "cpu:bfloat16"]
    closed = ["sh", "-c", '"$@" <&-', "sh", *command, "-m", "demo"]
    ended = subprocess.run(closed, capture_output=True, text=True)
    said = "visioncli: there is no standard input to read names from"
    assert (ended.returncode, ended.stdout, ended.stderr.startswith(said)) == (2, "", True)


def test_a_finished_output_is_not_touched_without_a_flag(photos: Path, tmp_path: Path) -> None:
    job = embed(tmp_path / "out.parquet", photos, limit=5)
    visioncli.run(job)
    before = (tmp_path / "out.parquet").read_bytes()
    with pytest.raises(UsageError, match="is there already; say --overwrite"):
        visioncli.run(job)
    assert (tmp_path / "out.parquet").read_bytes() == before


def test_stopping_while_listing_leaves_nothing_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("image\n" + "nowhere.jpg\n" * 50_000)
    stop = visioncli.Stop()
    threading.Timer(0.05, stop.request, [OutOfTimeError("enough")]).start()
    with pytest.raises(OutOfTimeError, match="enough"):
        visioncli.run(embed(tmp_path / "out.parquet", tmp_path / "m.csv"), stop)
