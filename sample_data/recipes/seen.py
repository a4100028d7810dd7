"""The pictures of README: the tool's own answers on a few committed scenes, side by side.

Usage: python seen.py [--out DIR]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

ROOT = Path(__file__).parents[2]
SCENES = ROOT / "sample_data/scenes"
CHOSEN = ("05", "13", "07")  # which scenes: beginnings of their names
HEIGHT = 300  # pixels of a picture; they stand in one row
GAP = 6  # white pixels between two
ASKED = {  # as README has them
    "segment": ("--prompts", "elephant,octopus,chair,house,clock"),
    "detect": ("--prompts", "elephant,octopus,chair,house,clock", "--nms", "0.5"),
}


def visioncli(*arguments: str) -> None:
    """Run a command on the chosen scenes with the bundled model."""
    inputs = [str(path) for name in CHOSEN for path in sorted(SCENES.glob(f"{name}*.[jp][pn]g"))[:1]]
    command = [sys.executable, "-m", "visioncli", *arguments[:1], *inputs, "--model", "demo", *arguments[1:], "--quiet"]
    subprocess.run(command, check=True, cwd=ROOT)


def beside(pictures: list[Image.Image]) -> Image.Image:
    """The pictures at one height, in one row."""
    same = [p.convert("RGB").resize((round(p.width * HEIGHT / p.height), HEIGHT)) for p in pictures]
    row = Image.new("RGB", (sum(p.width for p in same) + GAP * (len(same) - 1), HEIGHT), "white")
    left = 0
    for picture in same:
        row.paste(picture, (left, 0))
        left += picture.width + GAP
    return row


def found(task: str, folder: Path) -> list[Image.Image]:
    """The overlays of segment or detect, by the order of the rows."""
    output = folder / f"{task}.parquet"
    visioncli(task, *ASKED[task], "--overlay", str(folder / task), "-o", str(output))
    return [Image.open(folder / path) for path in pq.read_table(output)["overlay_path"].to_pylist()]


def depths(folder: Path) -> list[Image.Image]:
    """Each scene and its depth in colours."""
    output = folder / "depth.parquet"
    visioncli("depth", "--export", "png16,preview", "-o", str(output))
    rows = pq.read_table(output).to_pylist()
    return [Image.open(path) for row in rows for path in (row["source"], folder / row["depth_preview_path"])]


def features(folder: Path) -> list[Image.Image]:
    """Each scene and the first three principal components of its patches' tokens as red, green and blue."""
    output = folder / "tokens.parquet"
    visioncli("embed", "--features", "tokens", "-o", str(output))
    table = pq.read_table(output)
    tokens = table["tokens"].combine_chunks().to_numpy_ndarray()  # (N, T, C), patches last
    side = int(np.sqrt(tokens.shape[1]))
    patches = tokens[:, -side * side :].astype(np.float64)
    flat = patches.reshape(-1, patches.shape[-1])
    flat = flat - flat.mean(0)
    components = (flat @ np.linalg.svd(flat, full_matrices=False)[2][:3].T).reshape(len(tokens), side, side, 3)
    low, high = np.percentile(components, (2, 98), axis=(0, 1, 2))
    colours = (np.clip((components - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    pictures = []
    for source, colour in zip(table["source"].to_pylist(), colours, strict=True):
        scene = Image.open(source)
        pictures += [scene, Image.fromarray(colour).resize(scene.size, Image.Resampling.NEAREST)]
    return pictures


def main() -> None:
    """Draw all four."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "sample_data/seen")
    out = parser.parse_args().out
    out.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        drawn = {
            "segment": found("segment", folder),
            "detect": found("detect", folder),
            "depth": depths(folder),
            "features": features(folder),
        }
        for kind, pictures in drawn.items():
            beside(pictures).save(out / f"{kind}.jpg", quality=88)


if __name__ == "__main__":
    main()
