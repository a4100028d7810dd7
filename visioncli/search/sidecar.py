"""The side-car: an index's vectors beside it, ready to be mapped, so that only the first search reads the index.

    emb.parquet.search/
        lock            held (flock) while one process builds; others wait for it
        <key>/          named by the index's names, sizes, times and metadata: another index, another folder
            about.json      rows, dimension, error, what the index says of itself
            half.bin        (rows, dimension) float16, each row of length 1
            vectors.bin     (rows, dimension) float32, as they are in the index
            columns.arrow   the other columns
            graph.*         what --approx builds

Whole or absent: built under another name, renamed when it is durable. Knows nothing of scores.
"""

from __future__ import annotations

import hashlib
import json
import logging
import mmap
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visioncli.errors import UsageError
from visioncli.io.durable import durable, publish
from visioncli.search.cosines import Vectors, lengths
from visioncli.search.index import Index, Rows
from visioncli.search.locking import LOCK, locked
from visioncli.search.store import Columns, Store
from visioncli.wording import counted

log = logging.getLogger("visioncli")

_VERSION = 2  # of the layout above
_UNIT = 1e-2  # how far from 1 a length may be where the index says that it is 1; float16 alone makes 5e-4 of it


def folder_of(index: Index) -> Path:
    """Return where the side-car of an index lies: beside the name that was given, so that each name has its own."""
    return index.place.with_name(index.place.name + ".search")


def open_store(index: Index, use_sidecar: bool = True) -> Store:
    """Return the index, mapped from its side-car, which is built where it is absent or older than the index.

    Without a side-car, or where it cannot be written (which is said in one sentence), the index is read into memory.
    Raises UsageError for what is no index.
    """
    if index.is_unfinished:
        log.warning("the run that writes %s has not come to its end: rows are missing", index.path)
    if use_sidecar:
        try:
            return _mapped_or_built(index)
        except OSError as error:
            log.warning(
                "the side-car %s cannot be written (%s): the index is read into memory instead, at every search",
                folder_of(index),
                error.strerror or error,
            )
    return _in_memory(index)


def _mapped_or_built(index: Index) -> Store:
    place = folder_of(index) / _name(index)
    found = _mapped(place)
    if found is not None:
        return found
    _ = index.facts(), index.columns  # what is no index gets no folder
    place.parent.mkdir(exist_ok=True)
    with locked(place.parent / LOCK):
        found = _mapped(place)  # another process may have built it meanwhile
        if found is None:
            _remove_others(place.parent)
            _build(index, place)
            found = _mapped(place)
    if found is None:
        raise OSError("it was removed as soon as it was built")
    return found


def _name(index: Index) -> str:
    key = json.dumps([_VERSION, index.key()])
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _remove_others(folder: Path) -> None:
    """Remove what older indexes and killed builds left. Who has mapped them keeps what was mapped."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)


# Building


def _build(index: Index, place: Path) -> None:
    beside = place.with_name(f".{place.name}.building")
    log.info("the first search of %s builds its side-car", index.path)
    beside.mkdir()
    try:
        _write(index, beside)
        publish(beside, place)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def _write(index: Index, folder: Path) -> None:
    import pyarrow as pa

    facts = index.facts()
    rows = skipped = 0
    error = 0.0
    with (
        durable(folder / "half.bin") as halves,
        durable(folder / "vectors.bin") as whole,
        durable(folder / "columns.arrow") as arrow,
        pa.ipc.new_file(arrow, index.columns) as columns,
    ):
        for group, length in usable(index, facts):
            half, apart = halved(group.vectors, length)
            halves.write(half.data)
            whole.write(group.vectors.data)
            columns.write_table(group.columns)
            rows, skipped, error = rows + len(half), skipped + int((~group.has_vector).sum()), max(error, apart)
    about = {"rows": rows, "skipped": skipped, "error": error, "facts": facts}
    with durable(folder / "about.json") as file:
        file.write(json.dumps(about).encode())


def usable(index: Index, facts: dict[str, Any]) -> Iterator[tuple[Rows, NDArray[np.float64]]]:
    """Yield the rows whose vector has a length, and their lengths; `has_vector` alone is of all rows.

    Raises UsageError where the index says that lengths are 1 and they are not.
    """
    for group in index.rows():
        length = lengths(group.vectors)
        good = group.has_vector & (length > 0)
        if facts["normalised"] and (bad := np.flatnonzero(good & (np.abs(length - 1) > _UNIT))).size:
            id = group.columns["id"][int(bad[0])].as_py() if "id" in group.columns.column_names else int(bad[0])
            raise UsageError(
                f"{index.path} says that its vectors have length 1, but that of {id!r} has {length[bad[0]]:.3g}: "
                "the vectors were changed after they were made"
            )
        at = np.flatnonzero(good)
        vectors = group.vectors if len(at) == len(good) else group.vectors[at]
        yield Rows(np.ascontiguousarray(vectors), good, group.columns.take(at)), length[at]


def halved(vectors: Vectors, length: NDArray[np.float64]) -> tuple[NDArray[np.float16], float]:
    """Return the unit vectors in float16, and the greatest distance of one from the true one."""
    units = vectors / length[:, None]
    half = units.astype(np.float16)
    apart = units - half
    return half, float(np.sqrt(np.einsum("ij,ij->i", apart, apart).max(initial=0)))


# Opening


def _mapped(place: Path) -> Store | None:
    """None where it is not there, is being removed or is damaged: it is built anew then."""
    import pyarrow as pa

    try:
        about = json.loads((place / "about.json").read_text())
        shape = about["rows"], about["facts"]["dimension"]
        half, vectors = (_map(place / name, kind, shape) for name, kind in (("half.bin", "f2"), ("vectors.bin", "f4")))
        columns = _columns(pa.ipc.open_file(pa.memory_map(str(place / "columns.arrow"))))
        store = Store(vectors, half, about["error"], columns, about["facts"], place)
        _say_skipped(about["skipped"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # pyarrow's ArrowInvalid is a ValueError
        return None
    return store


def _columns(file: Any) -> Columns:
    batches = [file.get_batch(number) for number in range(file.num_record_batches)]
    return Columns(file.schema, [batch for batch in batches if len(batch)])


def _map(path: Path, kind: str, shape: tuple[int, int]) -> NDArray[Any]:
    if not shape[0]:
        return np.empty(shape, kind)
    with open(path, "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ, flags=mmap.MAP_SHARED)
    return np.frombuffer(mapped, kind).reshape(shape)


def _in_memory(index: Index) -> Store:
    facts = index.facts()
    groups = [group for group, _ in usable(index, facts)]
    vectors = np.concatenate([np.empty((0, facts["dimension"]), np.float32), *(group.vectors for group in groups)])
    batches = [batch for group in groups for batch in group.columns.combine_chunks().to_batches() if len(batch)]
    _say_skipped(sum(int((~group.has_vector).sum()) for group in groups))
    return Store(vectors, None, 0.0, Columns(index.columns, batches), facts)


def _say_skipped(rows: int) -> None:
    if rows:
        log.info("%s without a usable vector: never a hit", counted(rows, "row is", "rows are"))
