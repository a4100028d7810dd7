"""Folders, globs, files, URLs, tars, lists and standard input, on a real tree with awkward names."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from visioncli.errors import UsageError
from visioncli.io import walk
from visioncli.io.listing import ListingOptions, survey
from visioncli.io.tars import tar_members

LONG = b"n" * 251 + b".jpg"  # 255 bytes: the longest name that ext4 takes
IMAGES = [  # in the promised order: depth first, each directory sorted by name bytes
    b"A.JPG",
    b"a b.png",
    b"a.jpg/inner.webp",  # a folder named like an image
    b"a/1.jpg",
    b"a/2.JPEG",
    b"a/deep/er/1.jpg",
    b"a:colon.tiff",
    b"b.jpg",
    b"b/1.jpg",
    LONG,
    b"z\xff\xfe.gif",
    "\u00e9.heic".encode(),
]
OTHERS = [b".hidden.jpg", b".folder/x.jpg", b"a/.DS_Store", b"notes.txt", b"a/b.csv", b"jpg", b"x.jpg.bak"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for name in IMAGES + OTHERS:
        path = os.path.join(os.fsencode(root), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(b"x")
    return root


def rows(*inputs: str | bytes, stdin: bytes | None = None, **options: object) -> list[dict[str, object]]:
    found = survey(inputs, ListingOptions(**options), None if stdin is None else io.BytesIO(stdin))  # type: ignore[arg-type]
    return [row for batch in found.batches() for row in batch.to_pylist()]


def column(name: str, *inputs: str | bytes, **options: object) -> list[object]:
    return [row[name] for row in rows(*inputs, **options)]


def test_a_folder_is_walked_depth_first_in_the_order_of_name_bytes(tree: Path) -> None:
    assert column("uri", str(tree)) == [os.path.join(os.fsencode(tree), name) for name in sorted_depth_first()]


def sorted_depth_first() -> list[bytes]:
    return sorted(IMAGES, key=lambda name: name.split(b"/"))


def test_ids_in_a_folder_are_relative_and_show_odd_bytes(tree: Path) -> None:
    ids = column("id", str(tree) + "/")
    assert ids == [name.decode("utf-8", "backslashreplace") for name in sorted_depth_first()]
    assert "z\\xff\\xfe.gif" in ids


def test_the_source_of_a_file_is_its_absolute_path(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree / "a")
    assert rows("../b", "./1.jpg") == [
        {"id": "../b/1.jpg", "uri": os.fsencode(tree / "b/1.jpg"), "source": str(tree / "b/1.jpg"), "missing": None},
        {"id": "./1.jpg", "uri": os.fsencode(tree / "a/1.jpg"), "source": str(tree / "a/1.jpg"), "missing": None},
    ]


def test_several_inputs_show_in_the_ids_of_their_files(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    assert column("id", "a", "b/") == ["a/1.jpg", "a/2.JPEG", "a/deep/er/1.jpg", "b/1.jpg"]


def test_dot_files_are_skipped_and_counted_when_the_walk_is_over(tree: Path) -> None:
    listing = survey([str(tree)], ListingOptions())
    assert listing.notes == ()
    list(listing.batches())
    assert listing.notes == (f"{tree}: 3 dot-files or dot-folders skipped",)


OWN = [  # what runs write beside their tables, and drawings in any folder
    "a-0123456789abcdef01234567.overlay.jpg",
    "boxes.jsonl.run/x.jpg",
    "depth.parquet.files/ab/a-0123456789abcdef01234567.depth.png",
    "sub/drawn/a-0123456789abcdef01234567.overlay.jpg",
    "sub/lines.ndjson.files/mask.png",
    "sub/parts.files/cd/b.preview.png",
    "sub/parts.run/x.jpg",
]
LIKE_OWN = ["a-0123.overlay.jpg", "notes.files/1.jpg", "overlay.jpg", "parts.files/1.jpg", "sub/parquet.run/1.jpg"]


@pytest.fixture
def beside_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [*OWN, *LIKE_OWN, "sub/parts/_run.json"]:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "in"


@pytest.mark.parametrize("given", ["in", "in/**/*.[jp][pn]g"])
def test_what_runs_wrote_beside_their_tables_is_skipped_and_counted(beside_outputs: Path, given: str) -> None:
    listing = survey([given], ListingOptions())
    found = [os.fsdecode(uri) for batch in listing.batches() for uri in batch["uri"].to_pylist()]
    assert found == [str(beside_outputs / name) for name in LIKE_OWN]
    assert listing.notes == (f"{given}: 7 drawings, or folders beside an output, of visioncli's own skipped",)


def test_where_nothing_else_is_that_is_said(beside_outputs: Path) -> None:
    said = "there: 1 drawing, or folder beside an output, of visioncli's own skipped"
    for given, reason in [("in/sub/drawn", said), ("in/sub/drawn/*.jpg", f"no image has such a path; {said}")]:
        with pytest.raises(UsageError) as refusal:
            survey([given], ListingOptions())
        assert str(refusal.value) == f"{given} matches nothing: {reason}"


def test_side_files_that_are_asked_for_by_name_are_input(beside_outputs: Path) -> None:
    for given in ("in/depth.parquet.files", "in/depth.parquet.files/*/*.png", f"in/{OWN[0]}"):
        assert len(rows(given)) == 1


def test_links_to_files_are_followed_and_links_to_folders_are_not(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/1.jpg").touch()
    (tmp_path / "in").mkdir()
    (tmp_path / "in/file.jpg").symlink_to(tmp_path / "elsewhere/1.jpg")
    (tmp_path / "in/folder.jpg").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in/gone.jpg").symlink_to(tmp_path / "nowhere")
    (tmp_path / "in/itself.jpg").symlink_to(tmp_path / "in/itself.jpg")
    (tmp_path / "in/loop").symlink_to(tmp_path / "in")
    listing = survey([str(tmp_path / "in")], ListingOptions())
    assert [id_ for batch in listing.batches() for id_ in batch["id"].to_pylist()] == [
        "file.jpg",
        "gone.jpg",
        "itself.jpg",
    ]
    assert listing.notes == (f"{tmp_path}/in: 2 links to folders not followed",)


def test_a_link_given_as_input_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/1.jpg").touch()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert column("uri", str(tmp_path / "link")) == [os.fsencode(tmp_path / "link/1.jpg")]


def test_a_large_folder_keeps_its_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "_SORT_ROWS", 3)
    names = ["a", "a-b.jpg", "a.jpg", "b.jpg", "c.png", "d.gif", "e.jpg"]
    (tmp_path / "a").mkdir()
    for name in ["a/x.jpg", *names[1:]]:
        (tmp_path / name).touch()
    assert column("id", str(tmp_path)) == ["a/x.jpg", *names[1:]]


def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    skipped = walk.Skipped()
    assert list(walk.walk(os.fsencode(tmp_path / "gone"), skipped)) == []
    reason = f"'{tmp_path}/gone' (No such file or directory)"
    assert (list(skipped.sentences("x")), list(skipped.warnings("x"))) == (
        [],
        [f"x: a folder could not be read and was skipped: {reason}"],
    )


def test_very_deep_folders_are_walked(tmp_path: Path) -> None:
    deep = tmp_path  # deeper than Python's recursion and a shell's usual number of open files
    for _ in range(1200):
        deep = deep / "d"
        deep.mkdir()
    (deep / "x.jpg").touch()
    assert column("id", str(tmp_path)) == ["d/" * 1200 + "x.jpg"]
    (deep / "x.jpg").unlink()
    os.removedirs(deep)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("a/*", [b"a/1.jpg", b"a/2.JPEG"]),
        ("a/*.jpg", [b"a/1.jpg"]),
        ("?/1.jpg", [b"a/1.jpg", b"b/1.jpg"]),
        ("[!a]/1.*", [b"b/1.jpg"]),
        ("**/1.jpg", [b"a/1.jpg", b"a/deep/er/1.jpg", b"b/1.jpg"]),
        ("a/**", [b"a/1.jpg", b"a/2.JPEG", b"a/deep/er/1.jpg"]),
        ("a/**/er/*.jpg", [b"a/deep/er/1.jpg"]),
        ("[ab].jpg", [b"b.jpg"]),
        ("*.gif", [b"z\xff\xfe.gif"]),
    ],
)
def test_a_glob_finds_images_in_order(
    tree: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, found: list[bytes]
) -> None:
    monkeypatch.chdir(tree)
    assert rows(pattern) == [
        {
            "id": name.decode("utf-8", "backslashreplace"),
            "uri": os.path.join(os.fsencode(tree), name),
            "source": os.path.join(os.fsencode(tree), name).decode("utf-8", "backslashreplace"),
            "missing": None,
        }
        for name in found
    ]


def test_a_name_with_glob_characters_that_exists_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "a[1].jpg").touch()
    (tmp_path / "a1.jpg").touch()
    assert column("uri", str(tmp_path / "a[1].jpg")) == [os.fsencode(tmp_path / "a[1].jpg")]


def test_a_glob_of_lists_reads_each_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "1.txt").write_text("one.jpg\n")
    (tmp_path / "2.txt").write_text("two.jpg\n")
    assert column("id", "*.txt") == ["one.jpg", "two.jpg"]


def test_a_file_without_a_known_suffix_counts_as_an_image(tmp_path: Path) -> None:
    (tmp_path / "picture").touch()
    assert column("uri", os.fsencode(tmp_path / "picture")) == [os.fsencode(tmp_path / "picture")]


def test_a_url_is_its_own_id_and_source() -> None:
    url = "HTTPS://example.org/a%20b.jpg?x=1"
    assert rows(url) == [{"id": url, "uri": url.encode(), "source": url, "missing": None}]


def make_tar(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def test_a_tars_images_are_found_at_their_offsets_as_stored(tmp_path: Path) -> None:
    path = tmp_path / "shard.tar"
    make_tar(path, {"b/2.jpg": b"second", "./a.PNG": b"first", "a.json": b"{}", "._a.png": b"no", "d/.h/x.jpg": b"no"})
    listing = survey([str(path)], ListingOptions())
    found = [row for batch in listing.batches() for row in batch.to_pylist()]
    assert [row["id"] for row in found] == ["b/2.jpg", "a.PNG"]
    assert [row["source"] for row in found] == [f"{path}!b/2.jpg", f"{path}!a.PNG"]
    contents = []
    for row in found:
        _, offset, size, where = row["uri"].split(b":", 3)
        contents.append(Path(os.fsdecode(where)).read_bytes()[int(offset) :][: int(size)])
    assert contents == [b"second", b"first"]
    assert listing.notes == (f"{path}: 2 dot-files or dot-folders skipped",)


@pytest.fixture
def twelve(tmp_path: Path) -> bytes:
    """A tar of 12 members of 700 bytes: 512 of header and 1,024 of data each, then its end."""
    make_tar(tmp_path / "whole.tar", {f"{n:02}.jpg": bytes([n]) * 700 for n in range(12)})
    assert len(column("id", str(tmp_path / "whole.tar"))) == 12
    return (tmp_path / "whole.tar").read_bytes()


@pytest.mark.parametrize(
    ("damage", "where"),
    [
        (lambda tar: tar[: 7 * 1536], "cut off at byte 10752"),
        (lambda tar: tar[: 7 * 1536 + 300], "cut off at byte 10752"),
        (lambda tar: tar[: 7 * 1536 + 812], "unexpected end of data"),
        (lambda tar: tar[: 12 * 1536], "cut off at byte 18432"),
        (lambda tar: tar[: 5 * 1536 + 150] + b"\xff" + tar[5 * 1536 + 151 :], "damaged or cut off at byte 7680"),
    ],
    ids=["between two members", "in a header", "in data", "before its end", "a damaged header"],
)
def test_a_tar_that_is_damaged_or_cut_off_loses_no_rows_in_silence(
    tmp_path: Path, twelve: bytes, damage: Callable[[bytes], bytes], where: str
) -> None:
    (tmp_path / "x.tar").write_bytes(damage(twelve))
    with pytest.raises(UsageError, match=rf"x\.tar cannot be read as an uncompressed tar: .*{where}"):
        rows(str(tmp_path / "x.tar"))


def test_a_link_in_a_tar_stands_for_its_file(tmp_path: Path) -> None:
    path = tmp_path / "links.tar"
    links = [
        (tarfile.SYMTYPE, "before.jpg", "./d/real.jpg"),
        (tarfile.LNKTYPE, "e/hard.jpg", "./d/real.jpg"),
        (tarfile.SYMTYPE, "e/soft.jpg", "../d/real.jpg"),
        (tarfile.SYMTYPE, "e/nowhere.jpg", "gone.jpg"),
        (tarfile.DIRTYPE, "folder.jpg", ""),
        (tarfile.LNKTYPE, "e/notes.txt", "d/real.jpg"),
    ]
    with tarfile.open(path, "w") as tar:
        for kind, name, target in (links[0], (tarfile.REGTYPE, "./d/real.jpg", ""), *links[1:]):
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size = kind, target, 4 if kind == tarfile.REGTYPE else 0
            tar.addfile(member, io.BytesIO(b"real"))
    listing = survey([str(path)], ListingOptions())
    found = [row for batch in listing.batches() for row in batch.to_pylist()]
    assert [row["source"] for row in found] == [
        f"{path}!{name}" for name in ("before.jpg", "d/real.jpg", "e/hard.jpg", "e/soft.jpg")
    ]
    uri = b"tar:1024:4:" + os.fsencode(path)
    assert {row["uri"] for row in found} == {uri}
    assert path.read_bytes()[1024:1028] == b"real"
    assert listing.notes == (f"{path}: 1 member that is no whole file skipped",)
    assert tar_members(os.fsencode(path))[b"e/soft.jpg"] == uri


def test_what_is_known_of_a_tar_is_forgotten_when_it_changes(tmp_path: Path) -> None:
    make_tar(tmp_path / "x.tar", {"a.jpg": b"a"})
    assert list(tar_members(os.fsencode(tmp_path / "x.tar"))) == [b"a.jpg"]
    make_tar(tmp_path / "x.tar", {"b.jpg": b"b", "c.jpg": b"c"})
    assert list(tar_members(os.fsencode(tmp_path / "x.tar"))) == [b"b.jpg", b"c.jpg"]
    assert tar_members(b"/nowhere.tar") == {}


def test_members_of_several_tars_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_tar(tmp_path / "1.tar", {"a.jpg": b"x"})
    make_tar(tmp_path / "2.tar", {"z\udcff.jpg": b"x"})
    assert column("id", "1.tar", "2.tar") == ["1.tar!a.jpg", "2.tar!z\\xff.jpg"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_lines_on_standard_input_are_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: bytes) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [
        b"a.jpg",
        b"",
        b" b c.jpg",
        b"/x/../y.jpg",
        b"http://h/i.png",
        b"\xff.jpg",
        b"s3://b/k.jpg",
        b"file:///q%20r",
    ]
    here = os.fsencode(tmp_path)
    expected = [here + b"/a.jpg", here + b"/ b c.jpg", b"/x/../y.jpg", b"http://h/i.png", here + b"/\xff.jpg"]
    assert column("uri", "-", stdin=end.join(lines)) == [*expected, b"s3://b/k.jpg", b"/q r"]


def test_nul_separated_names_may_hold_newlines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = column("id", "-", stdin=b"a\nb.jpg\0c.jpg\r\0\0d.jpg", null_separated=True)
    assert found == ["a\nb.jpg", "c.jpg\r", "d.jpg"]


@pytest.mark.parametrize("names", [b"a.jpg\0b.jpg", b"a.jpg\0b.jpg\0", b"a\0", b"a\n.jpg\0\n"])
def test_nul_bytes_are_asked_about_where_lines_are_read(names: bytes) -> None:
    with pytest.raises(UsageError, match=r"^names on standard input end with NUL bytes; say --null \(-0\)$"):
        rows("-", stdin=names)


@pytest.mark.parametrize("names", [b"a.jpg\nb.jpg\n", b"a.jpg\n", b"photos/a.jpg\n" * 20_000])
def test_lines_are_asked_about_where_nul_bytes_are_read(names: bytes) -> None:
    with pytest.raises(UsageError, match=r"with newlines, not with NUL bytes; leave --null \(-0\) out$"):
        rows("-", stdin=names, null_separated=True)


def test_one_name_with_a_newline_needs_no_nul_byte(tmp_path: Path) -> None:
    (tmp_path / "a\nb.jpg").touch()
    name = os.fsencode(tmp_path / "a\nb.jpg")
    assert column("uri", "-", stdin=name, null_separated=True) == [name]


def test_standard_input_is_read_only_once() -> None:
    listing = survey(["-"], ListingOptions(), io.BytesIO(b"a.jpg\n"))
    assert sum(map(len, listing.batches())) == 1
    with pytest.raises(UsageError, match="standard input can be read only once"):
        list(listing.batches())


def test_a_txt_holds_one_name_a_line_relative_to_itself(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/x.txt").write_bytes(b"\xef\xbb\xbfa.jpg\r\n\r\n# b.jpg\r\n/c.jpg\r\nhttp://h/d.jpg")
    found = rows(str(tmp_path / "lists/x.txt"))
    assert [row["id"] for row in found] == ["a.jpg", "# b.jpg", "/c.jpg", "http://h/d.jpg"]
    assert [row["source"] for row in found][:2] == [f"{tmp_path}/lists/a.jpg", f"{tmp_path}/lists/# b.jpg"]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("", "an INPUT is empty; give a file, a folder, a glob, a URL, a manifest or -"),
        ("nowhere", "'nowhere' matches nothing: there is no such file or folder"),
        ("empty", "empty matches nothing: it holds no images"),
        ("dotted", "dotted matches nothing: there: 1 dot-file or dot-folder skipped"),
        ("*.bmp", "*.bmp matches nothing: no image has such a path"),
        ("*.csv", "*.csv matches nothing"),
        ("[z-a]*", "'[z-a]*' is no glob: bad character range z-a at position 1"),
        ("blank.txt", "blank.txt matches nothing: it has no lines"),
        ("empty.tar", "empty.tar matches nothing: it holds no images"),
        ("broken.tar", "broken.tar cannot be read as an uncompressed tar: invalid header"),
        ("x.tar.gz", "x.tar.gz: a compressed tar has no place to start reading at; unpack it to .tar first"),
        ("s3://b/k.jpg", "s3://b/k.jpg: s3:// is not supported yet; known: http://, https:// and paths"),
        ("ftp://h/x.jpg", "ftp://h/x.jpg: unknown scheme ftp://; known: http://, https:// and paths"),
        ("-", "standard input matches nothing: it has no lines"),
    ],
)
def test_an_input_that_matches_nothing_is_refused_even_beside_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("good.jpg", "x.tar.gz", "dotted/.x.jpg", "empty/readme.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "blank.txt").write_text("\n\n")
    (tmp_path / "broken.tar").write_bytes(b"no tar" * 200)
    make_tar(tmp_path / "empty.tar", {"a.txt": b""})
    with pytest.raises(UsageError) as refusal:
        survey(["good.jpg", given], ListingOptions(), io.BytesIO(b"\n"))
    assert str(refusal.value) == sentence


@pytest.mark.parametrize(
    ("inputs", "options", "sentence"),
    [
        (["-", "-"], {}, "standard input can be read only once; give - once"),
        (["x.jpg"], {"null_separated": True}, "-0 says how names on standard input end; give - as an INPUT"),
        (
            ["x.jpg"],
            {"image_column": "u"},
            "--image-col names a column, but no INPUT is a .csv, .tsv, .jsonl or .parquet",
        ),
        (["x.jpg"], {"id_column": "u"}, "--id-col names a column, but no INPUT is a .csv, .tsv, .jsonl or .parquet"),
        (
            ["x.jpg"],
            {"version_column": "u"},
            "--version-col names a column, but no INPUT is a .csv, .tsv, .jsonl or .parquet",
        ),
        (
            ["x.jpg"],
            {"text_column": "t"},
            "x.jpg has no text column; give a .csv, .tsv, .jsonl or .parquet with --text-col",
        ),
    ],
)
def test_flags_that_nothing_would_read_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inputs: list[str], options: dict[str, object], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.jpg").touch()
    with pytest.raises(UsageError) as refusal:
        survey(inputs, ListingOptions(**options), io.BytesIO(b"a"))  # type: ignore[arg-type]
    assert str(refusal.value) == sentence
