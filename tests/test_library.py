"""The library as somebody else's program uses it."""

from __future__ import annotations

import inspect
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import visioncli
from tests import small_pictures
from visioncli import errors


def test_every_error_that_is_raised_on_purpose_can_be_caught_by_its_name() -> None:
    found = {
        name: one for name, one in inspect.getmembers(errors, inspect.isclass) if one.__module__ == errors.__name__
    }
    assert {name: getattr(visioncli, name) for name in visioncli.__all__ if name in found} == found


def test_names_are_the_same_everywhere() -> None:
    assert (visioncli.__all__, dir(visioncli)) == (list(visioncli._NAMES), sorted(visioncli._NAMES))


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("/photos/é.jpg", "/photos/é.jpg".encode()),
        (Path("/photos/a.jpg"), b"/photos/a.jpg"),
        (b"/photos/\xff.jpg", b"/photos/\xff.jpg"),
        ("https://example.com/a b.jpg", b"https://example.com/a b.jpg"),
        (b"tar:512:9:/a.tar", b"tar:512:9:/a.tar"),
        (None, None),
    ],
)
def test_a_reference_takes_a_place_as_people_write_it(given: Any, kept: bytes | None) -> None:
    ref = visioncli.ImageRef(0, "a", given)
    assert (ref.uri, pickle.loads(pickle.dumps(ref)), replace(ref, id="b").uri) == (kept, ref, kept)


def test_a_relative_path_starts_at_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small_pictures.folder(Path("photos"), [1])
    predictor = visioncli.load("embed", "demo")
    refs = [visioncli.ImageRef(0, "a", "photos/00001.jpg"), visioncli.ImageRef(1, "b", Path("photos") / "00001.jpg")]
    first, second = visioncli.answer(refs, predictor, visioncli.EmbedOptions())
    assert isinstance(first, visioncli.Answer) and isinstance(second, visioncli.Answer)
    assert first.facts.sha256 == second.facts.sha256


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("labels", lambda given: visioncli.ClassifyOptions(given)),
        ("templates", lambda given: visioncli.ClassifyOptions(("a",), templates=given)),
        ("prompts", lambda given: visioncli.SegmentOptions(given)),
        ("prompts", lambda given: visioncli.DetectOptions(given)),
        ("exports", lambda given: visioncli.DepthOptions(given)),
        ("inputs", lambda given: visioncli.Job("embed", visioncli.EmbedOptions(), "out.parquet", given)),
        ("texts", lambda given: visioncli.Job("embed", visioncli.EmbedOptions(), "out.parquet", texts=given)),
    ],
)
def test_a_text_is_no_list_of_its_letters(name: str, make: Any) -> None:
    with pytest.raises(visioncli.UsageError) as refused:
        make("cat,dog")
    assert str(refused.value) == f"{name} is a sequence of texts, ('cat', 'dog') say, not the text 'cat,dog'"


def test_lists_and_paths_are_taken_too(tmp_path: Path) -> None:
    options: Any = visioncli.ClassifyOptions(["cat", "dog"])  # type: ignore[arg-type]
    assert hash(options) == hash(visioncli.ClassifyOptions(("cat", "dog")))
    photos, output = small_pictures.folder(tmp_path / "photos", [1]), tmp_path / "out.parquet"
    visioncli.run(visioncli.Job("classify", options, output, [photos], model="demo"))  # type: ignore[arg-type]
    assert pq.read_table(output)["id"].to_pylist() == ["00001.jpg"]
