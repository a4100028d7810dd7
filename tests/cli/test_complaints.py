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
        ("embed --output", "--output needs a value: --output FILE|DIR/|-"),
        ("embed x.jpg -o", "-o needs a value: -o FILE|DIR/|-"),
        ("similar -k", "-k needs a value: -k N"),
        ("models pull a --revision", "--revision needs a value: --revision REVISION"),
        ("embed --exact=3", "--exact takes no value"),
        ("--version=3", "--version takes no value"),
        ("report", "RESULTS is needed; visioncli report --help tells more"),
        ("models verify", "MODEL is needed; visioncli models verify --help tells more"),
        ("doctor now", "now is more than visioncli doctor takes; visioncli doctor --help tells more"),
        ("models pull a b c", "b c is more than visioncli models pull takes; visioncli models pull --help tells more"),
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
        ("VISIONCLI_MAX_PIXELS", "lots", "'lots' is no amount; write 500k, 100M or 2G"),
        ("VISIONCLI_BATCH_SIZE", "0", "'0' is neither auto nor a positive number"),
        ("VISIONCLI_MAX_RUNTIME", "soon", "'soon' is no duration; write 90s, 30m or 1h30m"),
        ("VISIONCLI_HEADER", "A: b\nnonsense", "'nonsense' is not of the form 'Name: value'"),
    ],
)
def test_a_wrong_value_from_the_environment_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, wrong: str
) -> None:
    monkeypatch.setenv(variable, value)
    assert visioncli("embed", "x.jpg", "-o", "-").err == f"visioncli: {variable}: {wrong}\n"


@pytest.mark.parametrize(
    ("variable", "value", "wrong"),
    [
        ("VISIONCLI_DEVICE", "gpu", "unknown device 'gpu'; known: auto, cpu, cuda, cuda:<n>, mps, hailo, hailo:<n>"),
        ("VISIONCLI_STORE", "int8", "unknown store 'int8' for pooled features; known: float32, float16"),
        ("VISIONCLI_ALPHA", "greenish", "alpha is white, black, drop or #RRGGBB, not 'greenish'"),
    ],
)
def test_what_a_task_or_a_model_does_not_know_is_told_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, wrong: str
) -> None:
    monkeypatch.setenv(variable, value)
    flag = variable.replace("VISIONCLI_", "--").lower()
    assert visioncli("embed", "x.jpg", "-o", "-").err == f"visioncli: {wrong} ({flag} comes from {variable})\n"


@pytest.mark.parametrize(
    ("variable", "value"), [("VISIONCLI_RETRIES", "2"), ("VISIONCLI_TIMEOUT", "20"), ("VISIONCLI_OFFLINE", "1")]
)
def test_a_variable_is_not_blamed_for_letters_that_happen_to_be_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    typed = ["embed", "nothere/True-20.0-2024", "-o", "-", "-m", "demo"]
    alone = visioncli(*typed).err
    monkeypatch.setenv(variable, value)
    assert ("nothere/True-20.0-2024" in alone, visioncli(*typed).err) == (True, alone)
