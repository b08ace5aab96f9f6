"""The rule that resolves a name to a model. Pure: it takes the names that are served at the moment.

Most applications insist on a name, and people type a name of the server they come from. A served name is that model. So
is its last part where no other model has it (`bge-reranker-v2-m3` for `BAAI/bge-reranker-v2-m3`), since some
applications take no slash. A known name whose workers are away is that model too: no other answers for it. For any
other name the gateway's own model may answer, or the only one that is served.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import MappingProxyType

from rerank_shared.contract.messages import name_of
from rerank_shared.errors import UnknownModel
from rerank_shared.nearest import did_you_mean

#: As a pattern of its own: any name, as long as there is one model that it can mean.
ANY = "*"
_SHOWN_CHARS = 200
#: From a name that requests may use to the model's own name.
Names = Mapping[str, str]
_NONE: Names = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """The model that answers; `in_place_of` is the requested name where that is another model's, else None."""

    model: str
    in_place_of: str | None = None


@dataclass(frozen=True, slots=True)
class ModelResolver:
    """The rule; `own` is the gateway's model, and `stand_in_for` has patterns of names that it may answer for."""

    own: str
    stand_in_for: tuple[str, ...]

    def resolve(
        self, name: str | None, served: Names, routes: Collection[str] = (), away: Names = _NONE
    ) -> ResolvedModel:
        """Return the model for the name in a request; no name is the gateway's own, or the only one that is served.

        The name of a route stays, since the client chooses among its models by the query. `away` are models that were
        announced and have no live worker, beside those that have. While no worker has announced a model, the request
        itself finds out. Raises UnknownModel.
        """
        wanted = name_of(name) if name else self.own
        if wanted in routes:
            return ResolvedModel(wanted)
        if not served:
            return ResolvedModel(self.own if self._matches(wanted) or ANY in self.stand_in_for else wanted)
        meant = _meant(wanted, served, away if name else _NONE)
        if meant is not None:
            return ResolvedModel(meant)
        substitute = self._substitute(served, routes, away)
        if not name and substitute is not None:
            return ResolvedModel(substitute, in_place_of=wanted if wanted in away and substitute != wanted else None)
        if substitute is None or not (self._matches(wanted) or (ANY in self.stand_in_for and _only(served))):
            raise UnknownModel(self._refusal(wanted, served, routes, substitute))
        return ResolvedModel(substitute, in_place_of=wanted)

    def _substitute(self, served: Names, routes: Collection[str], away: Names) -> str | None:
        if self.own in served or self.own in routes:
            return self.own
        return _only(served) or (self.own if self.own in away else None)

    def _matches(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.stand_in_for if pattern != ANY)

    def _refusal(self, wanted: str, served: Names, routes: Collection[str], substitute: str | None) -> str:
        several = _only(served) is None
        none = "" if substitute is None else " or none"
        names = sorted({*served, *routes})
        hint = did_you_mean(wanted, names) or "."
        return (
            f"model: {shown(wanted)} is not served by this fleet, which serves {', '.join(names)}{hint} "
            f"Send one of these names{none}; or have RERANK_GATEWAY_STAND_IN_FOR set where the gateway runs, to names "
            f"that its own model answers for{'' if several else ', * for all'}"
        )


def _only(served: Names) -> str | None:
    """Return the one model that is served, by its own name; None where there are several."""
    models = set(served.values())
    return models.pop() if len(models) == 1 else None


def _meant(wanted: str, served: Names, away: Names) -> str | None:
    """Return the known name that is meant: the same one first, then one whose last part it is; live ones first."""
    if wanted in served or wanted in away:
        return wanted
    return _by_last_part(wanted, served) or _by_last_part(wanted, away)


def _by_last_part(wanted: str, served: Names) -> str | None:
    """Return the name of the one model whose last part is `wanted`; None where no model or several have it."""
    if "/" in wanted:
        return None
    models = {model for name, model in served.items() if _last_part(name) == wanted.casefold()}
    return models.pop() if len(models) == 1 else None


def _last_part(name: str) -> str:
    return name.rpartition("/")[2].casefold()


def shown(name: str) -> str:
    """Return a name as messages quote it; a long one is cut."""
    return repr(name if len(name) <= _SHOWN_CHARS else f"{name[:_SHOWN_CHARS]}…")
