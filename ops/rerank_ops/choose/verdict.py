"""The verdict on a choice, in sentences: what to use, what it is worth on other queries, and what to change. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from rerank_ops.choose.picking import Difference
from rerank_ops.choose.result import Choice, Option
from rerank_ops.simulate.trial import TOLERATED


def verdict(choice: Choice) -> Iterator[str]:
    """Yield sentences, the most important first."""
    if choice.picked is None or choice.confirmed is None:
        yield from _nothing_keeps_it(choice)
        return
    asked, picked, confirmed = choice.asked, choice.picked, choice.confirmed
    option = choice.option(picked.configuration)
    yield (
        f"Use {picked.configuration.name}: p95 {option.latency.p95_ms:,.0f} ms ({option.latency.origin}). On the "
        f"{confirmed.queries:,} queries that did not pick it: {asked.measure} {confirmed.figure.mean:.4f}, "
        f"{difference_text(confirmed.over_stage)} to {asked.stage}."
    )
    if confirmed.over_stage.gain.low <= 0:
        yield (
            f"It is not shown to be better than {asked.stage} alone, whose order costs nothing: judge more queries, or "
            "try other models, before you rely on it."
        )
    if confirmed.over_best is None:
        yield "Nothing was better on the half that picked, whatever its time."
    else:
        yield f"To the best regardless of time, {confirmed.best}: {difference_text(confirmed.over_best)}."
    bias = picked.bias
    yield (
        f"Selection bias: {picked.figure.mean:.4f} on the half that picked, {confirmed.figure.mean:.4f} on the other; "
        f"of {asked.stage} {picked.stage.mean:.4f} and {confirmed.stage.mean:.4f}. Over {bias.halvings} random "
        f"halvings the means are {bias.picking:.4f} and {bias.confirming:.4f}: a bias of {bias.mean:+.4f}."
    )
    yield (f"k is the caller's: send the best {picked.configuration.k} candidates of {asked.stage}, with their scores.")


def _nothing_keeps_it(choice: Choice) -> Iterator[str]:
    asked, nearest = choice.asked, choice.nearest
    latency, each = nearest.latency, nearest.configuration
    missed = f", with {latency.missed:.1%} refused or late" if latency.missed > TOLERATED else ""
    yield (
        f"Nothing keeps p95 within {asked.p95_ms:,.0f} ms on {count(asked.processes, 'process', 'processes')}. "
        f"Nearest: {each.name}, p95 {latency.p95_ms:,.0f} ms{missed}."
    )
    yield f"What would help: {'; '.join(_remedies(choice, nearest))}."


def _remedies(choice: Choice, nearest: Option) -> Iterator[str]:
    helped = [each for each in choice.front if each.processes is not None]
    if helped:
        least = min(helped, key=lambda each: each.processes or 0)
        yield f"{count(least.processes or 0, 'process', 'processes')}, with {least.configuration.name}"
    else:
        yield "more processes do not: a request of the fastest takes longer however it is split"
    if nearest.configuration.k > 1:
        yield f"a k below {nearest.configuration.k} (--k-grid)"
    yield f"fewer tokens than {nearest.configuration.max_length} (--max-length)"
    yield "a smaller model, or fewer layers of this one (`rerank-fleet export`)"


def difference_text(each: Difference) -> str:
    """Return a difference with its interval, p and counts."""
    return (
        f"{each.gain.mean:+.4f} (95 %: {each.gain.low:+.4f} to {each.gain.high:+.4f}, "
        f"p {each.p:.4f}; better {each.wins}, same {each.ties}, worse {each.losses})"
    )


def count(number: int, one: str, more: str) -> str:
    """Return a number with its noun."""
    return f"{number:,} {one if number == 1 else more}"
