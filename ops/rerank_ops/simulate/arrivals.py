"""Arrivals: draws the times of requests (Poisson or bursts), or reads recorded requests from a file.

A file of recorded requests has a JSON object a line, in any order:
    at_s         seconds since any moment; required
    k            pairs; or give `tokens` as a list
    tokens       tokens of each pair as a list, or their mean as a number (default: the mix's mean)
    class        interactive or bulk (default interactive)
    tenant       default none
    deadline_ms  default: the mix's deadline of that class
    query        any value; requests with equal values have the same pairs (default: no other request has them)
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rerank_ops.simulate.model.workload import Mix, Request, lengths, slowness
from rerank_shared.errors import InvalidRequest
from rerank_shared.keys import JobClass
from rerank_shared.nearest import did_you_mean

#: Mean seconds of the calm between two bursts, and of a burst.
_CALM_S, _BURST_S = 4.0, 1.0


class Recorded(BaseModel):
    """One line of a file of recorded requests."""

    model_config = ConfigDict(extra="forbid")

    at_s: float = Field(allow_inf_nan=False)
    k: int | None = Field(None, ge=1)
    tokens: list[int] | Annotated[float, Field(allow_inf_nan=False)] | None = None
    job_class: JobClass = Field("interactive", alias="class")
    tenant: str = ""
    deadline_ms: float | None = Field(None, gt=0, allow_inf_nan=False)
    query: Any = None


def poisson(rate: float, duration_s: float, seed: int) -> Iterator[float]:
    """Yield the times, in seconds, of independent requests, `rate` a second on average."""
    rng, at_s = random.Random(f"{seed}:arrivals"), 0.0
    while (at_s := at_s + rng.expovariate(rate)) < duration_s:
        yield at_s


def bursts(rate: float, duration_s: float, seed: int, factor: float = 5.0) -> Iterator[float]:
    """Yield the times of requests, `rate` a second on average, with bursts `factor` times as dense as the calm."""
    rng = random.Random(f"{seed}:arrivals")
    calm_rate = rate * (_CALM_S + _BURST_S) / (_CALM_S + factor * _BURST_S)
    at_s, is_burst = 0.0, False
    while at_s < duration_s:
        ends_s = at_s + rng.expovariate(1 / (_BURST_S if is_burst else _CALM_S))
        while (at_s := at_s + rng.expovariate(calm_rate * (factor if is_burst else 1.0))) < min(ends_s, duration_s):
            yield at_s
        at_s, is_burst = ends_s, not is_burst


def recorded(path: Path, mix: Mix, seed: int) -> list[Request]:
    """Return the requests of a file, the first at 0; missing values are drawn from the mix.

    Raises InvalidRequest, which names the line.
    """
    rows = [(number, line) for number, line in enumerate(path.read_text("utf-8").splitlines(), 1) if line.strip()]
    if not rows:
        raise InvalidRequest(f"{path}: no requests in it")
    lines = sorted((_parse(path, number, line) for number, line in rows), key=lambda line: line.at_s)
    pairs_rng, noise_rng = (random.Random(f"{seed}:{name}") for name in ("pairs", "noise"))
    asked: dict[str, int] = {}
    requests = []
    for line in lines:
        usual_s = mix.bulk_deadline_s if line.job_class == "bulk" else mix.deadline_s
        query = None if line.query is None else asked.setdefault(json.dumps(line.query, sort_keys=True), len(asked))
        requests.append(
            Request(
                at_s=line.at_s - lines[0].at_s,
                tokens=_tokens(line, mix, pairs_rng),
                deadline_s=usual_s if line.deadline_ms is None else line.deadline_ms / 1000,
                job_class=line.job_class,
                tenant=line.tenant,
                partial=mix.partial,
                slowness=slowness(noise_rng, mix.noise),
                query=query,
            )
        )
    return requests


def _parse(path: Path, number: int, text: str) -> Recorded:
    try:
        line = Recorded.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where, said = ".".join(map(str, first["loc"])) or "line", first["msg"]
        if first["type"] == "extra_forbidden":
            known = [field.alias or name for name, field in Recorded.model_fields.items()]
            said = f"no such field{did_you_mean(where, known)}"
        raise InvalidRequest(f"{path}, line {number}: {where}: {said}") from None
    counts = line.tokens if isinstance(line.tokens, list) else [1.0 if line.tokens is None else line.tokens]
    if not counts or min(counts) < 1:
        raise InvalidRequest(f"{path}, line {number}: tokens: at least one pair, and no pair below one token, expected")
    if not isinstance(line.tokens, list) and line.k is None:
        raise InvalidRequest(f"{path}, line {number}: give k, or tokens as a list with a number for each pair")
    return line


def _tokens(line: Recorded, mix: Mix, rng: random.Random) -> tuple[int, ...]:
    if isinstance(line.tokens, list):
        return tuple(min(mix.max_tokens, count) for count in line.tokens)
    return lengths(rng, line.k or 1, line.tokens or mix.mean_tokens, mix.spread, mix.max_tokens)
