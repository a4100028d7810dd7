"""What a run writes beside its table: files that its rows name, and pictures to look at.

A row's files are there, durable, before the part that names them; doing the row again writes the same names again.
Knows nothing of how a file of a kind is made.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from visioncli.errors import UsageError
from visioncli.io.own_names import OVERLAY, SIDE_FILES
from visioncli.io.side_files import SideFolder, remove_drawings
from visioncli.jobs.job import Job
from visioncli.jobs.targets import Target, part_tables
from visioncli.provenance import ModelInfo
from visioncli.samples import Sample
from visioncli.settings import Save
from visioncli.tables import look_up
from visioncli.tasks.depth import EXPORTS, DepthMap, DepthOptions
from visioncli.tasks.embed import Embedded, EmbedOptions
from visioncli.tasks.objects import Objects
from visioncli.tasks.segment import SegmentOptions

CLOUDS = {"glb": "visioncli.io.clouds:glb", "ply": "visioncli.io.clouds:ply"}  # export -> (map, picture) -> bytes
ARRAYS = {"npz": "visioncli.io.depth_files:npz", "preview": "visioncli.io.depth_files:preview"}  # (map) -> bytes
KINDS = {  # export -> kind and extension of its file's name
    "png16": ("depth", "png"),
    "npz": ("depth", "npz"),
    "preview": ("preview", "png"),
    "glb": ("cloud", "glb"),
    "ply": ("cloud", "ply"),
}
_NOTHING = np.zeros((0, 0), np.float32)


@dataclass(frozen=True)
class Folders:
    """Where a run's side files and drawings go."""

    files: SideFolder
    overlay: SideFolder | None

    @classmethod
    def of(cls, job: Job, answers: Mapping[str, Any], info: ModelInfo) -> Folders:
        """The folders of a job whose answers depend on `answers` (see `keys.answer_key`) and on the loaded model.

        Files that may have other bytes have other names: those of an earlier output stay as they are until it is
        replaced. A drawing keeps its name, so that drawing a picture anew overwrites it.
        """
        salt = {"answers": answers, "resolved": info.resolved, "device": info.device}
        digest = hashlib.sha256(json.dumps(salt, sort_keys=True).encode()).hexdigest()
        target = Target.of(job.output)
        files, whose = _side_folder(target, digest), f"{job.task} {target.path.name}"
        return cls(files, SideFolder(Path(job.overlay), target.path.parent, whose, flat=True) if job.overlay else None)

    def sync(self) -> None:
        """Make what was written durable. Raises OutputError."""
        for folder in (self.files, self.overlay):
            if folder is not None:
                folder.sync()


def _side_folder(target: Target, salt: str) -> SideFolder:
    return SideFolder(target.path.with_name(target.path.name + SIDE_FILES), target.path.parent, salt)


def sweep_leftover(target: Target, key: Mapping[str, Any]) -> None:
    """Remove the side files that no row names, after a run that published its output and was killed before it did."""
    files, parts = _side_folder(target, ""), target.leftover_parts(key)
    if files.root.exists() and parts is not None:
        files.sweep(Named(named_files(part_tables(parts))))


class Named:
    """The paths that a table's rows name, as 64-bit hashes: 8 bytes each, for tables of millions of rows.

    Another path passes for one of n of them once in 2^64 / n times; what no row names is then left where it is.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._hashes = np.sort(np.fromiter(map(_hash, paths), np.uint64))

    def __contains__(self, path: object) -> bool:
        wanted = np.uint64(_hash(str(path)))
        at = int(np.searchsorted(self._hashes, wanted))
        return at < len(self._hashes) and bool(self._hashes[at] == wanted)


@dataclass(frozen=True)
class Left:
    """What lies beside an output and belongs to an earlier one: files that no row `named`, and `drawings`."""

    files: SideFolder
    named: Named
    drawings: list[Path]

    def remove(self) -> None:
        """Remove it. Raises OutputError."""
        self.files.sweep(self.named)
        remove_drawings(self.drawings)


def _hash(path: str) -> int:
    return int.from_bytes(hashlib.blake2b(path.encode("utf-8", "surrogatepass"), digest_size=8).digest())


def saving(job: Job, options: Any, folders: Folders) -> Save | None:
    """Return what is done with each result before it is a row; None where there is nothing to write."""
    found = [save for save in SAVES[job.task](options, folders) if save is not None] if job.task in SAVES else []
    if not found:
        return None

    def write(sample: Sample, result: Any) -> Any:
        for save in found:
            result = save.write(sample, result)
        return result

    return Save(write, any(save.needs_pixels for save in found))


def side_folder(job: Job, options: Any) -> Path | None:
    """Return the folder of the files that a job's rows will name; None where they name none."""
    writes = WRITES_FILES.get(job.task, lambda options: False)(options)
    return _side_folder(Target.of(job.output), "").root if writes else None


def refuse_files_of_a_stream(job: Job, options: Any) -> None:
    """Raise UsageError where rows would name files, and the output is standard output."""
    if side_folder(job, options) is not None:
        raise UsageError(f"{job.task} writes files beside its output, and -o - has no place beside it; name a file")


def named_files(tables: Iterable[pa.Table]) -> Iterator[str]:
    """Yield every path that the rows' side-file columns name."""
    for table in tables:
        for name in table.schema.names:
            kind = table.schema.field(name).type
            if name.endswith("_path") and pa.types.is_string(kind):
                yield from table[name].drop_null().to_pylist()
            elif name == "objects" and pa.types.is_list(kind) and kind.value_type.get_field_index("mask_path") >= 0:
                yield from pc.struct_field(pc.list_flatten(table[name]), "mask_path").drop_null().to_pylist()


def _depth(options: DepthOptions, folders: Folders) -> list[Save | None]:
    def write(sample: Sample, result: DepthMap) -> DepthMap:
        near, far = result.ends
        paths: dict[str, str] = {}
        for name in options.exports:
            data = _depth_bytes(name, sample, result)
            paths[EXPORTS[name]] = folders.files.write(sample.ref, sample.facts.sha256, *KINDS[name], data)
        light = replace(result, depth=_NOTHING, confidence=None, sky=None)
        return replace(light, near=near, far=far, paths=paths)

    return [Save(write, needs_pixels=bool(set(CLOUDS) & set(options.exports)))]


def _depth_bytes(name: str, sample: Sample, result: DepthMap) -> bytes:
    """One export's bytes."""
    if name == "png16":
        from visioncli.io.depth_files import png16

        return png16(result.depth)[0]  # it spans from `ends` to `ends`
    write = look_up(CLOUDS if name in CLOUDS else ARRAYS, name, "export")
    data: bytes = write(result, sample.image) if name in CLOUDS else write(result)
    return data


def _segment(options: SegmentOptions, folders: Folders) -> list[Save | None]:
    def write(sample: Sample, result: Objects) -> Objects:
        from visioncli.io.drawings import mask_png

        ref, sha256 = sample.ref, sample.facts.sha256
        masks = enumerate(result.masks or ())
        paths = [folders.files.write(ref, sha256, f"mask{n}", "png", mask_png(mask)) for n, mask in masks]
        return replace(result, mask_paths=tuple(paths))

    return [_drawn(folders), Save(write) if options.masks == "png" else None]


def _detect(options: Any, folders: Folders) -> list[Save | None]:
    return [_drawn(folders)]


def _drawn(folders: Folders) -> Save | None:
    """Draws what was found, where --overlay asks for it."""
    target = folders.overlay
    if target is None:
        return None

    def write(sample: Sample, result: Objects) -> Objects:
        from visioncli.io.drawings import overlay

        assert sample.image is not None
        assert sample.facts.size is not None
        drawn = overlay(sample.image, result, sample.facts.size)
        return replace(result, overlay_path=target.write(sample.ref, sample.facts.sha256, *OVERLAY, drawn))

    return Save(write, needs_pixels=True)


def _embed(options: EmbedOptions, folders: Folders) -> list[Save | None]:
    def write(sample: Sample, result: Embedded) -> Embedded:
        from visioncli.io.depth_files import npz_of

        assert result.tokens is not None
        data = npz_of({"tokens": result.tokens})
        path = folders.files.write(sample.ref, sample.facts.sha256, "tokens", "npz", data)
        return replace(result, tokens=None, tokens_path=path)

    return [Save(write) if options.store == "npz" else None]


SAVES: dict[str, Callable[[Any, Folders], list[Save | None]]] = {
    "depth": _depth,
    "detect": _detect,
    "embed": _embed,
    "segment": _segment,
}
WRITES_FILES: dict[str, Callable[[Any], bool]] = {
    "depth": lambda options: True,
    "embed": lambda options: bool(options.store == "npz"),
    "segment": lambda options: bool(options.masks == "png"),
}
