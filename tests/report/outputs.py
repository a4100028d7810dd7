"""Outputs of every task as the contract has them, with planted answers, written without our writer's help."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

OBJECT = pa.struct(
    [
        (name, pa.string() if name in ("label", "phrase") else pa.float32())
        for name in ("label", "score", "x0", "y0", "x1", "y1", "phrase")
    ]
)
COLUMNS: dict[str, list[tuple[str, pa.DataType]]] = {
    "classify": [
        ("label", pa.string()),
        ("score", pa.float32()),
        ("labels", pa.list_(pa.string())),
        ("scores", pa.list_(pa.float32())),
        ("logits", pa.list_(pa.float32())),
    ],
    "embed": [("embedding", pa.list_(pa.float32(), 4))],
    "similar": [("query", pa.string()), ("rank", pa.int32()), ("score", pa.float32())],
    "detect": [("objects", pa.list_(OBJECT))],
    "depth": [(n, pa.float32()) for n in ("depth_min", "depth_max")]
    + [("depth_path", pa.string()), ("metric", pa.bool_())],
}
FACTS = [("id", pa.string()), ("source", pa.string()), ("status", pa.string())]
FACTS += [("error_code", pa.string()), ("error", pa.string())]
FACTS += [("sha256", pa.string()), ("bytes", pa.int64()), ("version", pa.string())]
FACTS += [("height", pa.int32()), ("width", pa.int32())]


def classified(label: str, score: float, **more: Any) -> dict[str, Any]:
    """A row of classify with a second label that takes the rest."""
    scores = [score, 1 - score]
    return {"label": label, "score": score, "labels": [label, "other"], "scores": scores, "logits": scores} | more


def seen(label: str, score: float, *box: float) -> dict[str, Any]:
    """An object; `box` is x0 y0 x1 y1."""
    return {"label": label, "score": score, "phrase": label} | dict(zip(("x0", "y0", "x1", "y1"), box, strict=True))


def failed(code: str, error: str = "it did not work", **more: Any) -> dict[str, Any]:
    return {"status": "error", "error_code": code, "error": error} | more


def written(path: Path, task: str, rows: Sequence[dict[str, Any]], /, **provenance: Any) -> Path:
    """Write rows; `id` is `<n>.jpg` and `source` the file of that name beside `path`, unless a row says otherwise."""
    schema = pa.schema(FACTS + COLUMNS[task])
    said = {"tool": "visioncli 0.1.0", "task": task, "model": "demo", "parameters": {}} | provenance
    whole = []
    for number, row in enumerate(rows):
        one = dict.fromkeys(schema.names) | {"id": f"{number}.jpg", "status": "ok", "height": 48, "width": 64} | row
        whole.append(one | {"source": row.get("source", str(path.parent / one["id"]))})
    table = pa.Table.from_pylist(whole, schema=schema.with_metadata({"visioncli": json.dumps(said)}))
    pq.write_table(table, path, row_group_size=7)
    return path


def pictures(folder: Path, count: int, size: tuple[int, int] = (48, 64)) -> Path:
    """Write `<n>.jpg`, each of coarse noise of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        noise = np.random.default_rng(number).integers(0, 256, (6, 8, 3), np.uint8)
        Image.fromarray(noise).resize(size[::-1], Image.Resampling.BICUBIC).save(folder / f"{number}.jpg")
    return folder
