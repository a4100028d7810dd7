import asyncio
import gc
import hashlib
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import misbehaving
from tests.doubles import MeanColour, colour_of, picture, png, refs_of, text_ref
from visioncli import recent
from visioncli.errors import DeviceError, OutputError, SourceError
from visioncli.io.fetch import FetchOptions
from visioncli.pipeline import Save, Settings, answer, bursts
from visioncli.samples import Answer, Facts, Failure, ImageRef, Kept, Sample

SOON_S = 10.0  # a bound for what takes a moment, on a machine that is busy with other things
ONCE = FetchOptions(retries=0, timeout_s=60)


def short(outcome: Answer[Any] | Failure | Kept) -> Any:
    """The answer, the error's code, or `kept`."""
    if isinstance(outcome, Kept):
        return "kept"
    return outcome.error.code if isinstance(outcome, Failure) else outcome.result


def asked(refs: list[ImageRef], double: MeanColour, how: Settings | None = None, **more: Any) -> list[Any]:
    outcomes = list(answer(refs, double, None, how, **more))
    assert [outcome.ref for outcome in outcomes] == refs[: len(outcomes)]
    return [short(outcome) for outcome in outcomes]


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON_S
    while not is_so():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.005)


async def _late(server: misbehaving.Server, request: misbehaving.Request, writer: misbehaving.Writer) -> None:
    await asyncio.sleep(float(request.query("s")))
    misbehaving.answer(writer, 200, server.pictures[request.path.removeprefix("/late/")])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[misbehaving.Server]:
    monkeypatch.setitem(misbehaving.ROUTES, "/late/", _late)
    with misbehaving.serve({f"{number}.png": png(colour_of(number)) for number in range(200)}) as running:
        yield running


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    gc.collect()
    wait_until(lambda: set(threading.enumerate()) <= before)


# One outcome per reference, in order


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[bytes, int]]:
    """500 pictures of 400 colours in two sizes, each with its colour's number."""
    folder = tmp_path_factory.mktemp("pictures")
    numbers = [number * 7 % 400 for number in range(500)]
    return [
        (picture(folder, f"{at}.png", colour_of(number), side=3 + number % 2), number)
        for at, number in enumerate(numbers)
    ]


@pytest.mark.parametrize("workers", [1, 2, 8])
@pytest.mark.parametrize("batch_size", [1, 7, 32])
def test_each_row_has_its_own_pictures_answer(pictures: list[tuple[bytes, int]], workers: int, batch_size: int) -> None:
    double = MeanColour(batch_size)
    found = asked(refs_of([uri for uri, _ in pictures]), double, Settings(workers=workers))
    assert found == [colour_of(number) for _, number in pictures]
    assert double.seen == Counter(colour_of(number) for number in range(400))
    assert {len(batch) for batch in double.batches} == {batch_size}


def test_every_kind_of_row_has_one_outcome_in_order(tmp_path: Path, server: misbehaving.Server) -> None:
    (tmp_path / "text.png").write_bytes(b"<html>no picture</html>")
    (tmp_path / "cut.png").write_bytes(png(colour_of(1), side=64)[:-40])
    folder, missing = os.fsencode(tmp_path), SourceError("input_missing", "the cell is empty")
    kinds: list[tuple[ImageRef, Any]] = [
        (ImageRef(0, "late", server.url("/late/3.png?s=0.3")), colour_of(3)),
        (ImageRef(1, "local", picture(tmp_path, "local.png", colour_of(1))), colour_of(1)),
        (ImageRef(2, "gone", folder + b"/gone.png"), "file_not_found"),
        (ImageRef(3, "html", folder + b"/text.png"), "decode_not_an_image"),
        (ImageRef(4, "cut", folder + b"/cut.png"), "decode_truncated"),
        (ImageRef(5, "url", server.url("/ok/2.png")), colour_of(2)),
        (ImageRef(6, "404", server.url("/ok/none.png")), "http_404"),
        (text_ref(7, colour_of(9)), colour_of(9)),
        (ImageRef(8, "empty", None, error=missing), "input_missing"),
        (ImageRef(9, "twin", server.url("/ok/1.png")), colour_of(1)),
        (ImageRef(10, "folder", folder), "not_a_file"),
    ]
    refs = [ref for ref, _ in kinds]
    assert asked(refs, MeanColour(), Settings(ONCE)) == [wanted for _, wanted in kinds]


def test_facts_are_those_of_the_file(tmp_path: Path) -> None:
    (found,) = answer(refs_of([picture(tmp_path, "a.png", colour_of(5), side=6)]), MeanColour(), None)
    stat, data = (tmp_path / "a.png").stat(), (tmp_path / "a.png").read_bytes()
    wanted = Facts(hashlib.sha256(data).hexdigest(), len(data), str(stat.st_mtime_ns), (6, 6), None)
    assert isinstance(found, Answer)
    assert found.facts == wanted


@pytest.fixture
def url(server: misbehaving.Server) -> Callable[[str], bytes]:
    return lambda target: server.url(target)


KINDS = st.sampled_from(["good", "good", "same", "gone", "broken", "poison", "nan", "refused", "text", "url", "late"])


@given(st.lists(KINDS, max_size=40), st.integers(1, 4), st.integers(1, 9), st.sampled_from([1, 3, 8192]))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_sequence_of_rows_comes_out_row_for_row(
    tmp_path: Path, url: Callable[[str], bytes], kinds: list[str], workers: int, batch_size: int, ahead_rows: int
) -> None:
    (tmp_path / "broken.png").write_bytes(b"<html>no picture</html>")
    folder = os.fsencode(tmp_path)
    marks = {"poison": 1001, "nan": 1002, "refused": 1003, "same": 1004}
    codes = {"poison": "device_failed", "nan": "non_finite", "refused": "preprocess_failed"}
    codes |= {"gone": "file_not_found", "broken": "decode_not_an_image"}

    def ref(position: int, kind: str) -> ImageRef:
        uris = {"url": url(f"/ok/{position}.png"), "late": url(f"/late/{position}.png?s=0.01")}
        uris |= {"gone": folder + b"/gone.png", "broken": folder + b"/broken.png"}
        if kind == "text":
            return text_ref(position, colour_of(position))
        number = marks.get(kind, position)
        return ImageRef(position, kind, uris.get(kind) or picture(tmp_path, f"{number}.png", colour_of(number)))

    double = MeanColour(
        batch_size,
        frozenset({colour_of(marks["poison"])}),
        frozenset({colour_of(marks["nan"])}),
        {colour_of(marks["refused"]): ValueError("too thin")},
    )
    wanted = [codes.get(kind) or colour_of(marks.get(kind, at)) for at, kind in enumerate(kinds)]
    how = Settings(ONCE, workers=workers, ahead_rows=ahead_rows)
    assert asked([ref(at, kind) for at, kind in enumerate(kinds)], double, how) == wanted


def test_the_same_rows_are_answered_the_same_again(pictures: list[tuple[bytes, int]]) -> None:
    refs = refs_of([uri for uri, _ in pictures[:100]])
    first, second = (list(answer(refs, MeanColour(7), None, Settings(workers=3))) for _ in range(2))
    assert first == second


def test_no_rows_have_no_outcomes() -> None:
    assert asked([], MeanColour()) == []


# Equal pictures


def test_equal_bytes_under_any_name_are_inferred_once(tmp_path: Path) -> None:
    uris = [picture(tmp_path, f"{number}.png", colour_of(5)) for number in range(40)]
    double = MeanColour(batch_size=4)
    assert asked(refs_of(uris), double, Settings(workers=4)) == 40 * [colour_of(5)]
    assert double.batches == [4 * [colour_of(5)]]  # one row, padded


def test_a_twin_of_a_picture_on_its_way_waits_for_it_and_fails_like_it(tmp_path: Path) -> None:
    poison = colour_of(6)
    uris = [picture(tmp_path, f"{number}.png", poison) for number in range(5)]
    double = MeanColour(batch_size=2, poison=frozenset({poison}), gate=threading.Event())
    outcomes = answer(refs_of(uris), double, None, Settings(workers=2))
    threading.Timer(0.1, double.gate.set).start()  # by then all are here
    assert [short(outcome) for outcome in outcomes] == 5 * ["device_failed"]
    assert double.seen == Counter({poison: 1})


def test_twins_at_the_end_do_not_wait_for_a_batch_that_never_fills(tmp_path: Path) -> None:
    refs = refs_of([picture(tmp_path, "one.png", colour_of(5))] * 2)
    started = time.monotonic()
    assert asked(refs, MeanColour(), Settings(flush_after_s=60)) == 2 * [colour_of(5)]
    assert time.monotonic() - started < SOON_S


def test_equal_pictures_beside_other_text_are_asked_for_themselves(tmp_path: Path) -> None:
    uri = picture(tmp_path, "one.png", colour_of(5))
    refs = [ImageRef(at, str(at), uri, {"text": text}) for at, text in enumerate(["a", "b", "a", "b"])]
    double = MeanColour(batch_size=1)
    assert asked(refs, double) == 4 * [colour_of(5)]
    assert double.seen == Counter({colour_of(5): 2})


# Failures of the model and the device


def test_poison_and_overflow_fail_their_rows_and_no_other(tmp_path: Path) -> None:
    double = MeanColour(8, poison=frozenset({colour_of(3), colour_of(4)}), overflows=frozenset({colour_of(20)}))
    found = asked([text_ref(number, colour_of(number)) for number in range(30)], double)
    codes = {3: "device_failed", 4: "device_failed", 20: "non_finite"}
    assert found == [codes.get(number, colour_of(number)) for number in range(30)]


def test_a_smaller_memory_is_learned_once() -> None:
    double = MeanColour(8, memory_rows=4)
    assert asked([text_ref(at, colour_of(at)) for at in range(64)], double) == [colour_of(at) for at in range(64)]
    assert Counter(map(len, double.batches)) == {8: 1, 4: 16}


@pytest.mark.parametrize("ahead_rows", [1, 3, 8192])
def test_poison_pictures_before_the_first_answer_are_told_when_there_is_nothing_to_wait_for(ahead_rows: int) -> None:
    double = MeanColour(1, poison=frozenset(map(colour_of, (0, 1))))
    found = asked(_texts(4), double, Settings(ahead_rows=ahead_rows))
    assert found == ["device_failed", "device_failed", colour_of(2), colour_of(3)]
    assert asked(_texts(2), double, Settings(ahead_rows=ahead_rows)) == 2 * ["device_failed"]


@pytest.mark.parametrize("broken_from", [0, 3])
def test_a_broken_device_ends_the_run_after_the_answers_before_it(broken_from: int) -> None:
    found: list[Any] = []
    with pytest.raises(DeviceError, match="fails whatever it is given"):
        found.extend(map(short, answer(_texts(100), MeanColour(4, broken_from=broken_from), None, Settings(workers=1))))
    assert found == [colour_of(at) for at in range(4 * broken_from)][: len(found)]


def test_preprocessing_that_refuses_a_picture_fails_its_row(tmp_path: Path) -> None:
    uris = [picture(tmp_path, f"{number}.png", colour_of(number)) for number in range(3)]
    refused: dict[Any, Exception] = {colour_of(0): ValueError("too thin"), colour_of(2): MemoryError()}
    assert asked(refs_of(uris), MeanColour(refused=refused)) == ["preprocess_failed", colour_of(1), "out_of_memory"]


def test_a_bug_in_preprocessing_comes_out(tmp_path: Path) -> None:
    uris = [picture(tmp_path, f"{number}.png", colour_of(number)) for number in range(9)]
    with pytest.raises(KeyError, match="a bug"):
        asked(refs_of(uris), MeanColour(refused={colour_of(4): KeyError("a bug")}))


def test_an_error_of_the_source_comes_after_the_rows_before_it() -> None:
    def broken_source() -> Iterator[ImageRef]:
        yield from _texts(50)
        raise OSError("the listing ends here")

    found: list[Any] = []
    with pytest.raises(OSError, match="the listing ends here"):
        found.extend(map(short, answer(broken_source(), MeanColour(), None)))
    assert found == [colour_of(at) for at in range(50)]


def test_an_error_of_known_comes_out() -> None:
    def known(ref: ImageRef, sha256: str | None) -> bool:
        raise LookupError("no such row")

    with pytest.raises(LookupError, match="no such row"):
        asked(_texts(5), MeanColour(), known=known)


def test_a_model_whose_batches_need_nothing_in_common_is_answered() -> None:
    class Free(MeanColour):
        def batch_key(self, options: None, inputs: Any) -> Any:
            return None

    assert asked(_texts(20), Free()) == [colour_of(at) for at in range(20)]


def _texts(rows: int) -> list[ImageRef]:
    return [text_ref(number, colour_of(number)) for number in range(rows)]


# Stopping and leaving


def test_stop_ends_the_run_with_what_is_finished_and_next_in_order(server: misbehaving.Server) -> None:
    stop, hangs = threading.Event(), ImageRef(20, "hangs", server.url("/late/1.png?s=60"))
    refs = [*_texts(20), hangs, *_texts(20)]
    found: list[Any] = []
    for outcome in answer(refs, MeanColour(4), None, Settings(ONCE, flush_after_s=0.1), stop=stop):
        found.append(short(outcome))
        if len(found) == 20:
            threading.Timer(0.1, stop.set).start()
            started = time.monotonic()
    assert found == [colour_of(at) for at in range(20)]
    assert time.monotonic() - started < SOON_S


def test_what_was_finished_before_stop_is_not_lost() -> None:
    class Counting(MeanColour):
        answered = 0

        def postprocess(self, outputs: Any, samples: Any, options: None) -> Any:
            self.answered += len(outputs)
            return super().postprocess(outputs, samples, options)

    stop, double = threading.Event(), Counting(4)
    outcomes = bursts(_texts(40), double, None, stop=stop)
    found = next(outcomes)
    wait_until(lambda: double.answered == 40)
    time.sleep(0.2)  # the last batch's way to the outcomes
    stop.set()
    found += [outcome for burst in outcomes for outcome in burst]
    assert [short(outcome) for outcome in found] == [colour_of(at) for at in range(40)]


def test_a_run_that_is_stopped_before_it_begins_has_no_rows() -> None:
    stop = threading.Event()
    stop.set()
    assert asked(_texts(3), MeanColour(), stop=stop) == []


@pytest.mark.parametrize("taken", [1, 5])
def test_a_caller_that_leaves_early_leaves_no_thread(server: misbehaving.Server, taken: int) -> None:
    hanging = (ImageRef(at, "hangs", server.url("/late/1.png?s=60")) for at in count(5))
    outcomes = answer((ref for part in (_texts(5), hanging) for ref in part), MeanColour(2), None, Settings(ONCE))
    assert [short(next(outcomes)) for _ in range(taken)] == [colour_of(at) for at in range(taken)]
    started = time.monotonic()
    outcomes.close()  # type: ignore[attr-defined]
    assert time.monotonic() - started < SOON_S
    assert not [t.name for t in threading.enumerate() if t.name.startswith("visioncli") or t.name == "fetch"]


def test_a_caller_that_leaves_while_urls_are_submitted_leaves_nothing_behind(server: misbehaving.Server) -> None:
    for taken in range(8):
        outcomes = answer(refs_of([server.url(f"/ok/{at}.png") for at in range(200)]), MeanColour(1), None)
        list(islice(outcomes, taken))
        outcomes.close()  # type: ignore[attr-defined]


def test_leaving_does_not_wait_for_a_source_that_says_nothing_more() -> None:
    said = threading.Event()

    def silent() -> Iterator[ImageRef]:
        yield from _texts(3)
        said.wait(60)

    outcomes = answer(silent(), MeanColour(), None, Settings(flush_after_s=0.1))
    assert short(next(outcomes)) == colour_of(0)
    started = time.monotonic()
    outcomes.close()  # type: ignore[attr-defined]
    assert time.monotonic() - started < SOON_S
    said.set()


# Bounds


def test_a_lone_row_is_answered_while_the_source_is_still_open() -> None:
    go_on = threading.Event()

    def pipe() -> Iterator[ImageRef]:
        yield from _texts(1)
        go_on.wait(60)
        yield from _texts(2)[1:]

    outcomes = answer(pipe(), MeanColour(), None, Settings(flush_after_s=0.1))
    started = time.monotonic()
    assert short(next(outcomes)) == colour_of(0)
    assert time.monotonic() - started < SOON_S
    go_on.set()
    assert [short(outcome) for outcome in outcomes] == [colour_of(1)]


def test_a_lone_row_is_answered_at_once_when_the_source_has_ended() -> None:
    started = time.monotonic()
    assert asked(_texts(1), MeanColour(), Settings(flush_after_s=60)) == [colour_of(0)]
    assert time.monotonic() - started < SOON_S


def test_a_caller_that_takes_nothing_more_stops_the_feeder() -> None:
    taken: list[int] = []

    def endless() -> Iterator[ImageRef]:
        for at in count():
            taken.append(at)
            yield text_ref(at, colour_of(at))

    outcomes = bursts(endless(), MeanColour(4), None, Settings(workers=2, ahead_rows=30))
    first = next(outcomes)
    wait_until(lambda: len(taken) > 30 + len(first))
    time.sleep(0.1)
    assert len(taken) == 30 + len(first) + 1  # and the row at the door
    outcomes.close()  # type: ignore[attr-defined]


def test_prepared_inputs_are_bounded_in_bytes(tmp_path: Path) -> None:
    uris = [picture(tmp_path, f"{at}.png", colour_of(at), side=100) for at in range(30)]  # 30,000 bytes each, decoded
    double, taken = MeanColour(4, gate=threading.Event()), list[int]()
    refs = (taken.append(ref.position) or ref for ref in refs_of(uris))  # type: ignore[func-returns-value]
    outcomes = answer(refs, double, None, Settings(workers=2, ahead_bytes=5 * 30_000))
    assert _at_rest(lambda: len(taken), double.gate, outcomes) <= 5 + 2 + 1  # one per worker, one at the door
    assert [short(outcome) for outcome in outcomes] == [colour_of(at) for at in range(1, 30)]


def test_bodies_from_the_network_are_bounded_in_bytes(server: misbehaving.Server) -> None:
    class Blocked(MeanColour):
        def preprocess(self, sample: Any, options: None) -> Any:
            assert self.gate is not None
            self.gate.wait(20)
            return super().preprocess(sample, options)

    for at in range(40):
        server.pictures[f"{at}.png"] = png(colour_of(at)) + bytes(200_000)  # behind the picture's end
    double, refs = Blocked(4, gate=threading.Event()), refs_of([server.url(f"/ok/{at}.png") for at in range(40)])
    how = Settings(FetchOptions(per_host=40), workers=1, ahead_bytes=2_000_000)
    outcomes = answer(refs, double, None, how)
    assert _at_rest(lambda: len(server.requests), double.gate, outcomes) <= 10 + 1 + 1
    assert [short(outcome) for outcome in outcomes] == [colour_of(at) for at in range(1, 40)]


def _at_rest(figure: Callable[[], int], gate: threading.Event | None, outcomes: Iterator[Any]) -> int:
    """Return the figure after half a second behind the closed gate; then open it and take the first outcome."""
    assert gate is not None
    found: list[int] = []
    timer = threading.Timer(0.5, lambda: (found.append(figure()), gate.set()))
    timer.start()
    assert short(next(outcomes)) == colour_of(0)
    timer.join()
    return found[0]


def test_an_endless_source_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "_KEEP", 100)
    refs = (text_ref(at, colour_of(at)) for at in count())
    outcomes = answer(refs, MeanColour(8), None, Settings(workers=2, ahead_rows=200))
    assert sum(1 for _ in islice(outcomes, 3_000)) == 3_000
    assert sum(type(each) is ImageRef for each in gc.get_objects()) < 200 + 100 + 100
    outcomes.close()  # type: ignore[attr-defined]


def test_a_slow_url_holds_back_no_computing(server: misbehaving.Server) -> None:
    slow = ImageRef(0, "slow", server.url("/late/0.png?s=1"))
    double = MeanColour(4)
    outcomes = bursts([slow, *_texts(101)[1:]], double, None, Settings(ONCE, workers=2))
    burst = next(outcomes)
    assert [short(outcome) for outcome in burst] == [colour_of(at) for at in range(len(burst))]
    assert len(burst) >= 90
    assert sum(map(len, outcomes)) == 101 - len(burst)


def test_many_hanging_urls_hold_back_no_local_row(tmp_path: Path, server: misbehaving.Server) -> None:
    hanging = [ImageRef(at, "slow", server.url(f"/late/{at}.png?s=0.5")) for at in range(60)]
    double = MeanColour(1)
    outcomes = answer([*hanging, *_texts(200)[60:]], double, None, Settings(FetchOptions(per_host=60), workers=1))
    first = short(next(outcomes))
    assert first == colour_of(0)
    assert len(double.batches) >= 100
    assert [short(outcome) for outcome in outcomes] == [colour_of(at) for at in range(1, 200)]


# Results that are saved on their way out


def test_each_result_is_saved_with_the_pixels_of_its_own_picture(pictures: list[tuple[bytes, int]]) -> None:
    def saved(sample: Sample, result: Any) -> Any:
        assert sample.image is not None
        return result, sample.ref.position, tuple(sample.image[0, 0].tolist())

    found = asked(refs_of([uri for uri, _ in pictures]), MeanColour(), save=Save(saved, needs_pixels=True))
    assert found == [(colour_of(number), at, colour_of(number)) for at, (_, number) in enumerate(pictures)]


def test_equal_pictures_are_saved_each_for_itself_and_without_pixels_unless_asked(tmp_path: Path) -> None:
    uri = picture(tmp_path, "same.png", colour_of(5))

    def saved(sample: Sample, result: Any) -> Any:
        return sample.ref.position, sample.image is None

    assert asked(refs_of([uri] * 3), MeanColour(), save=Save(saved)) == [(0, True), (1, True), (2, True)]


def test_a_row_whose_result_takes_too_much_memory_fails_alone() -> None:
    def saved(sample: Sample, result: Any) -> Any:
        if sample.ref.position == 3:
            raise MemoryError
        return result

    refs = [text_ref(number, colour_of(number)) for number in range(8)]
    expected = [colour_of(number) for number in range(8)]
    assert asked(refs, MeanColour(8), save=Save(saved)) == [*expected[:3], "out_of_memory", *expected[4:]]


def test_results_that_are_saved_are_made_one_at_a_time_within_so_many_bytes(tmp_path: Path) -> None:
    under_way, most, lock = list[int](), list[int](), threading.Lock()

    class Watched(MeanColour):
        def postprocess(self, outputs: Any, samples: Any, options: None) -> list[Any]:
            assert len(outputs) == 1
            with lock:
                under_way.append(1)
                most.append(len(under_way))
            return super().postprocess(outputs, samples, options)

    def save(sample: Sample, result: Any) -> Any:
        time.sleep(0.001)
        with lock:
            under_way.pop()
        return result

    refs = refs_of([picture(tmp_path, f"{n}.png", colour_of(n), side=10) for n in range(24)])
    for saving_bytes, allowed in ((1, 1), (2 * 26 * 10 * 10, 2)):
        most.clear()
        how = Settings(workers=6, saving_bytes=saving_bytes)
        assert asked(refs, Watched(8), how, save=Save(save)) == [colour_of(n) for n in range(24)]
        assert max(most) <= allowed
        assert len(most) == 24


def test_a_file_that_cannot_be_written_ends_the_run() -> None:
    def saved(sample: Sample, result: Any) -> Any:
        raise OutputError("the disk is full")

    with pytest.raises(OutputError, match="the disk is full"):
        asked([text_ref(0, colour_of(0))], MeanColour(), save=Save(saved))


def test_finished_results_that_wait_are_bounded_in_bytes(server: misbehaving.Server) -> None:
    megabyte = np.zeros(2**20, np.uint8)
    refs = refs_of([server.url("/late/3.png?s=1")]) + [text_ref(1 + n, colour_of(n)) for n in range(100)]
    saved, how = list[int](), Settings(ahead_bytes=10 * 2**20, workers=1)

    def save(sample: Sample, result: Any) -> Any:
        saved.append(sample.ref.position)
        return megabyte

    assert len(list(answer(refs, MeanColour(1), None, how, save=Save(save)))) == 101
    assert saved.index(0) < 10 + 8 + 1  # ten wait for the first row, and what was on its way when they were ten


# Earlier answers


def test_a_row_that_is_known_before_reading_is_kept_unread(tmp_path: Path) -> None:
    refs = refs_of([os.fsencode(tmp_path / "gone.png"), picture(tmp_path, "new.png", colour_of(1))])
    found = list(answer(refs, MeanColour(), None, known=lambda ref, sha256: ref.position == 0))
    assert found[0] == Kept(refs[0], None)
    assert short(found[1]) == colour_of(1)


def test_a_row_that_is_known_by_its_bytes_is_kept_and_not_decoded(tmp_path: Path) -> None:
    (tmp_path / "old.png").write_bytes(b"never decoded")
    refs, asked_for = refs_of([os.fsencode(tmp_path / "old.png")]), []

    def known(ref: ImageRef, sha256: str | None) -> bool:
        asked_for.append(sha256)
        return sha256 is not None

    version = str((tmp_path / "old.png").stat().st_mtime_ns)
    sha256 = hashlib.sha256(b"never decoded").hexdigest()
    assert list(answer(refs, MeanColour(), None, known=known)) == [Kept(refs[0], Facts(sha256, 13, version))]
    assert asked_for == [None, sha256]


def test_a_url_whose_version_was_seen_is_kept_without_its_bytes(server: misbehaving.Server) -> None:
    ref = ImageRef(0, "tagged", server.url("/etag"), seen=misbehaving.ETAG)
    assert list(answer([ref], MeanColour(), None)) == [Kept(ref, None)]
