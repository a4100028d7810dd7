"""Train the demo SAM 3: 1.5 million parameters, on rendered landscapes.

Two stages. First the towers alone: every token of the picture names what it shows among all concepts, by its likeness to
the concepts' words, and says where that thing's box is; so that the second stage begins with towers that know the words.
Then the whole model with SAM 3's own questions: is it there, which queries are it, their boxes and masks.

Usage: python train_sam3.py POOL [--stage 1|2] [--start DIR] [--out DIR]      (POOL: see landscape_pool.py)
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from checkpoint import DEMO as SIGLIP
from concepts import CONCEPTS
from landscape_pool import Landscapes, load_pool
from safetensors.torch import load_file, save_file
from sam3_checkpoint import DEMO, save_checkpoint
from sam3_forward import Answers, answer, first, read_words
from sam3_losses import layer_loss, mask_loss, pair_up
from sam3_measure import measure_pool
from sam3_start import PATCH, SIDE, WIDTH, build_model, spread_positions, without_windows
from sam3_text import build_tokenizer, word_prompt
from sam3_towers import Asking, TowerQuestions
from sam3_truth import Asked, Batch, ask, crowd, join, make_batch, orders
from torch import Tensor, nn
from torch.nn import functional as F
from train_siglip import learning_rate
from transformers import PreTrainedTokenizerFast, Sam3Model

Losses = dict[str, Tensor]
TUNED = 200  # landscapes of the tune split


@dataclass(frozen=True)
class Recipe:
    """The numbers of one stage."""

    steps: int
    batch: int
    peak: float  # learning rate of what starts from nothing
    tower: float  # the vision tower's, as a share of it
    prompts: int = 0  # to each picture; 0 = the towers alone
    crowded: int = 0  # pictures of two landscapes at once beside the batch, for the towers' questions alone
    stop: int | None = None  # steps, where the course was broken off
    spread: bool = False  # the positions first
    widen: bool = False  # the tower's windows first, to the whole picture
    drawing: float = 1.0  # weight of the masks
    heads: bool = False  # go on with the thrown-away heads of the round before
    asking: Asking = Asking()  # the towers
    warmup: int = 100  # steps
    floor: float = 1e-5
    decay: float = 0.03  # weight decay, on matrices only
    seed: int = 7
    check_every: int = 250  # steps between two looks at the tune split


CALM = Asking(naming=2.0)
EVEN = Asking(naming=2.0, even=True, absolute=True)
STAGES = (
    Recipe(1_000, batch=32, peak=2e-3, tower=0.5),
    Recipe(1_100, batch=16, prompts=3, peak=1.5e-3, tower=0.3, seed=8, stop=250),
    Recipe(1_000, 16, peak=1.2e-3, tower=0.5, prompts=3, seed=9, warmup=40, stop=500, spread=True, asking=CALM),
    Recipe(
        1_200, 8, crowded=16, peak=1.2e-3, tower=0.8, prompts=3, seed=10, warmup=40, stop=750, heads=True, asking=EVEN
    ),
    Recipe(
        1_200,
        10,
        crowded=14,
        peak=1e-3,
        tower=1.0,
        prompts=3,
        seed=11,
        warmup=60,
        heads=True,
        widen=True,
        drawing=2.0,
        asking=EVEN,
    ),
)


def make_optimizer(model: Sam3Model, beside: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW with a slower vision tower; only matrices decay, reference boxes and embeddings do not."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, weight in [*model.named_parameters(), *beside.named_parameters()]:
        slow = name.startswith("vision_encoder.backbone")
        decays = weight.ndim >= 2 and "embed" not in name and "reference" not in name and "token" not in name
        groups.setdefault((slow, decays), []).append(weight)
    return torch.optim.AdamW(
        [
            {"params": weights, "weight_decay": recipe.decay * decays, "share": recipe.tower if slow else 1.0}
            for (slow, decays), weights in groups.items()
        ],
        lr=recipe.peak,
        betas=(0.9, 0.98),
    )


class WholeQuestions(nn.Module):
    """The losses of the second stage; one head beside them, thrown away, asks each token whether the prompt means it.

    The towers' questions are asked on: they teach all the concepts of a picture at once, three prompts only those.
    """

    def __init__(self, asking: Asking, drawing: float) -> None:
        super().__init__()
        self.drawing = drawing
        self.meant = nn.Linear(WIDTH, 1)
        self.towers = TowerQuestions(asking)

    def forward(self, answers: Answers, anchors: Tensor, batch: Batch, asked: Asked) -> Losses:
        """All losses of one batch; queries answer in every layer for the things they are paired with in the last."""
        count = len(asked.texts) // len(batch.images)
        boxes, covered = batch.boxes.repeat_interleave(count, 0), batch.covered[:, 1:].repeat_interleave(count, 0)
        present = asked.present
        pairs = pair_up(answers.layers[-1], anchors, boxes, asked.wanted)
        losses: Losses = {}
        for layer in answers.layers:
            for name, value in layer_loss(layer, pairs, boxes, present).items():
                losses[name] = losses.get(name, torch.zeros(())) + value / len(answers.layers)
        row = present.cumsum(0)[pairs.prompt] - 1  # of the present prompts, which alone have masks
        losses["mask"] = self.drawing * mask_loss(answers.masks[row, pairs.query], covered[pairs.prompt, pairs.thing])
        union = (covered * asked.wanted[..., None, None]).sum(1)  # (N, 32, 32)
        losses["union"] = 0.5 * mask_loss(answers.union, union[present])
        meant = F.avg_pool2d(union, union.shape[-1] // (SIDE // PATCH)).flatten(1)
        told = self.meant(F.layer_norm(answers.encoded, (WIDTH,))).squeeze(-1)
        return {**losses, "meant": 4 * F.binary_cross_entropy_with_logits(told, meant)}


@dataclass(frozen=True)
class Course:
    """What one stage moves and what it is fed."""

    model: Sam3Model
    tokenizer: PreTrainedTokenizerFast
    questions: TowerQuestions | WholeQuestions
    pool: Landscapes
    recipe: Recipe

    def losses(self, batch: Batch, crowded: Batch | None, rng: np.random.Generator) -> Losses:
        """The losses of one batch and the crowded pictures beside it."""
        shown = batch if crowded is None else join(batch, crowded)
        seen = self.model.vision_encoder(shown.images)
        every = read_words(self.model, self.tokenizer, [word_prompt(rng, concept) for concept in range(len(CONCEPTS))])
        if isinstance(self.questions, TowerQuestions):
            return self.questions(seen, every, shown)
        asked = ask(rng, batch, self.recipe.prompts)
        answers = answer(
            self.model,
            first(seen, len(batch.images)),
            read_words(self.model, self.tokenizer, asked.texts),
            asked.present,
        )
        anchors = self.model.detr_decoder.reference_points.weight.detach().sigmoid()[:, :2]
        return self.questions(answers, anchors, batch, asked) | self.questions.towers(seen, every, shown)

    def run(self) -> Iterator[int]:
        """Train, and hand over the number of steps done each `check_every` steps and at the end."""
        rng, recipe = np.random.default_rng(self.recipe.seed), self.recipe
        optimizer = make_optimizer(self.model.train(), self.questions, recipe)
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        last = recipe.stop or recipe.steps
        for step, index in zip(range(last), orders(self.pool, recipe.batch + 2 * recipe.crowded, rng), strict=False):
            batch = make_batch(self.pool, index[: recipe.batch])
            crowded = crowd(self.pool, *index[recipe.batch :].reshape(2, -1)) if recipe.crowded else None
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, recipe) * group["share"]
            losses = self.losses(batch, crowded, rng)
            optimizer.zero_grad()
            sum(losses.values()).backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            if (step + 1) % 25 == 0:
                print(step + 1, *(f"{name} {value.item():.3f}" for name, value in losses.items()), flush=True)
            if (step + 1) % recipe.check_every == 0 or step + 1 == last:
                yield step + 1


@torch.no_grad()
def check(course: Course, tune: Landscapes) -> dict[str, float]:
    """The figures of a stage on the tune split."""
    model, questions = course.model.eval(), course.questions
    towers = questions if isinstance(questions, TowerQuestions) else questions.towers
    batch, words = make_batch(tune, np.arange(TUNED), plain=True), read_words(model, course.tokenizer, list(CONCEPTS))
    figures = {"right": round(towers.right(model.vision_encoder(batch.images), words, batch), 4)}
    if questions is not towers:
        figures |= measure_pool(model, course.tokenizer, tune, TUNED)
    model.train()
    return figures


def first_model(start: Path | None, tokenizer: PreTrainedTokenizerFast) -> Sam3Model:
    """The model of the checkpoint `start`, in float32, or an untrained one."""
    if start is None:
        return build_model(len(tokenizer), tokenizer.bos_token_id, tokenizer.eos_token_id, SIGLIP)
    return Sam3Model.from_pretrained(start, local_files_only=True).float()  # not dtype=: it would be saved


def heads_of(folder: Path) -> Path:
    """Where the heads beside the model are kept between two rounds, next to the checkpoint."""
    return folder.with_name(f"{folder.name}.heads.safetensors")


def train(recipe: Recipe, pool: Path, out: Path, start: Path | None = None) -> None:
    """Train one stage and write the checkpoint to `out`, also at each check: a broken run leaves one."""
    torch.manual_seed(recipe.seed)
    began = time.monotonic()
    tokenizer = build_tokenizer()
    model = first_model(start, tokenizer)
    asking = recipe.asking
    questions = WholeQuestions(asking, recipe.drawing) if recipe.prompts else TowerQuestions(asking)
    if start and recipe.heads:
        questions.load_state_dict(load_file(heads_of(start)))
    if recipe.spread:
        spread_positions(model)
    if recipe.widen:
        model = without_windows(model)
    course = Course(model, tokenizer, questions, load_pool(pool / "train"), recipe)
    tune = load_pool(pool / "tune")
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters", flush=True)
    for step in course.run():
        save_checkpoint(model, tokenizer, out)
        save_file(questions.state_dict(), heads_of(out))
        figures = {"step": step, "seconds": round(time.monotonic() - began), **check(course, tune)}
        print(json.dumps(figures), flush=True)


def main() -> None:
    """Read the flags and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pool", type=Path)
    parser.add_argument("--stage", type=int, choices=range(1, len(STAGES) + 1), help="this stage alone")
    parser.add_argument("--start", type=Path, help="the checkpoint a single stage starts from")
    parser.add_argument("--out", type=Path, default=DEMO)
    flags = parser.parse_args()
    torch.set_num_threads(1)
    if flags.stage is not None:
        train(STAGES[flags.stage - 1], flags.pool, flags.out, flags.start)
        return
    for number, recipe in enumerate(STAGES):
        train(recipe, flags.pool, flags.out, flags.out if number else None)


if __name__ == "__main__":
    main()
