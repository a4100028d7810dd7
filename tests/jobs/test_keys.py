"""Run keys: what differs is named, and only what matters counts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import visioncli
from tests.cli.test_helps import COMMANDS
from visioncli.errors import UsageError
from visioncli.jobs.keys import answer_key, differences, is_same_command, refuse_other_output, refuse_other_run, row_key

OPTIONS = [
    visioncli.ClassifyOptions(("a",)),
    visioncli.EmbedOptions(),
    visioncli.SegmentOptions(("a",)),
    visioncli.DetectOptions(("a",)),
    visioncli.DepthOptions(),
]
RESOLVED = {"dtype": "float32", "batch_size": 8, "recipe": "siglip/1"}


def key(mode: str = "run", *, resolved: dict[str, Any] | None = None, **answers: Any) -> dict[str, Any]:
    rows = {"inputs": ["photos"], "limit": None, "manifests": [["m.csv", 10, 1]]}
    return {"mode": mode, "answers": answers, "rows": rows, "continued": None, "resolved": resolved}


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ({"limit": 1}, {"limit": 1}, []),
        ({"limit": 1}, {"limit": 2}, ["--limit was 1, is 2"]),
        ({"resolved": {"dtype": "float32"}}, {"resolved": {"dtype": "bfloat16"}}, ["--dtype was float32, is bfloat16"]),
        ({"a": {"b": {"labels": ["cat"]}}}, {"a": {"b": {"labels": ["cat", "dog"]}}}, ["--labels was cat, is cat,dog"]),
        ({"top_k": None}, {"top_k": 3}, ["--top-k was not given, is 3"]),
        ({"exact": False}, {"exact": True}, ["--exact was off, is on"]),
        ({"normalize": True}, {"normalize": False}, ["normalisation (--no-normalize) was on, is off"]),
        ({"focal_px": 5.5, "nms": 0.5}, {}, ["--focal was 5.5, is not given", "--nms was 0.5, is not given"]),
        ({"alpha": "x" * 90}, {"alpha": "y"}, ["--alpha was " + "x" * 77 + "..., is y"]),
        ({"labels": ["x" * 90, "y"]}, {"labels": ["x" * 90, "z"]}, ["--labels was ...xxxxxxxxx,y, is ...xxxxxxxxx,z"]),
        ({"labels": ["x" * 90]}, {"labels": ["x" * 90, "z"]}, ["--labels was ...xxxxxxxxxx, is ...xxxxxxxxxx,z"]),
    ],
)
def test_differences_are_named_by_their_flags(old: Any, new: Any, found: list[str]) -> None:
    assert differences(old, new) == found


def other(value: Any) -> Any:
    """The same names with other values."""
    return {name: other(one) for name, one in value.items()} if isinstance(value, dict) else "another"


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: type(options).__name__)
def test_every_flag_that_is_named_is_one(options: Any) -> None:
    job = visioncli.Job("classify", options, "out.parquet")
    known = {"answers": answer_key(job, options, "c", "m"), "rows": row_key(job), "overlay": None, "resolved": RESOLVED}
    named = {phrase.partition(" was ")[0] for phrase in differences(known, other(known))}
    flags = {flag for command in COMMANDS.values() for parameter in command.params for flag in parameter.opts}
    assert {name for name in named if name.startswith("--")} <= flags
    assert not any("_" in name or "." in name for name in named)


def test_another_run_is_refused_with_the_difference_and_what_to_do() -> None:
    with pytest.raises(UsageError) as refused:
        refuse_other_run(key(model="a"), key(model="b"))
    difference = "(--model was a, is b)"
    assert str(refused.value) == (
        f"the unfinished run was begun with other settings {difference}; say --no-resume to begin anew"
    )


def test_what_only_the_loaded_model_knows_counts_when_both_know_it() -> None:
    refuse_other_run(key(resolved=RESOLVED), key())
    refuse_other_run(key(), key(resolved=RESOLVED))
    with pytest.raises(UsageError, match=r"--batch-size was 8, is 4"):
        refuse_other_run(key(resolved=RESOLVED), key(resolved={**RESOLVED, "batch_size": 4}))


def test_a_run_that_is_nearly_published_may_go_on() -> None:
    refuse_other_run(key() | {"finished": {"summary": {}}}, key())


def test_an_output_may_be_continued_with_another_batch_size_but_not_with_another_dtype() -> None:
    made = key(resolved=RESOLVED)
    refuse_other_output("out", made, key("update", resolved={**RESOLVED, "batch_size": 4}))
    with pytest.raises(UsageError, match=r"out was made with other settings \(--dtype was .* --overwrite"):
        refuse_other_output("out", made, key("update", resolved={**RESOLVED, "dtype": "bfloat16"}))


@pytest.mark.parametrize("way", [{"decode": {"alpha": "black"}}, {"max_bytes": 5}])
def test_how_pictures_are_read_counts_where_there_are_any(way: dict[str, Any]) -> None:
    usual: dict[str, Any] = {"decode": {"alpha": "white"}, "max_bytes": 128}
    texts, pictures = ({"parameters": {"image": image}} for image in (False, True))
    of_texts = key(resolved=RESOLVED, **usual | way, **texts), key(resolved=RESOLVED, **usual, **texts)
    refuse_other_run(*of_texts)
    refuse_other_output("out", *of_texts)
    assert is_same_command(*of_texts)
    of_pictures = key(**usual | way, **pictures), key(**usual, **pictures)
    with pytest.raises(UsageError, match="was made with other settings"):
        refuse_other_output("out", *of_pictures)
    assert not is_same_command(*of_pictures)


def test_an_update_may_have_other_rows_and_a_retry_may_not() -> None:
    other = key("update") | {"rows": {"inputs": ["more"], "limit": None, "manifests": []}}
    refuse_other_output("out", key(), other)
    with pytest.raises(UsageError, match="INPUT was photos, is more"):
        refuse_other_output("out", key(), other | {"mode": "retry-failed"})


def test_a_retry_does_not_mind_that_the_manifest_was_touched() -> None:
    touched = key("retry-failed")
    touched["rows"]["manifests"] = [["m.csv", 10, 2]]
    refuse_other_output("out", key(), touched)


def test_the_same_command_is_one_of_the_same_mode_answers_and_rows() -> None:
    assert is_same_command(key(resolved=RESOLVED, model="a"), key(model="a"))
    assert not is_same_command(key(model="a"), key("update", model="a"))
    assert not is_same_command(key(model="a"), key(model="b"))


def test_every_file_that_names_others_is_in_the_key_with_its_size_and_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("a.csv", "b.csv", "x.txt", "y.jpg", "m.tar", "d/c.csv", "a.jsonl.gz")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * number)
        os.utime(tmp_path / name, ns=(0, number))
    inputs = (
        "*.csv",
        "x.txt",
        "y.jpg",
        "m.tar",
        "d",
        "*.jpg",
        "-",
        "http://h/a.csv",
        "a.jsonl.gz",
        "nowhere.csv",
        "*.tsv",
    )
    key = row_key(visioncli.Job("embed", visioncli.EmbedOptions(), "out.parquet", inputs))
    assert key["manifests"] == [
        ["a.csv", 0, 0],
        ["b.csv", 1, 1],
        ["x.txt", 2, 2],
        ["m.tar", 4, 4],
        ["a.jsonl.gz", 6, 6],
    ]
