"""A response as a table for people: rank, score, how far a document moved, and the head of its text."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from rerank_shared.contract.schemas import Document, RerankResponse, Result

#: Below this a score in four decimals would be all zeros.
_SMALLEST_FIXED = 0.00005
#: More than any terminal is wide.
_TEXT_CHARS = 1_000


def ranking_table(response: RerankResponse, documents: Sequence[Document]) -> Table:
    """Return the results, best first, with the text of the documents that they rank."""
    with_ids = any(result.id for result in response.results)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    # Columns that may wrap are the ones that shrink where the terminal is narrow; here that is the last but one.
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("moved", no_wrap=True)
    if with_ids:
        table.add_column("id", overflow="ellipsis", no_wrap=True, max_width=24)
    table.add_column("document")
    table.add_column("", no_wrap=True)
    for rank, result in enumerate(response.results):
        text = one_line(_shown(documents[result.index]))
        cells = [Text(str(rank + 1)), Text(score_text(result)), moved(result.index, rank)]
        cells += [Text(one_line(result.id or ""))] if with_ids else []
        cells += [Text(text, no_wrap=True, overflow="ellipsis"), Text(" ".join(marks(result)), style="dim")]
        table.add_row(*cells)
    return table


def summary(response: RerankResponse) -> str:
    """Return one line on what was done, by which model, and how long it took."""
    usage, timings = response.usage, response.timings
    parts = [f"{usage.pairs_run} scored"]
    if usage.pairs_cached:
        parts.append(f"{usage.pairs_cached} cached")
    if unscored := sum(not result.scored for result in response.results):
        parts.append(f"{unscored} unscored")
    return f"{', '.join(parts)} in {timings.total_ms:.0f} ms by {response.model.name}"


def score_text(result: Result) -> str:
    """Return a score in four decimals, a tiny one as a power of ten."""
    score = result.relevance_score
    if score is None:
        return "-"
    return f"{score:.4f}" if score == 0 or abs(score) >= _SMALLEST_FIXED else f"{score:.0e}"


def moved(index: int, rank: int) -> Text:
    """Return how many places a document went up or down from its place in the first stage."""
    if index == rank:
        return Text("=", style="dim")
    return Text(f"↑{index - rank}", style="green") if index > rank else Text(f"↓{rank - index}", style="red")


def marks(result: Result) -> list[str]:
    """Return what else is to be known of a result."""
    marked = {"unscored": not result.scored, "cached": result.cached, "truncated": result.truncated}
    return [name for name, holds in marked.items() if holds]


def _shown(document: Document) -> str:
    return document.text if document.text is not None else f"({len(document.token_ids or ())} token ids)"


def one_line(text: str) -> str:
    """Return a text's head on one line, without anything that a terminal would obey."""
    head = " ".join(text[:_TEXT_CHARS].split())
    return "".join(character if character.isprintable() else "�" for character in head)
