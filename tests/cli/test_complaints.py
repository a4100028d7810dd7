"""Whatever is wrong with a command line: one sentence, and exit 2."""

from __future__ import annotations

import pytest

from tests.prompt import visioncli


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("embed --overwite", "there is no flag --overwite; did you mean --overwrite or --verbose?"),
        (
            "embed --max-pixel 3",
            "there is no flag --max-pixel; did you mean --max-pixels, --max-runtime or --max-bytes?",
        ),
        ("embed --xyzzy", "there is no flag --xyzzy; visioncli embed --help names all"),
        ("embd photos", "there is no command embd; did you mean embed?"),
        ("models lst", "there is no command lst; did you mean list?"),
        ("xyzzy", "there is no command xyzzy; visioncli --help names all"),
        ("embed --limit ten", "--limit: 'ten' is no whole number"),
        ("embed --limit 1.5", "--limit: '1.5' is no whole number"),
        ("embed --limit 0", "--limit: '0' must be at least 1"),
        ("embed --timeout soon", "--timeout: 'soon' is no number"),
        ("detect --nms 1.5", "--nms: '1.5' must be at most 1"),
        ("embed --dtype f8", "--dtype: 'f8' is none of auto, float32, bfloat16, float16"),
        ("embed --output", "option '--output' requires an argument"),
        ("embed --exact=3", "option '--exact' does not take a value"),
        ("report", "RESULTS is needed; visioncli report --help tells more"),
        ("models verify", "MODEL is needed; visioncli models verify --help tells more"),
        ("doctor now", "got unexpected extra argument(s) (now)"),
    ],
)
def test_a_wrong_command_line_is_one_sentence(typed: str, sentence: str) -> None:
    told = visioncli(*typed.split())
    assert (told.code, told.out, told.err) == (2, "", f"visioncli: {sentence}\n")


@pytest.mark.parametrize(
    ("variable", "value", "wrong"),
    [
        ("VISIONCLI_LIMIT", "ten", "'ten' is no whole number"),
        ("VISIONCLI_OVERWRITE", "maybe", "'maybe' is neither true nor false"),
        ("VISIONCLI_PROGRESS", "loud", "'loud' is none of auto, bar, plain, json, none"),
    ],
)
def test_a_wrong_value_from_the_environment_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, wrong: str
) -> None:
    monkeypatch.setenv(variable, value)
    assert visioncli("embed", "x.jpg").err == f"visioncli: {variable}: {wrong}\n"
