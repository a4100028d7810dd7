"""The numbers of each round of SAM 3's training, in their order; what changed and why stands in `train_sam3`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sam3_towers import Asking

PLAIN = Asking()
NAMES = Asking(naming=2.0)
EVEN = Asking(naming=2.0, even=True, absolute=True)


@dataclass(frozen=True)
class Recipe:
    """The numbers of one round."""

    steps: int  # of the learning rate's rise and fall
    batch: int
    peak: float  # learning rate of what starts from nothing
    tower: float  # the vision tower's, as a share of it
    seed: int
    landscapes: int = 16_000  # of the pool, its first
    prompts: int = 3  # to each picture; 0 = the towers alone
    crowded: int = 0  # pictures of two landscapes at once beside the batch, for the towers' questions alone
    stop: int | None = None  # steps, where the round was broken off
    spread: bool = False  # the positions first
    widen: bool = False  # the tower's windows first, to the whole picture
    heads: bool = False  # go on with the thrown-away heads of the round before
    asking: Asking = PLAIN  # the towers
    drawing: float = 1.0  # weight of the masks
    warmup: int = 40  # steps
    floor: float = 1e-5
    decay: float = 0.03  # weight decay, on matrices only
    check_every: int = 250  # steps between two looks at the tune split


WIDE = Recipe(0, batch=10, crowded=14, peak=0.0, tower=1.0, seed=0, heads=True, asking=EVEN, drawing=2.0, warmup=60)
ROUNDS = (
    Recipe(1_000, batch=32, peak=2e-3, tower=0.5, seed=7, prompts=0, warmup=100),
    Recipe(1_100, batch=16, peak=1.5e-3, tower=0.3, seed=8, stop=250, warmup=100),
    Recipe(1_000, batch=16, peak=1.2e-3, tower=0.5, seed=9, stop=500, spread=True, asking=NAMES),
    Recipe(1_200, batch=8, crowded=16, peak=1.2e-3, tower=0.8, seed=10, stop=750, heads=True, asking=EVEN),
    replace(WIDE, steps=1_200, stop=500, peak=1e-3, seed=11, widen=True),
    replace(WIDE, steps=5_000, stop=1_500, peak=8e-4, seed=12, landscapes=24_000, check_every=500),
    replace(WIDE, steps=2_200, stop=1_600, peak=6e-4, seed=13, landscapes=24_000, warmup=20, check_every=400),
)
