"""How far the scores of two models lie apart, on a sample of queries that both score through the fleet, in class bulk.

A score depends on its pair and its model alone, so one measurement holds for the whole rollout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field, ValidationError

from rerank_producer import RerankClient
from rerank_shared.drift.correlation import spearman
from rerank_shared.errors import ConfigurationError
from rerank_shared.routing.rollout_plan import Drift

Scores = npt.NDArray[np.float64]
#: Bulk work goes last, and a sample is in no hurry.
_DEADLINE_MS = 600_000.0


class Sampled(BaseModel):
    """A line of the sample; fields beside these are ignored."""

    query: Annotated[str, Field(min_length=1)]
    documents: Annotated[list[str], Field(min_length=2, max_length=1_000)]


def read_sample(path: Path) -> list[Sampled]:
    """Return the queries of a file, one JSON object a line. Raises ConfigurationError that names the line."""
    found = []
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} can't be read: {error}") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            found.append(Sampled.model_validate_json(line))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "line"
            raise ConfigurationError(f"{path}, line {number}: {where}: {first['msg']}") from None
    if not found:
        raise ConfigurationError(f"{path} has no query")
    return found


def measure(
    client: RerankClient, sample: Iterable[Sampled], old: str, new: str, after_query: Callable[[], None]
) -> Drift:
    """Score a sample with both models and return their drift. Raises what RerankClient.rerank raises."""
    pairs = []
    for each in sample:
        pairs.append((_scores(client, each, old), _scores(client, each, new)))
        after_query()
    return drift_of(pairs)


def drift_of(pairs: Sequence[tuple[Scores, Scores]]) -> Drift:
    """Return the drift between the scores of two models, one pair of lists a query; there is one at least."""
    differences = np.abs(np.concatenate([one - other for one, other in pairs]))
    return Drift(
        queries=len(pairs),
        pairs=len(differences),
        mean=float(differences.mean()),
        p99=float(np.quantile(differences, 0.99)),
        spearman=float(np.mean([spearman(one.tolist(), other.tolist()) for one, other in pairs])),
    )


def _scores(client: RerankClient, sampled: Sampled, model: str) -> Scores:
    response = client.rerank(
        sampled.query,
        sampled.documents,
        model=model,
        job_class="bulk",
        deadline_ms=_DEADLINE_MS,
        fusion="none",
        partial=False,
    )
    ordered = sorted(response.results, key=lambda result: result.index)
    return np.array([result.relevance_score for result in ordered], dtype=np.float64)
