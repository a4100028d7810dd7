"""README's picture of a report: what `visioncli report` makes of `sample_data/scenes/`, as Chromium shows it.

Needs Debian's chromium and the test extra's playwright. Usage: python seen_report.py [--out DIR]
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[2]
WIDTH, HEIGHT = 1200, 1180  # pixels of the browser's window


def visioncli(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "visioncli", *arguments, "--quiet"], check=True, cwd=ROOT)


def page(folder: Path) -> Path:
    """The report of a run of detect."""
    results, summary = str(folder / "boxes.parquet"), str(folder / "run.json")
    asked = ("--prompts", "@sample_data/labels.txt", "--nms", "0.5", "--summary", summary)
    visioncli("detect", "sample_data/scenes", "--model", "demo", *asked, "-o", results)
    visioncli("report", results, "--summary", summary, "-o", str(folder / "report.html"))
    return folder / "report.html"


def seen(path: Path) -> Image.Image:
    """The top of the page."""
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        tab.goto(path.as_uri())
        tab.wait_for_timeout(500)  # pictures are decoded late
        shot = tab.screenshot()
        browser.close()
    return Image.open(io.BytesIO(shot)).convert("RGB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "sample_data/seen")
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as name:
        seen(page(Path(name))).save(out / "report.jpg", quality=85)


if __name__ == "__main__":
    main()
