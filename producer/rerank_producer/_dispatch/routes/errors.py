"""Errors of a request that came by a route: they name the route and the model that it led to."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager

from rerank_shared.errors import RerankError, UnknownModel
from rerank_shared.routing.route import Target


@contextmanager
def naming_route(route: str | None, version: int | None, model: str) -> Iterator[None]:
    """Let an error that leaves the block say which route led to which model; None: the request named the model."""
    try:
        yield
    except RerankError as error:
        if route is not None:
            told = f"{error.message} (route {route!r}, version {version}, sends this query to {model!r})"
            error.args = (told, *error.args[1:])
        raise


def naming(target: Target) -> AbstractContextManager[None]:
    """Let an error that leaves the block name the route to `target`, if there is one."""
    return naming_route(target.route_name, target.route_version, target.model)


@contextmanager
def naming_routes(names: Collection[str]) -> Iterator[None]:
    """Let an UnknownModel that leaves the block name the routes too, if there are any: one may have been meant."""
    try:
        yield
    except UnknownModel as error:
        if names:
            error.args = (f"{error.message}; its routes are {', '.join(sorted(names))}",)
        raise
