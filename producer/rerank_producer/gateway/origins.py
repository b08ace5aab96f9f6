"""Pages of other sites, whose visitors' browsers reach a gateway that they themselves can't.

CORS keeps them from reading answers, not from asking: a form or a plain-text request needs no permission. A key would
keep them out; where there are none, the browser's own word does, which no script can change.
"""

from __future__ import annotations

from collections.abc import Collection

from starlette.datastructures import Headers

from rerank_producer.gateway.ask import Problem
from rerank_producer.gateway.refused import Refused

_OTHERS = ("cross-site", "same-site")


def refuse_other_sites(headers: Headers, allowed: Collection[str]) -> None:
    """Raise Refused (403) for a request that a browser made for a page of another origin, unless that is `allowed`."""
    if headers.get("sec-fetch-site") not in _OTHERS or "*" in allowed or headers.get("origin") in allowed:
        return
    message = "a page of another origin asks; RERANK_GATEWAY_CORS_ORIGINS names those that may"
    raise Refused(Problem(403, "forbidden", message))
