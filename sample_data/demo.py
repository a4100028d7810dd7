"""`make demo`: the commands of README on the sample data with the bundled models, and a look at what they found."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

HERE = Path(os.path.relpath(Path(__file__).parent))
OUT = Path("demo")


def visioncli(*arguments: str) -> None:
    """Run the command as a person would, and stop at its first failure."""
    print("$ visioncli", shlex.join(arguments), flush=True)
    subprocess.run([sys.executable, "-m", "visioncli", *arguments], check=True)


def show(labels: Path, rows: int) -> None:
    """Print a few rows, and how many of the manifest's truths were found."""
    found = pq.read_table(labels).to_pylist()
    table = Table("sku", "image", "truth", "label", "score", title=str(labels))
    for row in found[:: max(1, len(found) // rows)]:
        right = row["label"] == row["truth"]
        style = "green" if right else "red"
        table.add_row(row["sku"], row["id"], row["truth"], f"[{style}]{row['label']}", f"{row['score']:.2f}")
    Console().print(table)
    print(
        f"{sum(row['label'] == row['truth'] for row in found)} of {len(found)} pictures were named as the manifest says"
    )


def ask_scenes(common: list[str]) -> None:
    """Masks, boxes and depth of the scenes; drawings to look at in demo/seen_*."""
    scenes, prompts = str(HERE / "scenes"), ["--prompts", f"@{HERE / 'labels.txt'}"]
    for task in ("segment", "detect"):
        drawn = ["--overlay", str(OUT / f"seen_{task}")]
        visioncli(task, scenes, *prompts, *drawn, *common, str(OUT / f"{task}.parquet"))
        objects = pq.read_table(OUT / f"{task}.parquet")["objects"].to_pylist()
        print(f"{task}: {sum(map(len, objects))} objects in {len(objects)} scenes, drawn in {OUT / f'seen_{task}'}")
    visioncli("depth", scenes, "--export", "png16,preview", *common, str(OUT / "depth.parquet"))


def main() -> None:
    labels, embeddings = OUT / "labels.parquet", OUT / "embeddings.parquet"
    OUT.mkdir(exist_ok=True)
    names = f"@{HERE / 'labels.txt'}"
    common = ["--model", "demo", "--overwrite", "-o"]
    template = ["--template", "a photo of a {}"]
    visioncli("classify", str(HERE / "catalog.csv"), "--labels", names, *template, *common, str(labels))
    visioncli("embed", str(HERE / "images"), *common, str(embeddings))
    show(labels, rows=12)
    ask_scenes(common)
    schema = pq.read_schema(embeddings)
    print(f"{embeddings}: {pq.read_metadata(embeddings).num_rows} rows, embedding: {schema.field('embedding').type}")


if __name__ == "__main__":
    main()
