"""An output of `visioncli embed` as an index: where its files are, what they say of themselves, their rows.

A Parquet file, a JSON-lines file or a folder of parts. Knows nothing of scores or side-cars.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from visioncli.errors import UsageError
from visioncli.search.arrays import matrix
from visioncli.search.cosines import Vectors

if TYPE_CHECKING:
    import pyarrow as pa

COLUMN = "embedding"
_VECTORS = (COLUMN, "text_embedding", "tokens")  # columns of ours that no hit carries
_JSON_LINES = (".jsonl", ".ndjson")


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of an index, in its order."""

    vectors: Vectors  # (n, D); of rows without one, whatever lies there
    has_vector: np.typing.NDArray[np.bool_]
    columns: pa.Table  # all but vectors


class Index:
    """What `--index` names. Nothing but names and stamps is read until more is asked for."""

    def __init__(self, path: str) -> None:
        """Raises UsageError where nothing is, or nothing that could be an index."""
        self.path = Path(path)
        try:
            self.files = _files(self.path)
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error

    @property
    def place(self) -> Path:
        """The path as it was named, whole: where a link leads may be no place to write."""
        path = self.path
        return path.resolve() if path.name in ("", "..") else path.parent.resolve() / path.name

    @property
    def is_unfinished(self) -> bool:
        """Whether it is a folder whose run has not come to its end."""
        try:
            return "finished" not in json.loads((self.path / "_run.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, TypeError):
            return False

    def key(self) -> list[list[Any]]:
        """Return what changes when the index does: each file's name, size, time in ns and the hash of its metadata."""
        try:
            return [[path.name, *_stamp(path)] for path in self.files]
        except OSError as error:
            raise UsageError(f"{self.path} cannot be read: {error.strerror or error}") from error

    def facts(self) -> dict[str, Any]:
        """Return the metadata's JSON, and `dimension`. Raises UsageError where files differ or hold no vectors."""
        found = [_facts(schema, path) for path, schema in zip(self.files, self._schemas, strict=True)]
        for path, other in zip(self.files, found, strict=True):
            for name in ("dimension", "embedding_space", "normalised"):
                if other[name] != found[0][name]:
                    raise UsageError(
                        f"{path.name} is of another {name.replace('_', ' ')} than {self.files[0].name} "
                        f"({other[name]}, not {found[0][name]}): they are no one index"
                    )
        return found[0]

    @cached_property
    def _schemas(self) -> list[pa.Schema]:
        return [_schema(path) for path in self.files]

    @cached_property
    def columns(self) -> pa.Schema:
        """All files' columns but their vectors, of types that hold all of them. Raises UsageError where none does."""
        import pyarrow as pa

        found = _columns(self._schemas[0])
        for path, schema in zip(self.files[1:], self._schemas[1:], strict=True):
            try:
                found = pa.unify_schemas([found, _columns(schema)], promote_options="permissive")
            except pa.ArrowException as error:
                said = str(error).splitlines()[0].removeprefix("Unable to merge: ")
                raise UsageError(
                    f"{path.name} does not fit the files before it ({said}): they are no one index"
                ) from None
        return found

    def rows(self) -> Iterator[Rows]:
        """Yield all rows, a row group at a time, a column that a file lacks as nulls. Raises UsageError."""
        import pyarrow as pa

        try:
            for path in self.files:
                for table in _tables(path):
                    yield _rows(table, self.columns)
        except (pa.ArrowException, OSError) as error:
            raise UsageError(f"{self.path} cannot be read: {str(error).splitlines()[0]}") from error


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(one for one in path.glob("*.parquet") if one.name[0] not in "._")
        if not found:
            raise UsageError(f"the folder {path} holds no .parquet parts: it is no index")
        return found
    if not path.exists():
        raise UsageError(f"there is no index {path}: `visioncli embed INPUT... -o {path}` makes one")
    if path.suffix not in (".parquet", *_JSON_LINES):
        raise UsageError(
            f"{path} is no index: an output of `visioncli embed` ends in .parquet or .jsonl, or is a folder"
        )
    return [path]


def _stamp(path: Path) -> tuple[int, int, str]:
    facts = path.stat()
    return facts.st_size, facts.st_mtime_ns, hashlib.sha256(_metadata(path, facts.st_size)).hexdigest()


def _metadata(path: Path, size: int) -> bytes:
    """A Parquet file's footer, its length before the last four bytes (the format's README); or `.meta.json`."""
    if path.suffix in _JSON_LINES:
        beside = path.with_name(path.name + ".meta.json")
        return beside.read_bytes() if beside.exists() else b""
    with open(path, "rb") as file:
        file.seek(max(0, size - 8))
        footer = int.from_bytes(file.read(4), "little")
        file.seek(max(0, size - 8 - footer))
        return file.read(min(footer, size))


def _schema(path: Path) -> pa.Schema:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from visioncli.io.sinks import read_jsonl

    if path.suffix in _JSON_LINES:
        return read_jsonl(path)[0]
    try:
        return pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{path} cannot be read as Parquet: {str(error).splitlines()[0]}") from error


def _facts(schema: pa.Schema, path: Path) -> dict[str, Any]:
    dimension = _dimension(schema, path)
    try:
        said = json.loads((schema.metadata or {}).get(b"visioncli", b"{}"))
        normalised = said.get("parameters", {}).get("normalize")
    except (ValueError, AttributeError):
        raise UsageError(f"what {path} says of itself is damaged: its metadata `visioncli` is no JSON object") from None
    return {"embedding_space": None, **said, "dimension": dimension, "normalised": normalised}


def _dimension(schema: pa.Schema, path: Path) -> int:
    import pyarrow as pa

    if COLUMN not in schema.names:
        kinds = "tokens, which are not one vector a row" if {"tokens", "tokens_path"} & {*schema.names} else "none"
        raise UsageError(f"{path} has no column {COLUMN!r} (vectors: {kinds}): `visioncli embed` makes an index")
    kind = schema.field(COLUMN).type
    if not pa.types.is_fixed_size_list(kind) or not pa.types.is_floating(kind.value_type):
        raise UsageError(f"the column {COLUMN!r} of {path} is {kind}, not a list of numbers of a fixed size")
    return int(kind.list_size)


def _tables(path: Path) -> Iterator[pa.Table]:
    import pyarrow.parquet as pq

    from visioncli.io.sinks import read_jsonl

    if path.suffix in _JSON_LINES:
        yield from read_jsonl(path)[1]
        return
    file = pq.ParquetFile(path, memory_map=True)
    for number in range(file.num_row_groups):
        yield file.read_row_group(number)


def _rows(table: pa.Table, columns: pa.Schema) -> Rows:
    import pyarrow as pa
    import pyarrow.compute as pc

    array = table[COLUMN].combine_chunks()
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    vectors = matrix(array).astype(np.float32, copy=False)
    return Rows(vectors, pc.is_valid(array).to_numpy(zero_copy_only=False), _fitted(table, columns))


def _columns(schema: pa.Schema) -> pa.Schema:
    """All but vectors; without dictionaries, of which an Arrow file holds only one a column."""
    import pyarrow as pa

    kept = [field for field in schema if not (field.name in _VECTORS and _is_vector(field.type))]
    return pa.schema([field.with_type(_plain(field.type)).remove_metadata().with_nullable(True) for field in kept])


def _is_vector(kind: pa.DataType) -> bool:
    import pyarrow as pa

    tensor = isinstance(kind, pa.FixedShapeTensorType)
    return tensor or (pa.types.is_fixed_size_list(kind) and pa.types.is_floating(kind.value_type))


def _plain(kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _fitted(table: pa.Table, columns: pa.Schema) -> pa.Table:
    """The table's columns in these types; one that it lacks is all null."""
    import pyarrow as pa

    def column(field: pa.Field) -> pa.ChunkedArray:
        if field.name not in table.column_names:
            return pa.chunked_array([pa.nulls(len(table), field.type)])
        found = table[field.name]
        return found if found.type == field.type else found.cast(field.type)

    return pa.Table.from_arrays([column(field) for field in columns], schema=columns)


def space_of(facts: Mapping[str, Any], path: Path) -> str:
    """Return what vectors the index's may be compared with. Raises UsageError where it does not say."""
    space = facts.get("embedding_space")
    if not space:
        raise UsageError(
            f"{path} does not say which model made its vectors: only --row, --pairs and --groups can use it"
        )
    return str(space)
