"""Systems: each a name and an order of every query's documents, made from first stages and a model's logits. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rerank_ops.evaluate.cascades import Cascade, Cascaded, cascaded
from rerank_ops.evaluate.first_stages import FirstStage
from rerank_ops.evaluate.scoring import ModelScores
from rerank_ops.fusion.sweep import MODEL, ScoredQuery, Variant, deviations_of, ranking
from rerank_ops.judging.measures import perfect_order
from rerank_shared.keys import FusionMethod

#: `given` is a run of another system; `again` is the A/A row, the same model scored a second time.
Kind = Literal["first stage", "given", "model", "fused", "cascade", "again", "ceiling"]
Run = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class System:
    """An order of documents for each query, best first; it is measured over `queries`.

    `model` is the one whose time it takes; an A/A row repeats that. A cascade takes that of several: see `cascade`.
    """

    name: str
    kind: Kind
    run: Run
    queries: tuple[str, ...]
    model: str | None = None
    cascade: Cascaded | None = None


def of_stage(stage: FirstStage, queries: Sequence[str], kind: Kind = "first stage") -> System:
    """Return a first stage as a system."""
    run = {query: tuple(document for document, _ in stage.hits.get(query, ())) for query in queries}
    return System(stage.name, kind, run, tuple(queries))


def ceiling(stage: FirstStage, qrels: Mapping[str, Mapping[str, int]], k: int) -> System:
    """Return the best order of what a first stage found, which no reranking of it exceeds."""
    run = {
        query: perfect_order([document for document, _ in stage.hits.get(query, ())], judged)
        for query, judged in qrels.items()
    }
    return System(f"perfect order of {stage.name}'s {k}", "ceiling", run, tuple(run))


def systems_of(
    first: Sequence[System],
    models: Sequence[ModelScores],
    stage: str,
    method: FusionMethod,
    weights: Sequence[float],
    cascades: Sequence[Cascade] = (),
) -> tuple[System, ...]:
    """Return all systems in the order of a table: those without model, each model's, cascades, and the ceiling last."""
    with_models = [system for scores in models for system in of_model(scores, stage, method, weights)]
    with_models += [system for each in cascades for system in of_cascade(each, models, stage, method, weights)]
    below = [system for system in first if system.kind != "ceiling"]
    return (*below, *with_models, *(system for system in first if system.kind == "ceiling"))


def names_of_rows(
    first: Sequence[System], models: Sequence[str], stage: str, method: FusionMethod, weights: Sequence[float]
) -> list[str]:
    """Return the names of all systems that can be a baseline, before any model has run; `models` are cascades too."""
    fused = [] if method == "none" else [fused_name(model, stage, method, each) for model in models for each in weights]
    return [*(system.name for system in first if system.kind != "ceiling"), *models, *fused]


def of_model(scores: ModelScores, stage: str, method: FusionMethod, weights: Sequence[float]) -> Iterator[System]:
    """Yield the model's own order, one for each weight of the first stage, and the A/A row where there is one."""
    names = tuple(query.id for query in scores.queries)
    yield System(scores.name, "model", _run(scores.queries, MODEL, None), names, scores.name)
    known = deviations_of(scores.queries)
    ratio = None if known is None else known.ratio
    if method != "none":
        for weight in weights:
            run = _run(scores.queries, Variant(method, weight), ratio)
            yield System(fused_name(scores.name, stage, method, weight), "fused", run, names, scores.name)
    if scores.again is not None:
        logits = scores.again.logits
        again = [replace(query, logits=logits[query.id]) for query in scores.queries if query.id in logits]
        run = _run(again, MODEL, None)
        yield System(again_name(scores.name), "again", run, tuple(run), scores.name)


def of_cascade(
    cascade: Cascade, models: Sequence[ModelScores], stage: str, method: FusionMethod, weights: Sequence[float]
) -> Iterator[System]:
    """Yield the cascade's own order, and one for each weight of the first stage, which counts in every stage of it."""
    by_name = {scores.name: scores for scores in models}
    fused = (
        [] if method == "none" else [(fused_name(cascade.name, stage, method, w), Variant(method, w)) for w in weights]
    )
    for name, variant in [(cascade.name, MODEL), *fused]:
        run, cost = cascaded(cascade, by_name, variant)
        yield System(name, "cascade", run, tuple(run), cascade=cost)


def again_name(model: str) -> str:
    """Return what the A/A row of a model is called."""
    return f"{model}, again"


def fused_name(model: str, stage: str, method: FusionMethod, weight: float) -> str:
    """Return what the row of a fused order is called."""
    how = "" if method == "weighted" else f"{method} "
    factor = "" if weight == 1 else "∞ " if math.isinf(weight) else f"{weight:g} "
    return f"{model} + {how}{factor}{stage}"


def _run(queries: Sequence[ScoredQuery], variant: Variant, ratio: float | None) -> dict[str, tuple[str, ...]]:
    return {query.id: tuple(ranking(query, variant, ratio)) for query in queries}
