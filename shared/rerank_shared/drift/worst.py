"""The queries on which a shadow agrees least with the live model: a few for each version of a route, in Redis.

A query is kept by its digest and once for each pair of models. Its text is kept only where the settings say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from rerank_shared.contract.unreadable import read_or_none
from rerank_shared.keys import SHADOW_TTL_S
from rerank_shared.redis.scripts import Script

KEEP_WORST = Script("keep_worst.lua")
#: Queries that are kept of one version of a route.
KEPT = 50
#: Characters that are kept of a text.
MAX_TEXT_CHARS = 500


class WorstQuery(BaseModel):
    """A query, and how far the two models agreed on its documents; fields of newer releases are ignored.

    `rank` sorts queries, the worst first. `query`, `live_first` and `shadow_first`, the text and the document that each
    model puts first, are None where no text is kept, and cut where they are long.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    query_digest: str
    live: str
    shadow: str
    rank: float
    documents: int
    overlap: float
    spearman: float
    mean_difference: float
    at: float
    query: str | None = None
    live_first: str | None = None
    shadow_first: str | None = None

    @property
    def name(self) -> str:
        """What it is kept under: told again, the worse of both is kept."""
        return f"{self.query_digest}\n{self.live}\n{self.shadow}"


def worst_of(queries: Iterable[WorstQuery]) -> list[WorstQuery]:
    """Return those that are worth keeping, each name once, the worst first."""
    found: dict[str, WorstQuery] = {}
    for each in sorted(queries, key=lambda query: query.rank):
        found.setdefault(each.name, each)
    return list(found.values())[:KEPT]


def keep_call(queries: Iterable[WorstQuery]) -> list[Any]:
    """Return the arguments of `KEEP_WORST`, whose key is Keys.shadow_worst."""
    args: list[Any] = [KEPT, SHADOW_TTL_S]
    for each in queries:
        args += [each.name, f"{each.rank!r}|{each.model_dump_json(exclude_none=True)}"]
    return args


def read_worst(answer: Mapping[bytes, bytes]) -> list[WorstQuery]:
    """Return the queries of one version's hash, the worst first."""
    read = (read_or_none("worst query of a shadow", _read, data) for data in answer.values())
    return worst_of(each for each in read if each is not None)


def _read(data: bytes) -> WorstQuery:
    return WorstQuery.model_validate_json(data.partition(b"|")[2])
