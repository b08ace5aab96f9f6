"""Shadows that are the model that they are held against: an alias of it, or another export with the same scores."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from rerank_shared.routing.route import Route

#: The pools that requests for a model's name meet; none where nobody has announced it.
PoolsByModel = Mapping[str, Collection[str]]


def own_shadows(route: Route, pools: PoolsByModel) -> Iterator[str]:
    """Yield a sentence on each shadow that a model of the same pool answers for.

    One that has the very name of the model is left out of its requests, so it is none.
    """
    if route.stages:
        return
    for shadow in route.shadow:
        for live in route.answering:
            if live != shadow.model and {*pools.get(live, ())} & {*pools.get(shadow.model, ())}:
                yield f"the shadow {shadow.model} is {live} by another name, so {live} is compared with itself"


def shadowed_models(routes: Iterable[Route]) -> list[str]:
    """Return the models of routes that have a shadow."""
    return sorted({model for route in routes if route.shadow for model in route.models})
