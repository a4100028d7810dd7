"""Grounding DINO checkpoints in the hub's layout, with random loud weights and a small vocabulary at BERT's ids."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import checkpoints
import torch

FIRST = 999  # the id of `!` in bert-base-uncased/vocab.txt; the other ASCII characters but capitals follow in order
WORDS = "a the red car cat dog person traffic light sea tree house st bernard boat bird cafe naive of two hat ball"

# The fields of IDEA-Research/grounding-dino-tiny/preprocessor_config.json.
PROCESSOR: dict[str, Any] = {
    **{"image_processor_type": "GroundingDinoImageProcessor", "format": "coco_detection", "do_pad": True},
    **{"do_resize": True, "do_rescale": True, "do_normalize": True, "do_convert_annotations": True},
    **{"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]},
    **{"resample": 2, "rescale_factor": 1 / 255, "size": {"shortest_edge": 800, "longest_edge": 1333}},
}
SMALL_SWIN = {
    **{"model_type": "swin", "embed_dim": 16, "depths": [1, 1, 2, 1], "num_heads": [1, 2, 2, 4], "window_size": 4},
    "out_indices": [2, 3, 4],
}
SMALL_BERT = {
    **{"model_type": "bert", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2},
    **{"num_attention_heads": 2, "vocab_size": 1200, "max_position_embeddings": 16},
}
SMALL = {
    **{"d_model": 64, "num_queries": 20, "encoder_layers": 2, "decoder_layers": 2, "max_text_len": 40},
    **{"encoder_ffn_dim": 128, "decoder_ffn_dim": 128, "encoder_attention_heads": 4, "decoder_attention_heads": 4},
    **{"backbone_config": SMALL_SWIN, "text_config": SMALL_BERT},
}
TINY = {  # the sizes of IDEA-Research/grounding-dino-tiny
    "backbone_config": {
        **{"model_type": "swin", "embed_dim": 96, "depths": [2, 2, 6, 2], "num_heads": [3, 6, 12, 24]},
        **{"window_size": 7, "image_size": 224, "out_indices": [2, 3, 4]},
    },
    "text_config": {"model_type": "bert", "vocab_size": 30522},
}
SMALL_SIZE = {"shortest_edge": 96, "longest_edge": 160}


def vocabulary() -> dict[str, int]:
    """Token -> id: BERT's marks and characters at BERT's ids, pieces of a letter, then WORDS."""
    marks = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103}
    characters = [c for c in map(chr, range(ord("!"), ord("~") + 1)) if c not in string.ascii_uppercase]
    pieces = [*characters, *(f"##{c}" for c in string.ascii_lowercase), *WORDS.split()[1:]]  # "a" is a character
    unused = {f"[unused{i}]": i for i in range(FIRST) if i not in marks.values()}
    found = unused | marks | {piece: FIRST + i for i, piece in enumerate(pieces)}
    return dict(sorted(found.items(), key=lambda item: item[1]))


def tokenizer_files(directory: Path) -> None:
    """tokenizer.json and tokenizer_config.json, as transformers writes them."""
    from transformers import BertTokenizer

    BertTokenizer(vocab=vocabulary(), do_lower_case=True, model_max_length=256).save_pretrained(directory)


def grounding_dino(directory: Path, size: dict[str, int], **config: Any) -> Path:
    """A Grounding DINO that sees `size`, a preprocessor_config.json's."""
    from transformers import GroundingDinoConfig, GroundingDinoForObjectDetection

    return _saved(GroundingDinoForObjectDetection, GroundingDinoConfig(**config), directory, size)


def mm_grounding_dino(directory: Path, size: dict[str, int], **config: Any) -> Path:
    """An MM Grounding DINO, with heads of its own for each decoder layer unless `config` shares them."""
    from transformers import MMGroundingDinoConfig, MMGroundingDinoForObjectDetection

    return _saved(MMGroundingDinoForObjectDetection, MMGroundingDinoConfig(**config), directory, size)


def _saved(architecture: Any, config: Any, directory: Path, size: dict[str, int]) -> Path:
    from transformers.initialization import no_init_weights

    torch.manual_seed(4)
    with no_init_weights():
        module = architecture(config).eval()
    module.tie_weights()
    with torch.no_grad():
        for name, weight in module.named_parameters():
            _fill(name, weight)
        _spread_scores(module, scaled=config.model_type == "mm-grounding-dino")
    module.save_pretrained(directory)
    checkpoints.write_json(directory / "preprocessor_config.json", {**PROCESSOR, "size": size})
    tokenizer_files(directory)
    return directory


def _fill(name: str, weight: torch.Tensor) -> None:
    """Loud enough that pictures, prompts and queries differ, and quiet enough that few scores are 0 or 1."""
    if "norm" in name.lower():
        weight.fill_(0.0 if name.endswith("bias") else 1.0)
    elif name.endswith(("vision_param", "text_param")):
        weight.fill_(0.5)  # begins as 1e-4, and would hide whatever goes wrong between picture and text
    elif weight.dim() > 1 and ".embeddings." not in name:
        loud = 3.0 if "query_position" in name else weight[0].numel() ** -0.5  # else all queries answer alike
        weight.normal_(0, loud * (0.5 if ".decoder.layers" in name else 1.0))
    else:
        weight.normal_(0, 0.1)


def _spread_scores(module: Any, scaled: bool) -> None:
    """Let logits be about -2 ± 2; `scaled`: the model divides them by the square root of their width.

    The same bias in every channel is at right angles to whatever a layer norm gives, so it shifts all logits alike.
    """
    width = module.config.d_model
    gain, shift = (2.0, -2.0 * width**-0.5) if scaled else (2.0 * width**-0.5, -2.0 / width)
    module.model.encoder.layers[-1].text_enhancer_layer.layer_norm_after.bias.fill_(1.0)
    for norm in (module.model.decoder.layer_norm, module.model.enc_output_norm):
        norm.weight.fill_(gain)
        norm.bias.fill_(shift)
