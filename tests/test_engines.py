from collections.abc import Iterator

from visioncli.engines import ENGINES, local
from visioncli.tables import look_up


def test_every_engine_of_the_table_is_there() -> None:
    assert [look_up(ENGINES, name, "engine") for name in ENGINES] == [local]


def test_local_makes_one_worker_and_passes_on_what_it_reports_shard_by_shard() -> None:
    made = []

    def make_worker() -> object:
        made.append("worker")
        return lambda shard: iter((shard, report) for report in "ab")

    assert list(local(make_worker, [1, 2])) == [(1, "a"), (1, "b"), (2, "a"), (2, "b")]
    assert made == ["worker"]


def test_the_next_shard_is_taken_only_when_the_one_before_it_is_done() -> None:
    events = []

    def shards() -> Iterator[int]:
        for shard in (1, 2):
            events.append(f"take {shard}")
            yield shard

    def work(shard: int) -> Iterator[int]:
        yield shard
        events.append(f"done {shard}")

    assert list(local(lambda: work, shards())) == [1, 2]
    assert events == ["take 1", "done 1", "take 2", "done 2"]
