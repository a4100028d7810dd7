"""classify and embed as a person, a cron job and a pipe see them: real processes, the bundled model."""

import json
import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "sample_data" / "images" / "animals"
DIFFICULT = ROOT / "sample_data" / "difficult"


def visioncli(*arguments: object, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "visioncli", *map(str, arguments)]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("VISIONCLI_")}
    return subprocess.run(command, input=stdin, capture_output=True, env={**clean, **environment}, check=False)


def test_a_folder_becomes_a_table_of_labels(tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    done = visioncli("classify", IMAGES, "--labels", "cat,dog", "--model", "demo", "-o", out)
    assert (done.returncode, done.stdout) == (0, b"")
    table = pq.read_table(out)
    assert table["id"].to_pylist() == sorted(path.name for path in IMAGES.iterdir())
    assert set(table["label"].to_pylist()) <= {"cat", "dog"}
    assert all(abs(sum(scores) - 1) < 1e-5 for scores in table["scores"].to_pylist())


def test_find_pipes_into_embed_and_embed_into_jq(tmp_path: Path) -> None:
    names = b"\n".join(os.fsencode(path) for path in sorted(IMAGES.iterdir())) + b"\n"
    done = visioncli("embed", "-", "--model", "demo", "-o", "-", "--quiet", stdin=names)
    assert (done.returncode, done.stderr) == (0, b"")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["id"] for row in rows] == [str(path) for path in sorted(IMAGES.iterdir())]
    assert all(abs(sum(x * x for x in row["embedding"]) - 1) < 1e-4 for row in rows)


def test_without_a_terminal_nothing_returns_the_carriage(tmp_path: Path) -> None:
    done = visioncli("embed", IMAGES, "--model", "demo", "-o", tmp_path / "out.parquet", "--progress", "plain")
    assert b"\r" not in done.stderr
    assert done.stdout == b""


def test_on_a_terminal_there_is_a_bar(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 80))
    command = [
        sys.executable,
        "-m",
        "visioncli",
        "embed",
        str(IMAGES),
        "--model",
        "demo",
        "-o",
        str(tmp_path / "o.jsonl"),
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=slave, check=False)
    os.close(slave)
    shown = b""
    while chunk := _read(master):
        shown += chunk
    assert done.returncode == 0
    assert shown.startswith(b"\rlisting inputs and loading demo ...\r")
    assert b"rows" in shown


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # the other end is closed
        return b""


def test_failed_rows_make_exit_3_and_are_counted(tmp_path: Path) -> None:
    out, summary = tmp_path / "out.jsonl", tmp_path / "summary.json"
    done = visioncli("embed", DIFFICULT, "--model", "demo", "-o", out, "--summary", summary)
    assert done.returncode == 3
    found = json.loads(summary.read_text())
    assert found["rows"] == len(list(DIFFICULT.iterdir())) == len(out.read_text().splitlines())
    assert found["failed"] == {
        "decode_too_many_pixels": 1,
        "empty_file": 1,
        "decode_unsupported_mode": 1,
        "decode_not_an_image": 1,
        "decode_truncated": 1,
    }
    assert found["new_failures"] == 5
    assert abs(sum(found["held_back"].values()) - 1) < 0.01


def test_a_value_from_the_environment_that_changes_answers_is_announced(tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    done = visioncli(
        "classify", IMAGES, "--model", "demo", "-o", out, VISIONCLI_LABELS="cat,dog", VISIONCLI_WORKERS="1"
    )
    assert done.returncode == 0
    assert b"--labels=cat,dog comes from VISIONCLI_LABELS" in done.stderr
    assert b"WORKERS" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["classify", IMAGES, "-o", "x.parquet"], "--labels is needed"),
        (["classify", IMAGES, "--labels", "cat,cat", "-o", "x.parquet"], "the labels repeat: cat"),
        (["classify", IMAGES, "--labels", "@nowhere", "-o", "x.parquet"], "--labels: nowhere cannot be read"),
        (["embed", IMAGES], "-o is needed"),
        (["embed", IMAGES, "-o", "x.png"], "must end in .parquet, .jsonl"),
        (["embed", "-o", "x.parquet"], "give at least one INPUT"),
        (["embed", IMAGES, "nowhere.jpg", "-o", "x.parquet"], "'nowhere.jpg' matches nothing"),
        (["embed", IMAGES, "-o", "x.parquet", "--text", "a"], "--text takes the place of INPUT"),
        (["embed", IMAGES, "-o", "x.parquet", "--overwrite", "--update"], "exclude each other"),
        (["embed", IMAGES, "-o", "x.parquet", "--alpha", "greenish"], "alpha"),
        (["embed", IMAGES, "-o", "x.parquet", "--store", "int8"], "unknown store 'int8'"),
        (["embed", IMAGES, "-o", "x.parquet", "--device", "gpu"], "unknown device 'gpu'"),
        (["embed", IMAGES, "-o", "-", "--update"], "--update needs an output file"),
    ],
)
def test_a_wrong_command_is_one_sentence_and_exit_2(arguments: list[object], sentence: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "visioncli", *map(str, arguments), "--model", "demo"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_flag_is_exit_2_and_names_the_near_one() -> None:
    done = visioncli("classify", "--labls", "x")
    assert done.returncode == 2
    assert b"--labels" in done.stderr


def test_texts_become_vectors_in_the_images_space(tmp_path: Path) -> None:
    done = visioncli("embed", "--text", "a cat", "--text", "a dog", "--model", "demo", "-o", tmp_path / "t.parquet")
    assert done.returncode == 0
    table = pq.read_table(tmp_path / "t.parquet")
    assert table["id"].to_pylist() == ["a cat", "a dog"] == table["text"].to_pylist()
    assert table["source"].null_count == 2
    visioncli("embed", IMAGES, "--model", "demo", "-o", tmp_path / "i.parquet")
    spaces = [
        json.loads(pq.read_schema(path).metadata[b"visioncli"])["embedding_space"]
        for path in tmp_path.glob("?.parquet")
    ]
    assert spaces[0] == spaces[1]


def test_a_dry_run_does_nothing(tmp_path: Path) -> None:
    done = visioncli("embed", IMAGES, "--model", "demo", "-o", tmp_path / "out.parquet", "--dry-run")
    assert done.returncode == 0
    assert f"{len(list(IMAGES.iterdir()))} rows to embed".encode() in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_verbose_tells_each_choice_with_its_reason(tmp_path: Path) -> None:
    done = visioncli("embed", IMAGES, "--model", "demo", "-o", tmp_path / "out.parquet", "--verbose", "--device", "cpu")
    assert b"device: cpu (asked for)" in done.stderr
    assert b"dtype: " in done.stderr


def test_a_missing_model_offline_is_one_sentence_before_any_image_is_read(tmp_path: Path) -> None:
    done = visioncli("embed", IMAGES, "-o", tmp_path / "out.parquet", "--offline", HF_HOME=str(tmp_path / "hf"))
    assert done.returncode == 1
    assert b"visioncli models pull google/siglip2-base-patch16-224" in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert not (tmp_path / "out.parquet.run").exists()


def test_an_unreachable_hub_is_exit_75(tmp_path: Path) -> None:
    environment = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0"}
    done = visioncli("embed", IMAGES, "-o", tmp_path / "out.parquet", **environment)
    assert done.returncode == 75
    assert done.stderr.count(b"\n") == 1


def test_verbose_tells_of_the_model_a_line_each() -> None:
    done = visioncli("embed", IMAGES, "--limit", "1", "-m", "demo", "-o", "-", "-v", "--dtype", "float32")
    told = [line.removeprefix("visioncli: ") for line in done.stderr.decode().splitlines()]
    assert [line.partition(" ")[0] for line in told[:5]] == ["model:", "recipe:", "device:", "dtype:", "batch"]
    assert told[0].startswith("model: demo at files:")
    assert not any("(" in line and "=" in line for line in told)  # as a repr would
