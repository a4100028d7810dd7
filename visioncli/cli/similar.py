"""similar: pictures scored against texts, an index searched, or its near-duplicates found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from visioncli.cli.given import announce, on_command_line, refuse, without
from visioncli.cli.hailo_options import HailoFlags, hailo_of
from visioncli.cli.idle import SIMILAR
from visioncli.cli.options import TASK_PANEL, flag, with_flags
from visioncli.cli.run import Inputs, fetch_options, finish, make_job
from visioncli.cli.values import items
from visioncli.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from visioncli.search.embedding import ModelRequest
    from visioncli.search.store import Store

_INDEX = "Search an index"
_DUPLICATES = "Near-duplicates of an index"
# Parameters by what they are about; one that is about nothing that was asked for is refused
_OF_INDEX = frozenset("image row minus min_score pairs groups approx with_embedding no_sidecar".split())  # noqa: SIM905
_ALWAYS = frozenset("index output overwrite offline quiet verbose no_sidecar min_score".split())  # noqa: SIM905
_OF_DUPLICATES = _ALWAYS | {"pairs", "groups", "device"}
_OF_ROWS = _ALWAYS | frozenset("text texts image row minus k approx with_embedding".split())  # noqa: SIM905
_OF_MODEL = frozenset("model revision device dtype hef text_hef text_embeddings device_timeout_ms".split())  # noqa: SIM905
_OF_PICTURES = frozenset("timeout retries header ca_cert guard max_bytes".split())  # noqa: SIM905
_NEIGHBOURS = 10


@without(*SIMILAR)
@with_flags(HailoFlags)
def similar(
    ctx: typer.Context,
    inputs: Inputs = None,
    text: Annotated[
        list[str] | None,
        flag("--text", "-t", panel=TASK_PANEL, help="A text to compare with, or to look for; repeatable."),
    ] = None,
    texts: Annotated[
        list[str] | None,
        flag(
            "--texts", panel=TASK_PANEL, metavar="A,B,C|@FILE", help="Several texts; @FILE has one a line; repeatable."
        ),
    ] = None,
    k: Annotated[
        int | None,
        flag("-k", "--top-k", panel=TASK_PANEL, min=1, help="Hits a query (default: 10), or texts a picture (all)."),
    ] = None,
    index: Annotated[
        str | None,
        flag(
            "--index", panel=_INDEX, metavar="FILE|DIR", help="What `visioncli embed` wrote: look there, not in INPUT."
        ),
    ] = None,
    image: Annotated[
        list[str] | None,
        flag("--image", panel=_INDEX, metavar="FILE|URL", help="A picture to look for; repeatable."),
    ] = None,
    row: Annotated[
        list[str] | None,
        flag(
            "--row", panel=_INDEX, metavar="ID", help="A row whose neighbours to look for; loads no model; repeatable."
        ),
    ] = None,
    minus: Annotated[
        list[str] | None,
        flag(
            "--minus",
            panel=_INDEX,
            metavar="TEXT",
            help="Away from this text. Each --text, --image and --row is a query of its own, but with --minus or a "
            "weight (a.jpg*0.5) all are one: their weighted sum.",
        ),
    ] = None,
    min_score: Annotated[
        float | None,
        flag("--min-score", panel=_INDEX, metavar="S", help="The least cosine of a hit or a near-duplicate, -1 to 1."),
    ] = None,
    approx: Annotated[
        bool, flag("--approx", panel=_INDEX, help="By a graph that may miss a hit, built once; its recall is told.")
    ] = False,
    with_embedding: Annotated[bool, flag("--with-embedding", panel=_INDEX, help="Hits carry their vectors.")] = False,
    no_sidecar: Annotated[
        bool,
        flag("--no-sidecar", panel=_INDEX, help="Write nothing beside the index: it is read whole at every search."),
    ] = False,
    pairs: Annotated[
        bool, flag("--pairs", panel=_DUPLICATES, help="All pairs of rows of at least --min-score, exactly.")
    ] = False,
    groups: Annotated[
        bool, flag("--groups", panel=_DUPLICATES, help="Rows that such pairs join, directly or through others.")
    ] = False,
    *,
    flags: HailoFlags,
) -> None:
    """Pictures against texts, nearest neighbours in an index, or its near-duplicates."""
    wanted = (*(text or ()), *items(texts or (), "--texts"))
    if index is None:
        refuse(ctx, _OF_INDEX.__contains__, "needs --index")
        _score(ctx, inputs, wanted, k, flags)
        return
    if inputs:
        raise UsageError("--index takes the place of INPUT; give one or the other")
    if on_command_line(ctx, "overwrite") and flags.output in (None, "-"):
        raise UsageError("--overwrite needs -o FILE")
    if pairs or groups:
        _duplicates(ctx, index, pairs, groups, min_score, no_sidecar, flags)
        return
    given = (wanted, image or (), row or (), minus or ())
    _search(ctx, index, given, k or _NEIGHBOURS, min_score, approx, with_embedding, no_sidecar, flags)


def _score(
    ctx: typer.Context, inputs: list[str] | None, texts: tuple[str, ...], k: int | None, flags: HailoFlags
) -> None:
    from visioncli.tasks.classify import ClassifyOptions

    if not texts:
        raise UsageError("--text is needed: --text 'red shoe', --texts @texts.txt; or --index to look in")
    job = make_job("classify", ClassifyOptions(texts, ("{}",), "cosine", k), inputs, flags)
    finish(ctx, job, flags, stray=_OF_INDEX.__contains__)


def _search(
    ctx: typer.Context,
    path: str,
    given: tuple[Any, Any, Any, Any],
    k: int,
    min_score: float | None,
    approx: bool,
    with_embedding: bool,
    no_sidecar: bool,
    flags: HailoFlags,
) -> None:
    from visioncli.cli.hits import Answers
    from visioncli.search.cosines import refuse_impossible
    from visioncli.search.query import sums

    known = _OF_ROWS | _OF_MODEL | _OF_PICTURES
    refuse(ctx, lambda name: name not in known, "does not go with a search in --index")
    answers = Answers.to(flags.output, flags.overwrite)
    asked = sums(*given)
    if not asked:
        raise UsageError("say what to look for: --text, --image or --row; or --pairs or --groups for near-duplicates")
    refuse_impossible(-1 if min_score is None else min_score)
    kinds = {term.kind for one in asked for term, _ in one.terms}
    used = _used(ctx, kinds)
    refuse(ctx, lambda name: name not in used, _useless(kinds))
    index, store = _opened(ctx, path, no_sidecar, flags, used)

    from visioncli.search.looking import search

    request = _model(ctx, flags) if kinds != {"row"} else None
    graph = _graph(store) if approx else None
    least = -1 if min_score is None else min_score
    table = search(index, store, asked, k, least, request, graph, with_embedding)
    said = {"index": path, "queries": [one.name for one in asked], "k": k, "min_score": min_score}
    answers.give(table, said, store.facts)


def _used(ctx: typer.Context, kinds: set[str]) -> frozenset[str]:
    """What a search for texts, pictures or rows is made from; not of an exported model, as the index names its own."""
    if kinds == {"row"}:
        return _OF_ROWS
    exported = {name for name in ("model", "revision") if not on_command_line(ctx, name)}
    return (_OF_ROWS | _OF_MODEL | (_OF_PICTURES if "image" in kinds else frozenset())) - exported


def _useless(kinds: set[str]) -> str:
    if kinds == {"row"}:
        return "has no use here: --row alone loads no model"
    return "has no use here: without --image no file is read"


def _model(ctx: typer.Context, flags: HailoFlags) -> ModelRequest:
    from visioncli.search.embedding import ModelRequest

    model, revision = (
        value if on_command_line(ctx, name) else None
        for name, value in (("model", flags.model), ("revision", flags.revision))
    )
    return ModelRequest(
        model,
        revision,
        flags.device,
        flags.dtype.value,
        flags.offline,
        hailo_of(flags, "similar"),
        fetch_options(flags),
    )


def _graph(store: Store) -> Any:
    import logging

    from visioncli.search.approx import SAMPLED, graph_of

    graph = graph_of(store)
    logging.getLogger("visioncli").info(
        "--approx: recall@10 %.3f against exact search, on %d sampled rows", graph.recall, min(SAMPLED, store.rows)
    )
    return graph


def _duplicates(
    ctx: typer.Context,
    path: str,
    pairs: bool,
    groups: bool,
    min_score: float | None,
    no_sidecar: bool,
    flags: HailoFlags,
) -> None:
    from visioncli.cli.hits import Answers
    from visioncli.search.cosines import refuse_impossible

    refuse(ctx, lambda name: name not in _OF_DUPLICATES, f"does not go with {'--pairs' if pairs else '--groups'}")
    if pairs and groups:
        raise UsageError("--pairs and --groups are two tables; ask for one")
    if min_score is None:
        raise UsageError(f"{'--pairs' if pairs else '--groups'} needs --min-score: 0.95, say")
    refuse_impossible(min_score)
    answers = Answers.to(flags.output, flags.overwrite)
    _, store = _opened(ctx, path, no_sidecar, flags, _OF_DUPLICATES)

    from visioncli.search.looking import group_table, pair_table

    device = "cpu" if flags.device == "auto" else flags.device
    table: pa.Table = (pair_table if pairs else group_table)(store, min_score, device)
    answers.give(table, {"index": path, "min_score": min_score}, store.facts)


def _opened(
    ctx: typer.Context, path: str, no_sidecar: bool, flags: HailoFlags, used: frozenset[str]
) -> tuple[Any, Store]:
    from visioncli.cli.sentences import set_up
    from visioncli.search.index import Index
    from visioncli.search.sidecar import open_store

    set_up(flags.quiet, flags.verbose)
    announce(ctx, lambda name: name not in used)
    index = Index(path)
    return index, open_store(index, use_sidecar=not no_sidecar)
