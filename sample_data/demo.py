"""`make demo`: the two commands of README on the sample data with the bundled model, and a look at what they found."""

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


def main() -> None:
    labels, embeddings = OUT / "labels.parquet", OUT / "embeddings.parquet"
    OUT.mkdir(exist_ok=True)
    names = f"@{HERE / 'labels.txt'}"
    common = ["--model", "demo", "--overwrite", "-o"]
    template = ["--template", "a photo of a {}"]
    visioncli("classify", str(HERE / "catalog.csv"), "--labels", names, *template, *common, str(labels))
    visioncli("embed", str(HERE / "images"), *common, str(embeddings))
    show(labels, rows=12)
    schema = pq.read_schema(embeddings)
    print(f"{embeddings}: {pq.read_metadata(embeddings).num_rows} rows, embedding: {schema.field('embedding').type}")


if __name__ == "__main__":
    main()
