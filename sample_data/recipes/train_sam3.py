"""Train the demo SAM 3: 1.5 million parameters, on rendered landscapes, in seven rounds.

The first trains the towers alone: every token of the picture names what it shows among all concepts, by its likeness to
the concepts' words, so that the others begin with towers that know the words. Then the whole model, with SAM 3's own
questions: is it there, which queries are it, their boxes and masks. What each round changed, and why:

    2 -> 3   the boxes stood still: tiled positions tell a token its place in its window alone, so they are spread
    3 -> 4   29 of 100 things were not recognised and 31 not found: most pictures show two landscapes' things, and
             are not prompted; small things weigh more; boxes are told absolutely
    4 -> 5   a small thing across a window's edge was recognised 10 % less often than one inside: no windows any more
    5 -> 6   nothing but more landscapes and time
    6 -> 7   time was up: the learning rate falls to its end

Rounds 2 to 6 were broken off for it (`stop`). A single round needs --start, the checkpoint that it goes on with.

Usage: python train_sam3.py POOL [--round N] [--start DIR] [--out DIR]
POOL is the folder `landscape_pool.py POOL --train 32000` wrote.
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
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from sam3_checkpoint import DEMO, save_checkpoint
from sam3_forward import answer, first, read_words
from sam3_measure import measure_pool
from sam3_rounds import ROUNDS, Recipe
from sam3_start import build_model, spread_positions, without_windows
from sam3_text import build_tokenizer, word_prompt
from sam3_towers import TowerQuestions
from sam3_truth import Batch, ask, crowd, join, make_batch, orders
from sam3_whole import Losses, WholeQuestions
from torch import nn
from train_siglip import learning_rate
from transformers import PreTrainedTokenizerFast, Sam3Model

HEADS = "sam3_heads.safetensors"  # in the pool's folder, the heads beside the model for the next round
TUNED = 200  # landscapes of the tune split


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


@dataclass(frozen=True)
class Course:
    """What one round moves and what it is fed."""

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

    def orders(self, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
        """Endless index arrays, each of a step's landscapes: those of the batch, then two for each crowded picture."""
        return orders(self.recipe.landscapes, self.recipe.batch + 2 * self.recipe.crowded, rng)

    def run(self) -> Iterator[int]:
        """Train, and hand over the number of steps done each `check_every` steps and at the end."""
        rng, recipe = np.random.default_rng(self.recipe.seed), self.recipe
        optimizer = make_optimizer(self.model.train(), self.questions, recipe)
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        last = recipe.stop or recipe.steps
        for step, index in zip(range(last), self.orders(rng), strict=False):
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
    """The figures of a round on the tune split."""
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


def train(recipe: Recipe, pool: Path, out: Path, start: Path | None = None) -> None:
    """Train one round and write the checkpoint to `out`, also at each check: a broken run leaves one."""
    torch.manual_seed(recipe.seed)
    began = time.monotonic()
    tokenizer = build_tokenizer()
    model = first_model(start, tokenizer)
    asking = recipe.asking
    questions = WholeQuestions(asking, recipe.drawing) if recipe.prompts else TowerQuestions(asking)
    if recipe.heads:
        questions.load_state_dict(load_file(pool / HEADS))
    if recipe.spread:
        spread_positions(model)
    if recipe.widen:
        model = without_windows(model)
    course = Course(model, tokenizer, questions, load_pool(pool / "train"), recipe)
    tune = load_pool(pool / "tune")
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters", flush=True)
    for step in course.run():
        save_checkpoint(model, tokenizer, out)
        save_file(questions.state_dict(), pool / HEADS)
        figures = {"step": step, "seconds": round(time.monotonic() - began), **check(course, tune)}
        print(json.dumps(figures), flush=True)


def main() -> None:
    """Read the flags and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pool", type=Path)
    parser.add_argument("--round", type=int, choices=range(1, len(ROUNDS) + 1), help="this round alone")
    parser.add_argument("--start", type=Path, help="the checkpoint a single round starts from")
    parser.add_argument("--out", type=Path, default=DEMO)
    flags = parser.parse_args()
    torch.set_num_threads(1)
    if flags.round is not None:
        train(ROUNDS[flags.round - 1], flags.pool, flags.out, flags.start)
        return
    for number, recipe in enumerate(ROUNDS):
        train(recipe, flags.pool, flags.out, flags.out if number else None)


if __name__ == "__main__":
    main()
