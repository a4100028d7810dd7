"""Write the demo SAM 3 in the file layout of the model hub, whole or not at all."""

from __future__ import annotations

import copy
import os
import shutil
import tempfile
from pathlib import Path

from checkpoint import write_json, write_sums
from checkpoint import write_tokenizer as write_vocabulary
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
