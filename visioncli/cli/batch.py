"""classify and embed."""

from __future__ import annotations

from typing import Annotated

import typer

from visioncli.cli.given import without
from visioncli.cli.hailo_options import HailoFlags
from visioncli.cli.idle import EMBED, HAILO, JOB, READING
from visioncli.cli.options import TASK_PANEL, flag, with_flags
from visioncli.cli.run import Inputs, finish, make_job
from visioncli.cli.values import items
from visioncli.errors import UsageError


@without(*JOB, *READING, *HAILO)
@with_flags(HailoFlags)
def classify(
    ctx: typer.Context,
    inputs: Inputs = None,
    labels: Annotated[
        list[str] | None,
        flag(
            "--labels",
            "-l",
            panel=TASK_PANEL,
            metavar="A,B,C|@FILE",
            help="What the pictures may show; @FILE has one a line; repeatable.",
        ),
    ] = None,
    template: Annotated[
        list[str] | None,
        flag(
            "--template",
            panel=TASK_PANEL,
            metavar="'a photo of a {}'",
            help="How a label becomes a sentence; several are averaged. (default: {})",
        ),
    ] = None,
    scoring: Annotated[
        str,
        flag(
            "--scoring",
            panel=TASK_PANEL,
            metavar="softmax|sigmoid|cosine",
            help="softmax: one of the labels; sigmoid: each by itself; cosine: raw similarity.",
        ),
    ] = "softmax",
    top_k: Annotated[
        int | None, flag("--top-k", "-k", panel=TASK_PANEL, min=1, help="Keep the best K labels. (default: all)")
    ] = None,
    *,
    flags: HailoFlags,
) -> None:
    """Zero-shot classification: every picture against a list of labels."""
    from visioncli.tasks.classify import ClassifyOptions

    asked = items(labels or (), "--labels")
    if not asked:
        raise UsageError("--labels is needed: --labels 'cat,dog' or --labels @labels.txt")
    options = ClassifyOptions(asked, tuple(template or ("{}",)), scoring, top_k)
    finish(ctx, make_job("classify", options, inputs, flags), flags)


@without(*JOB, *HAILO, *EMBED, *READING)
@with_flags(HailoFlags)
def embed(
    ctx: typer.Context,
    inputs: Inputs = None,
    text: Annotated[
        list[str] | None, flag("--text", "-t", panel=TASK_PANEL, help="Embed this text in place of INPUT; repeatable.")
    ] = None,
    text_col: Annotated[
        str | None,
        flag(
            "--text-col",
            panel=TASK_PANEL,
            metavar="COLUMN",
            help="The manifest's column of texts: beside its images, or alone.",
        ),
    ] = None,
    features: Annotated[
        str,
        flag(
            "--features",
            panel=TASK_PANEL,
            metavar="pooled|tokens",
            help="One vector a picture, or the model's last hidden state: class token, registers, patches.",
        ),
    ] = "pooled",
    no_normalize: Annotated[
        bool, flag("--no-normalize", panel=TASK_PANEL, help="Keep the vectors' lengths, which are made 1 otherwise.")
    ] = False,
    store: Annotated[
        str,
        flag(
            "--store",
            panel=TASK_PANEL,
            metavar="float32|float16|npz",
            help="Numbers that vectors are stored in; npz: a file per picture (tokens).",
        ),
    ] = "float32",
    *,
    flags: HailoFlags,
) -> None:
    """Embeddings of pictures, of texts, or of both."""
    from visioncli.tasks.embed import EmbedOptions

    if text and text_col:
        raise UsageError("--text and --text-col exclude each other")
    column = "text" if text else text_col
    options = EmbedOptions(not no_normalize, image=not text, text_column=column, store=store, features=features)
    finish(ctx, make_job("embed", options, inputs, flags, tuple(text or ()), text_col), flags)
