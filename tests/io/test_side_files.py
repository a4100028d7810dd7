"""Side files: named by their row, whole or absent, swept without touching what is not ours."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PureWindowsPath

import pytest

from visioncli.errors import OutputError
from visioncli.io.side_files import SideFolder
from visioncli.samples import ImageRef

DIFFICULT = [
    ("animals/cat 1.jpg", "cat_1"),
    ("ünï 猫.png", "ünï_猫"),
    ("https://example.org/a/b.jpg?x=1&y=/..", "image"),
    ("../../etc/passwd", "passwd"),
    ("C:\\pictures\\con.jpg", "con"),
    ("nul.txt.png", "nul_txt"),
    (".hidden", "hidden"),
    ("-rf", "rf"),
    ("a\x00b\nc\u202egnp", "a_b_c_gnp"),
    ("\ud800\udfff", "image"),
    ("", "image"),
    ("हिन्दी.webp", "हिन्दी"),
    ("e\u0301.jpg", "é"),
    ("x" * 5000 + ".jpg", "x" * 60),
    ("猫" * 5000, "猫" * 20),
]


def ref(position: int, id: str = "a.jpg") -> ImageRef:
    return ImageRef(position, id, b"/pictures/a.jpg")


def folder(tmp_path: Path, salt: str = "run") -> SideFolder:
    return SideFolder(tmp_path / "out.parquet.files", tmp_path, salt)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """A larger file cannot be written: the nearest thing to a full disk that needs no rights."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize(("id", "slug"), DIFFICULT)
def test_any_id_becomes_a_readable_name_that_every_file_system_takes(tmp_path: Path, id: str, slug: str) -> None:
    path = folder(tmp_path).write(ref(3, id), None, "depth", "png", b"map")
    place, name = path.split("/")[1:]
    assert re.fullmatch(re.escape(slug) + "-[0-9a-f]{24}[.]depth[.]png", name)
    assert place == name.removeprefix(f"{slug}-")[:2]
    assert len(name.encode()) < 143  # what an encrypted home folder leaves of 255
    assert not re.match(r"(?i)(con|nul|prn|aux)$", PureWindowsPath(name).name.split(".")[0])
    assert (tmp_path / path).read_bytes() == b"map"


def test_rows_that_share_an_id_have_names_of_their_own(tmp_path: Path) -> None:
    one = folder(tmp_path)
    asked = [(ref(0), "ab", "png"), (ref(1), "ab", "png"), (ref(0), "cd", "png"), (ref(0), None, "png")]
    names = {one.name(row, sha256, "mask", ext) for row, sha256, ext in asked}
    assert len(names) == 4
    near, far = (replace(ref(0), extra={"focal": length}) for length in (24.0, 200.0))
    assert len({one.name(row, "ab", "mask", "png") for row in (ref(0), near, far)}) == 3
    assert one.name(ref(0), "ab", "mask", "png") == folder(tmp_path).name(ref(0), "ab", "mask", "png")
    assert one.name(ref(0), "ab", "mask", "png") != folder(tmp_path, "other").name(ref(0), "ab", "mask", "png")


def test_ten_thousand_names_fill_all_folders_evenly(tmp_path: Path) -> None:
    one = folder(tmp_path)
    names = [one.name(ref(n), None, "depth", "png") for n in range(10_000)]
    counts = Counter(name.parts[0] for name in names)
    assert len(set(names)) == 10_000
    assert set(counts) == {f"{hh:02x}" for hh in range(256)}
    assert max(counts.values()) < 80  # 39 expected; six standard deviations are 38


def test_a_flat_folder_has_no_folders_in_it(tmp_path: Path) -> None:
    flat = SideFolder(tmp_path / "drawn", tmp_path, "run", flat=True)
    kept, _ = (flat.write(ref(n, "b/c.jpg"), None, "overlay", "jpg", b"picture") for n in range(2))
    flat.sync()
    (tmp_path / "drawn" / "c.jpg").write_bytes(b"mine")
    assert re.fullmatch(r"drawn/c-[0-9a-f]{24}\.overlay\.jpg", kept)
    assert flat.sweep({kept}) == 1
    assert sorted(str(path.relative_to(tmp_path)) for path in (tmp_path / "drawn").iterdir()) == [kept, "drawn/c.jpg"]


def test_doing_a_row_again_overwrites_its_file(tmp_path: Path) -> None:
    first = folder(tmp_path).write(ref(0), "ab", "depth", "png", b"a longer first answer")
    again = folder(tmp_path).write(ref(0), "ab", "depth", "png", b"second")
    assert first == again
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.read_bytes() for path in files] == [b"second"]
    assert files == [tmp_path / first]


def test_a_folder_elsewhere_is_told_relative_to_the_table(tmp_path: Path) -> None:
    elsewhere = SideFolder(tmp_path / "look" / "at", tmp_path / "tables" / "x", "run")
    path = elsewhere.write(ref(0), None, "overlay", "jpg", b"picture")
    elsewhere.sync()
    assert path.startswith("../../look/at/")
    assert Path(os.path.normpath(tmp_path / "tables" / "x" / path)).read_bytes() == b"picture"


def test_a_folder_that_is_not_utf_8_is_told_in_the_way_of_sources(tmp_path: Path) -> None:
    odd = SideFolder(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.files")), tmp_path, "run")
    path = odd.write(ref(0), None, "depth", "png", b"map")
    assert path.startswith("\\xff.files/")
    assert odd.sweep({path}) == 0


def test_a_full_disk_leaves_neither_a_file_nor_a_piece_of_one(tmp_path: Path) -> None:
    one = folder(tmp_path)
    with files_of_at_most(1000), pytest.raises(OutputError, match=r"depth\.png cannot be written: File too large"):
        one.write(ref(0), None, "depth", "png", bytes(100_000))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    one.sync()


def test_a_file_where_the_folder_should_be_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "out.parquet.files").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot be written"):
        folder(tmp_path).write(ref(0), None, "depth", "png", b"map")


def test_many_threads_write_what_one_would(tmp_path: Path) -> None:
    one = folder(tmp_path)
    with ThreadPoolExecutor(8) as threads:
        written = threads.map(lambda n: one.write(ref(n % 50), None, "depth", "png", b"%d" % (n % 50)), range(200))
    paths = list(written)
    one.sync()
    assert len(set(paths)) == 50
    assert [(tmp_path / path).read_bytes() for path in paths] == [b"%d" % (n % 50) for n in range(200)]
    assert sum(path.is_file() for path in tmp_path.rglob("*")) == 50


def test_sync_makes_every_new_folder_durable_once(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from visioncli.io.side_files import SideFolder;"
        "from visioncli.samples import ImageRef; import visioncli.io.side_files as module;"
        "root = Path(sys.argv[1]); one = SideFolder(root / 'a' / 'b', root, 's');"
        "sys.addaudithook(lambda event, args: event == 'open' and args[1] is None and print(args[0]));"
        "[one.write(ImageRef(0, 'x', None), None, kind, 'png', b'') for kind in ('one', 'two')];"
        "one.sync(); one.sync()"
    )
    told = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    (written,) = (tmp_path / "a" / "b").iterdir()
    assert told.stdout.split() == [str(path) for path in (tmp_path, tmp_path / "a", tmp_path / "a" / "b", written)]


def test_a_sweep_removes_what_no_row_names_and_the_empty_folders(tmp_path: Path) -> None:
    one = folder(tmp_path)
    kept, gone = (one.write(ref(n), None, "depth", "png", b"map") for n in range(2))
    half = tmp_path / gone
    half.with_name(f".{half.name}.140012.tmp").write_bytes(b"half")
    assert one.sweep({kept}) == 2
    assert (tmp_path / kept).is_file()
    assert not half.parent.exists()
    again = one.write(ref(1), None, "depth", "png", b"map")
    assert again == gone


def test_a_sweep_leaves_everything_that_is_not_ours(tmp_path: Path) -> None:
    one = folder(tmp_path)
    ours = tmp_path / one.write(ref(0), None, "depth", "png", b"map")
    root, other = ours.parent.parent, "0f" if ours.parent.name != "0f" else "0e"
    strangers = [root / "notes.txt", ours.with_name("notes.txt"), root / other / ours.name, root / "more" / ours.name]
    strangers += [ours.with_name(f"{ours.name}.bak"), ours.with_name(f".{ours.name}")]
    for path in strangers:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"mine")
    link = ours.with_name(ours.name.replace("depth", "link"))
    link.symlink_to(root / "notes.txt")
    assert one.sweep(()) == 1
    assert all(path.read_bytes() == b"mine" for path in [*strangers, link])
    assert SideFolder(tmp_path / "never", tmp_path, "run").sweep(()) == 0
