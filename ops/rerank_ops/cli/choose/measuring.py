"""Measures each model on a fleet: its scores at each length, then its times; what was saved is read instead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rerank_ops.choose.choosing import Scored
from rerank_ops.choose.configurations import lengths_of, timed_ks
from rerank_ops.choose.latency import Times
from rerank_ops.choose.measuring.lengths import cut_share, refuse_other, scores_at
from rerank_ops.choose.measuring.saved import save_times, saved_times
from rerank_ops.choose.measuring.timing import Timed, timed
from rerank_ops.choose.result import Measured
from rerank_ops.cli.bar import progress
from rerank_ops.cli.console import err
from rerank_ops.cli.evaluate.fleets import Reached, fleet_of
from rerank_ops.cli.evaluate.models import row_names
from rerank_ops.evaluate.dataset import Source
from rerank_ops.evaluate.prepared import Prepared
from rerank_ops.evaluate.saved import fingerprint_of, save_scores, saved_scores
from rerank_ops.evaluate.scoring import ModelScores, caller_host
from rerank_ops.quality.collection import drawn
from rerank_ops.signals import run_stoppable
from rerank_producer import AsyncRerankClient, RerankClient
from rerank_shared.contract.messages import name_of
from rerank_shared.contract.schemas import ModelInfo
from rerank_shared.errors import ConfigurationError, RerankError
from rerank_shared.fleet_state import FleetState, read_state
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect, outages_told
from rerank_shared.settings import Settings


@dataclass(frozen=True, slots=True)
class Measuring:
    """How models are measured: at these lengths, with these k cut from the largest, `queries` of them timed."""

    source: Source
    ready: Prepared
    lengths: tuple[int, ...]
    ks: tuple[int, ...]
    queries: int
    seed: int
    saved: Path | None
    reuse: bool
    url: str | None
    up: bool

    def measured(self, models: Sequence[str]) -> list[Scored]:
        """Return the scores and times of models by name or directory.

        Nothing is scored before each of several models has answered once. Raises as the client and `fleet_of` do, and
        as saved scores are read.
        """
        named = dict(zip(row_names(models), models, strict=True))
        if len(named) > 1:
            for name, model in named.items():
                if self._saved_times(name, model) is None:
                    self._try(name, model)
        return [self._of(name, model) for name, model in named.items()]

    def _try(self, name: str, model: str) -> None:
        try:
            with self._fleet(model) as reached, RerankClient(reached.settings) as client:
                client.rerank("is it there", ["it is"], partial=False)
        except RerankError:
            err.print(f"{name} does not answer, so that no model was scored:", style="red")
            raise

    @contextmanager
    def _fleet(self, model: str) -> Iterator[Reached]:
        with fleet_of(model, self.url, up=self.up) as reached:
            if not reached.processes:
                raise ConfigurationError(
                    f"no worker is alive that serves {model}: start some with `rerank-fleet worker`, name a directory "
                    "with --model, or add --up where no server is named"
                )
            yield reached

    def _of(self, name: str, model: str) -> Scored:
        known = self._saved_times(name, model)
        if known is not None:
            info, times = known
            scores = [self._saved_scores(name, model, length) for length in self._lengths(info)]
            if all(scores):
                err.print(f"note: the scores and times of {name} are read from {self.saved}", style="yellow")
                return self._scored(name, model, info, [each for each in scores if each is not None], times)
        with self._fleet(model) as reached:
            return run_stoppable(self._on(reached, name, model, None if known is None else known[1]))

    async def _on(self, reached: Reached, name: str, model: str, times: Times | None) -> Scored:
        async with AsyncRerankClient(reached.settings) as client:
            info = await client.model_info()
            scores: list[ModelScores] = []
            for length in self._lengths(info):
                scores.append(await self._at(client, name, model, length, scores[-1] if scores else None))
            if times is None:
                times = await self._times(client, reached, scores, info)
                if self.saved is not None:
                    save_times(self.saved, name, info, times, self._fingerprint(model, None))
        return self._scored(name, model, info, scores, times)

    async def _at(
        self, client: AsyncRerankClient, name: str, model: str, length: int, shorter: ModelScores | None
    ) -> ModelScores:
        if (found := self._saved_scores(name, model, length)) is not None:
            if shorter is not None:
                refuse_other(found, shorter)
            return found
        with progress(len(self.ready.labelled.queries)) as advance:
            found = await scores_at(client, _row(name, length), self.ready.candidates, length, shorter, advance)
        if self.saved is not None:
            save_scores(self.saved, found, self._fingerprint(model, length))
        return found

    async def _times(
        self, client: AsyncRerankClient, reached: Reached, scores: Sequence[ModelScores], info: ModelInfo
    ) -> Times:
        lengths = self._lengths(info)
        cells = [(length, k) for length in lengths for k in timed_ks(self.ks)]
        known = {
            length: {query.id: query for query in each.queries} for length, each in zip(lengths, scores, strict=True)
        }
        chosen = set(drawn((q.id for q in self.ready.candidates.queries if q.candidates), self.queries))
        queries = [query for query in self.ready.candidates.queries if query.id in chosen]
        if not queries:
            raise ConfigurationError(f"{self.ready.stage.name} finds no document for any query: there is no choice")
        with progress(len(queries) * len(cells)) as advance, _state_reader(reached.settings) as state:
            found = await timed(
                client, queries, cells, known, is_busy=lambda: _is_busy(state()), tell=advance, seed=self.seed
            )
            return _times_of(found, state(), reached)

    def _scored(self, name: str, model: str, info: ModelInfo, scores: Sequence[ModelScores], times: Times) -> Scored:
        lengths = self._lengths(info)
        by_length = {length: each.queries for length, each in zip(lengths, scores, strict=True)}
        measured = Measured(
            name=name,
            source=model,
            info=info,
            lengths=lengths,
            pairs=sum(len(query.documents) for queries in by_length.values() for query in queries),
            scored=sum(each.pairs for each in scores),
            cached=sum(each.cached for each in scores),
            truncated={length: cut_share(queries) for length, queries in by_length.items()},
            times=times,
        )
        return Scored(measured, by_length)

    def _lengths(self, info: ModelInfo) -> tuple[int, ...]:
        return lengths_of(self.lengths, info.max_length or max(self.lengths))

    def _saved_scores(self, name: str, model: str, length: int) -> ModelScores | None:
        if self.saved is None or not self.reuse:
            return None
        return saved_scores(self.saved, _row(name, length), self._fingerprint(model, length))

    def _saved_times(self, name: str, model: str) -> tuple[ModelInfo, Times] | None:
        if self.saved is None or not self.reuse:
            return None
        return saved_times(self.saved, name, self._fingerprint(model, None))

    def _fingerprint(self, model: str, length: int | None) -> Mapping[str, Any]:
        """Return what scores of a length depend on, or with None what times do."""
        ready = self.ready
        told = fingerprint_of(
            self.source.identity(),
            ready.labelled,
            ready.stage,
            model=model,
            max_length=length,
            timed=0 if length else self.queries,
        )
        return told if length else {**told, "--max-length": list(self.lengths), "--k-grid": list(timed_ks(self.ks))}


def _row(name: str, length: int) -> str:
    return f"{name}, {length} tokens"


@contextmanager
def _state_reader(settings: Settings) -> Iterator[Any]:
    """Yield what reads the state of a fleet."""
    with connect(settings) as client, outages_told(settings, "looking for other work"):
        yield lambda: read_state(client, Keys(settings.namespace), name_of(settings.model))


def _is_busy(state: FleetState) -> bool:
    return any(backlog.jobs for backlog in state.backlog.values())


def _times_of(found: Timed, state: FleetState, reached: Reached) -> Times:
    if state.cost is None:
        raise ConfigurationError(
            f"no worker has told yet what running {name_of(reached.settings.model)} costs: repeat the command"
        )
    return Times(
        cells=found.cells,
        cost=state.cost,
        processes=reached.processes,
        host=caller_host(),
        asked=found.asked,
        busy=found.busy,
        unequal=found.unequal,
    )
