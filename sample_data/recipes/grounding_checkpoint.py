"""Write the detector's checkpoint in the file layout of the model hub, whole or not at all."""

from __future__ import annotations

import copy
from pathlib import Path

from checkpoint import write_json
from demo_files import write_whole
from grounding_start import MEAN, SIDE, STD
from transformers import BertTokenizer, GroundingDinoForObjectDetection

DETECTOR = Path(__file__).parents[2] / "visioncli" / "models" / "demo" / "grounding_dino"
CARD = Path(__file__).parent / "grounding_card.md"

# The fields of IDEA-Research/grounding-dino-tiny/preprocessor_config.json, with our size.
PREPROCESSING = {
    "do_convert_annotations": True,
    "do_normalize": True,
    "do_pad": True,
    "do_rescale": True,
    "do_resize": True,
    "format": "coco_detection",
    "image_mean": list(MEAN),
    "image_processor_type": "GroundingDinoImageProcessor",
    "image_std": list(STD),
    "processor_class": "GroundingDinoProcessor",
    "resample": 2,
    "rescale_factor": 1 / 255,
    "size": {"height": SIDE, "width": SIDE},
}


def write_files(detector: GroundingDinoForObjectDetection, tokenizer: BertTokenizer, folder: Path) -> None:
    """Every file of the checkpoint, the weights in float16."""
    copy.deepcopy(detector).half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_json(folder / "preprocessor_config.json", PREPROCESSING)


def save_detector(detector: GroundingDinoForObjectDetection, tokenizer: BertTokenizer, out: Path) -> None:
    """Write the checkpoint with its card and sums; a reader never sees half a file."""
    write_whole(out, lambda folder: write_files(detector, tokenizer, folder), CARD)
