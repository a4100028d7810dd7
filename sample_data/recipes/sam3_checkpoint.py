"""Write the demo SAM 3 in the file layout of the model hub, whole or not at all."""

from __future__ import annotations

import copy
from pathlib import Path

from checkpoint import write_json
from checkpoint import write_tokenizer as write_vocabulary
from demo_files import write_whole
from sam3_start import SIDE
from transformers import PreTrainedTokenizerFast, Sam3Model

DEMO = Path(__file__).parents[2] / "visioncli" / "models" / "demo" / "sam3"
CARD = Path(__file__).parent / "sam3_card.md"

# The fields of facebook/sam3's image processor, with our size.
PREPROCESSING = {
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_processor_type": "Sam3ImageProcessorFast",
    "image_std": [0.5, 0.5, 0.5],
    "processor_class": "Sam3Processor",
    "resample": 2,
    "rescale_factor": 1 / 255,
    "size": {"height": SIDE, "width": SIDE},
}


def write_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """The tokenizer's files, its marks named in both places."""
    write_vocabulary(tokenizer, folder)
    write_json(folder / "special_tokens_map.json", tokenizer.special_tokens_map)


def write_files(model: Sam3Model, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Every file of the checkpoint but its card and sums, the weights in float16."""
    copy.deepcopy(model).half().save_pretrained(folder)
    write_tokenizer(tokenizer, folder)
    write_json(folder / "preprocessor_config.json", PREPROCESSING)


def save_checkpoint(model: Sam3Model, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """Write the checkpoint with its card and sums; a reader never sees half a file."""
    write_whole(out, lambda folder: write_files(model, tokenizer, folder), CARD)
