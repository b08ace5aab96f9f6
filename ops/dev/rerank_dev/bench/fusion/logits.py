"""The model's logits on labelled sets, from a fleet, and kept in a file between runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from rerank_ops.fusion.labelled import LabelledSet
from rerank_ops.fusion.scoring import score
from rerank_ops.fusion.sweep import ScoredQuery
from rerank_producer import AsyncRerankClient
from rerank_shared.errors import ConfigurationError
from rerank_shared.settings import Settings

#: Queries in flight: enough for each process to have one waiting.
_CONCURRENCY = 4
#: Queries after which the file is written.
_PART = 25
_DEADLINE_MS = 3_600_000


class KnownLogits:
    """Logits by set, query and document, of one model. `path` None: they are not kept."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._kept = json.loads(path.read_text(encoding="utf-8")) if path is not None and path.exists() else {}
        self._sets: dict[str, dict[str, dict[str, float]]] = self._kept.setdefault("sets", {})

    @property
    def model(self) -> str:
        """The model that they are of, with precision and length."""
        return str(self._kept.get("model", ""))

    async def complete(self, settings: Settings, labelled: LabelledSet, console: Console) -> list[ScoredQuery]:
        """Return all queries of a set with logits. Raises ConfigurationError if the kept ones are another model's."""
        known = self._sets.setdefault(labelled.name, {})
        async with AsyncRerankClient(settings) as client:
            info = await client.model_info()
            self._check(f"{info.name} ({info.precision}, {info.max_length} tokens, {str(info.digest)[:12]})")
            missing = [query for query in labelled.queries if query.id not in known]
            for start in range(0, len(missing), _PART):
                part = replace(labelled, queries=tuple(missing[start : start + _PART]))
                found = await score(
                    client,
                    part,
                    concurrency=_CONCURRENCY,
                    on_answer=lambda _: None,
                    options={"deadline_ms": _DEADLINE_MS},
                )
                known |= {query.id: dict(zip(query.documents, query.logits, strict=True)) for query in found}
                self._write()
                console.print(f"{labelled.name}: {len(known)} of {len(labelled.queries)} queries", highlight=False)
        return [
            ScoredQuery(
                id=query.id,
                documents=tuple(str(candidate.id) for candidate in query.candidates),
                logits=tuple(known[query.id][str(candidate.id)] for candidate in query.candidates),
                scores=tuple(candidate.score for candidate in query.candidates),
                order=query.order,
            )
            for query in labelled.queries
        ]

    def _check(self, model: str) -> None:
        if self._kept.setdefault("model", model) != model:
            raise ConfigurationError(f"{self._path} holds logits of {self.model}, and the fleet serves {model}")

    def _write(self) -> None:
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(json.dumps(self._kept), encoding="utf-8")
