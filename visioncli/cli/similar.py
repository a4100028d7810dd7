"""similar: pictures scored against texts, an index searched, or its near-duplicates found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from visioncli.cli.hailo_options import HailoFlags, hailo_of
from visioncli.cli.options import TASK_PANEL, flag, with_flags
from visioncli.cli.run import Inputs, fetch_options, finish, make_job
from visioncli.cli.values import items
from visioncli.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from visioncli.search.store import Store

_INDEX = "Search an index"
_DUPLICATES = "Near-duplicates of an index"
_OF_INDEX = "image row minus min_score pairs groups approx with_embedding no_sidecar".split()  # noqa: SIM905
_ALWAYS = frozenset("index output overwrite quiet verbose".split())  # noqa: SIM905
_OF_SEARCH = _ALWAYS | frozenset(
    "text texts image row minus k min_score approx with_embedding no_sidecar model revision device dtype offline "  # noqa: SIM905
    "timeout retries header ca_cert guard max_bytes hef text_hef text_embeddings device_timeout_ms".split()
)
_OF_DUPLICATES = _ALWAYS | frozenset("pairs groups min_score no_sidecar device".split())  # noqa: SIM905
_NEIGHBOURS = 10


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
        _refuse(ctx, lambda name: name in _OF_INDEX, "needs --index")
        _score(ctx, inputs, wanted, k, flags)
        return
    if inputs:
        raise UsageError("--index takes the place of INPUT; give one or the other")
    if pairs or groups:
        _refuse(ctx, lambda name: name not in _OF_DUPLICATES, f"does not go with {'--pairs' if pairs else '--groups'}")
        _duplicates(index, pairs, groups, min_score, no_sidecar, flags)
        return
    _refuse(ctx, lambda name: name not in _OF_SEARCH, "does not go with a search in --index")
    given = (wanted, image or (), row or (), minus or ())
    _search(index, given, k or _NEIGHBOURS, min_score, approx, with_embedding, no_sidecar, flags)


def _refuse(ctx: typer.Context, out_of_place: Any, why: str) -> None:
    """No flag is accepted and ignored."""
    for parameter in ctx.command.params:
        source = ctx.get_parameter_source(parameter.name or "")
        if source is not None and source.name == "COMMANDLINE" and out_of_place(parameter.name):
            raise UsageError(f"{parameter.opts[0]} {why}")


def _score(
    ctx: typer.Context, inputs: list[str] | None, texts: tuple[str, ...], k: int | None, flags: HailoFlags
) -> None:
    from visioncli.tasks.classify import ClassifyOptions

    if not texts:
        raise UsageError("--text is needed: --text 'red shoe', --texts @texts.txt; or --index to look in")
    finish(ctx, make_job("classify", ClassifyOptions(texts, ("{}",), "cosine", k), inputs, flags), flags)


def _search(
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

    answers = Answers.to(flags.output, flags.overwrite)
    asked = sums(*given)
    if not asked:
        raise UsageError("say what to look for: --text, --image or --row; or --pairs or --groups for near-duplicates")
    refuse_impossible(-1 if min_score is None else min_score)
    index, store = _opened(path, no_sidecar, flags)

    from visioncli.search.embedding import ModelRequest
    from visioncli.search.looking import search

    hailo = hailo_of(flags, "similar")
    request = (
        ModelRequest(
            flags.model, flags.revision, flags.device, flags.dtype.value, flags.offline, hailo, fetch_options(flags)
        )
        if any(term.kind != "row" for one in asked for term, _ in one.terms)
        else None
    )
    graph = _graph(store) if approx else None
    least = -1 if min_score is None else min_score
    table = search(index, store, asked, k, least, request, graph, with_embedding)
    answers.give(table, {"index": path, "queries": [one.name for one in asked], "k": k, "min_score": min_score})


def _graph(store: Store) -> Any:
    import logging

    from visioncli.search.approx import SAMPLED, graph_of

    graph = graph_of(store)
    logging.getLogger("visioncli").info(
        "--approx: recall@10 %.3f against exact search, on %d sampled rows", graph.recall, min(SAMPLED, store.rows)
    )
    return graph


def _duplicates(
    path: str, pairs: bool, groups: bool, min_score: float | None, no_sidecar: bool, flags: HailoFlags
) -> None:
    from visioncli.cli.hits import Answers
    from visioncli.search.cosines import refuse_impossible

    if pairs and groups:
        raise UsageError("--pairs and --groups are two tables; ask for one")
    if min_score is None:
        raise UsageError(f"{'--pairs' if pairs else '--groups'} needs --min-score: 0.95, say")
    refuse_impossible(min_score)
    answers = Answers.to(flags.output, flags.overwrite)
    _, store = _opened(path, no_sidecar, flags)

    from visioncli.search.looking import group_table, pair_table

    device = "cpu" if flags.device == "auto" else flags.device
    table: pa.Table = (pair_table if pairs else group_table)(store, min_score, device)
    answers.give(table, {"index": path, "min_score": min_score})


def _opened(path: str, no_sidecar: bool, flags: HailoFlags) -> tuple[Any, Store]:
    from visioncli.cli.sentences import set_up
    from visioncli.search.index import Index
    from visioncli.search.sidecar import open_store

    set_up(flags.quiet, flags.verbose)
    index = Index(path)
    return index, open_store(index, use_sidecar=not no_sidecar)
