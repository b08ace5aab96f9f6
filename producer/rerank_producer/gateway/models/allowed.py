"""The models and routes that an API key may use. Pure: it takes the routes and models that there are at the moment.

A key names models and routes; a key that names none may use all. What a request's name was resolved to is checked. A
model has several names, and one of them is enough. A name that two artefacts are served under needs both of them. A
route that a key may use leads to its models, whether the key names those or not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from rerank_producer.apis.common.call import Problem
from rerank_producer.apis.common.problems import Refused
from rerank_producer.gateway.auth.keyring import ApiKey
from rerank_producer.gateway.models.resolver import ResolvedModel, shown
from rerank_shared.errors import UnknownModel

CODE = "model_not_allowed"
#: From each known name to the pools that requests for it may meet; none where its announcement can't be read.
PoolsByName = Mapping[str, Collection[str]]


class NotServed(UnknownModel):
    """What the caller of a restricted key is told of a model that nobody serves, without the names of others."""


def may_use(key: ApiKey | None, name: str, routes: Collection[str], pools: PoolsByName) -> bool:
    """Whether a key may use the model or route of a resolved name; without keys all may be used."""
    if key is None or key.models is None or name in key.models:
        return True
    met = set(pools.get(name, ()))
    if name in routes or not met:
        return False
    return met <= {pool for each in key.models if each not in routes for pool in pools.get(each, ())}


def refusal(key: ApiKey, asked: str | None, resolved: ResolvedModel) -> Refused:
    """Return why a key may not use a model or route; `asked` is the name in the request, if any."""
    what = shown(resolved.model)
    if not asked:
        what += ", which answers requests that name no model"
    elif resolved.in_place_of is not None:
        what += f", which answers for {shown(asked)} here"
    message = f"model: the API key {key.name!r} may not use {what}. {_way_out(key)}"
    return Refused(Problem(403, CODE, message))


def not_served(key: ApiKey, asked: str | None) -> NotServed:
    """Return the error of a request for a name that nobody serves."""
    what = "no model was named, and several are served" if not asked else f"{shown(asked)} is not served by this fleet"
    return NotServed(f"model: {what}. {_way_out(key)}")


def told_to(key: ApiKey | None, error: UnknownModel) -> UnknownModel:
    """Return an error of the fleet as a key's caller may read it: its own message lists all models and routes."""
    if key is None or key.models is None or isinstance(error, NotServed):
        return error
    what = "a model that the request names" if error.route is None else f"what the route {shown(error.route)} leads to"
    return NotServed(f"model: {what} is not served by this fleet. {_way_out(key)}")


def _way_out(key: ApiKey) -> str:
    return (
        f"It may use {', '.join(key.models or ())}: send one of these names, or ask whoever runs this gateway for "
        "another one in `models` of the key"
    )
