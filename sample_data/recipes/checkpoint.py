"""Write the demo checkpoint in the file layout of the model hub, whole or not at all."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

from pool import SIDE
from transformers import PreTrainedTokenizerFast, SiglipModel

DEMO = Path(__file__).parents[2] / "visioncli" / "models" / "demo" / "siglip"
CARD = Path(__file__).parent / "model_card.md"

# The fields of google/siglip-base-patch16-224/preprocessor_config.json, with our size.
PREPROCESSING = {
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_processor_type": "SiglipImageProcessor",
    "image_std": [0.5, 0.5, 0.5],
    "processor_class": "SiglipProcessor",
    "resample": 3,
    "rescale_factor": 1 / 255,
    "size": {"height": SIDE, "width": SIDE},
}


def write_json(path: Path, value: object) -> None:
    """One JSON file, indented, with a line end."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """The tokenizer's files, under the class name that transformers 4 knows too."""
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    write_json(path, {**config, "tokenizer_class": "PreTrainedTokenizerFast"})
    specials = {name: config[name] for name in ("eos_token", "pad_token", "unk_token")}
    write_json(folder / "special_tokens_map.json", specials)


def write_files(model: SiglipModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Every file of the checkpoint, the weights in float16."""
    copy.deepcopy(model).half().save_pretrained(folder)
    write_tokenizer(tokenizer, folder)
    write_json(folder / "preprocessor_config.json", PREPROCESSING)
    if CARD.exists():
        shutil.copyfile(CARD, folder / "README.md")


def write_sums(folder: Path) -> None:
    """Write SHA256SUMS over all files but the card, for `visioncli models verify demo`."""
    files = sorted(path for path in folder.iterdir() if path.name != "README.md")
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (folder / "SHA256SUMS").write_text("".join(lines))


def save_checkpoint(model: SiglipModel, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """Write beside `out`, then move file by file, the weights last; a reader never sees half a file."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        write_files(model, tokenizer, Path(folder))
        write_sums(Path(folder))
        for path in sorted(Path(folder).iterdir(), key=lambda path: path.suffix == ".safetensors"):
            path.chmod(0o644)
            os.replace(path, out / path.name)
