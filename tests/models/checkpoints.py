"""Checkpoints in the hub's layout, with random weights and small tokenizers: what a parity test loads on both sides.

The weights are loud, so that different pictures get different vectors: as initialised, they all get nearly the same.
"""

from __future__ import annotations

import json
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from visioncli.provenance import Checkpoint

TEXTS = (
    "cat", "dog", "a photo of a red car", "Two Black CATS, sitting on a mat!", "don't", "  many   blanks\tand\nlines ",
    "", "naïve café ÄÖÜ", "猫と犬", "🙂 smile", "e-mail: a.b@c.org (50%)", "word " * 200, "x", "a_b|c", "İstanbul ΣΑΣ",
)  # fmt: skip
CORPUS = [text.lower() for text in TEXTS[:5]] + [
    "the quick brown fox jumps over the lazy dog", "a photo of a cat on a mat", "a photo of two dogs in the park",
    "red green blue yellow black white colours of cars and houses", "many words make many pieces of a vocabulary",
    "street tree house river mountain sea boat ship plane train bicycle", "bread apple orange banana cake soup",
]  # fmt: skip


def of(directory: Path) -> Checkpoint:
    return Checkpoint(directory.name, directory, "files:test")


def write_json(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def pictures() -> list[NDArray[np.uint8]]:
    """Sixteen: (H, W, 3) of many sizes, each with its own colours, large shapes and noise."""
    rng = np.random.default_rng(7)
    sizes = [(1, 1), (2, 300), (37, 91), (64, 64), (224, 224), (225, 223), (500, 333), (480, 640)]
    return [_picture(rng, sizes[i % 8][:: 1 if i < 8 else -1], i) for i in range(16)]


def _picture(rng: np.random.Generator, size: tuple[int, int], seed: int) -> NDArray[np.uint8]:
    from PIL import Image

    coarse = rng.integers(0, 256, (2 + seed % 5, 2 + seed % 3, 3), dtype=np.uint8)
    shapes = Image.fromarray(coarse).resize(size[::-1], Image.Resampling.NEAREST)
    noise = rng.integers(-40, 40, (*size, 3))
    return np.clip(np.asarray(shapes).astype(int) + noise, 0, 255).astype(np.uint8)


def random(architecture: Any, config: Any, logit_scale: float) -> Any:
    """A module with weights that give different pictures and texts different vectors; quicker than its own start."""
    from transformers.initialization import no_init_weights

    with no_init_weights():
        module = architecture(config)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            _fill(name, weight)
        module.logit_scale.fill_(logit_scale)
    return module


def _fill(name: str, weight: torch.Tensor) -> None:
    if "norm" in name or "layrnorm" in name:
        weight.fill_(0 if name.endswith("bias") else 1)
    elif weight.dim() > 1 and "embed" not in name:
        weight.normal_(0, 1.5 * weight[0].numel() ** -0.5)
    else:
        weight.normal_(0, 0.02)


def siglip(directory: Path, image_size: int = 224, **small: Any) -> Path:
    """A SigLIP B/16 with a SentencePiece model as its only tokenizer; `small` shrinks both towers."""
    from transformers import SiglipConfig, SiglipImageProcessorPil, SiglipModel

    torch.manual_seed(image_size)
    vision, text = {"image_size": image_size, **small}, {"bos_token_id": None, "eos_token_id": 1, **small}
    model = random(SiglipModel, SiglipConfig(vision_config=vision, text_config=text), log(100))
    model.logit_bias.data.fill_(-10)
    model.save_pretrained(directory)
    SiglipImageProcessorPil(size={"height": image_size, "width": image_size}).save_pretrained(directory)
    sentencepiece(directory / "spiece.model")
    marks = {"eos_token": "</s>", "pad_token": "</s>", "unk_token": "<unk>", "model_max_length": 64}
    write_json(directory / "tokenizer_config.json", {"tokenizer_class": "SiglipTokenizer", **marks})
    return directory


def clip(directory: Path, **small: Any) -> Path:
    """A CLIP B/32 with tokenizer.json, vocab.json and merges.txt."""
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    torch.manual_seed(32)
    model = random(CLIPModel, CLIPConfig(vision_config={**small}, text_config={**small}), log(100))
    model.save_pretrained(directory)
    CLIPImageProcessorPil().save_pretrained(directory)
    clip_tokenizer(directory)
    return directory


def sentencepiece(path: Path, **options: Any) -> None:
    """A unigram vocabulary with the marks of c4_en (pad 0, </s> 1, <unk> 2); `options` are the trainer's."""
    from sentencepiece import SentencePieceTrainer

    defaults = {"vocab_size": 120, "pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1, "hard_vocab_limit": False}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        SentencePieceTrainer.train(
            sentence_iterator=iter(CORPUS), model_writer=file, minloglevel=2, **{**defaults, **options}
        )


def gemma_tokenizer(directory: Path) -> None:
    """tokenizer.json as SigLIP 2 has it: BPE over U+2581, byte fallback, <eos> 1, <pad> 0, no cleaning of its own."""
    from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors, trainers
    from tokenizers.models import BPE

    tokenizer = Tokenizer(BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    marks = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokenizer.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=400, special_tokens=marks, show_progress=False)
    )
    tokenizer.post_processor = processors.TemplateProcessing("$A <eos>", special_tokens=[("<eos>", 1)])
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(directory / "tokenizer.json"))
    flags = {"add_bos_token": False, "add_eos_token": True, "pad_token": "<pad>", "eos_token": "<eos>"}
    write_json(directory / "tokenizer_config.json", {"tokenizer_class": "GemmaTokenizer", **flags})
    write_json(directory / "config.json", {"model_type": "siglip"})


def clip_tokenizer(directory: Path) -> None:
    from tokenizers import Tokenizer, pre_tokenizers, trainers
    from tokenizers.models import BPE
    from transformers import CLIPTokenizer

    tokenizer = Tokenizer(BPE(end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    letters = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=900, initial_alphabet=letters, end_of_word_suffix="</w>", show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    vocabulary = dict.fromkeys([*sorted(letters), *(f"{c}</w>" for c in sorted(letters)), *model["vocab"]])
    ids = {piece: i for i, piece in enumerate(vocabulary)}
    ids |= {"<|startoftext|>": 49406, "<|endoftext|>": 49407}  # where CLIPConfig expects them
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "vocab.json").write_text(json.dumps(ids))
    merges = "\n".join(" ".join(pair) for pair in model["merges"])
    (directory / "merges.txt").write_text(f"#version: 0.2\n{merges}\n")
    CLIPTokenizer(ids, [tuple(pair) for pair in model["merges"]], model_max_length=77).save_pretrained(directory)
