"""The in-memory fleet as a test sees it: its models, its speed and its failures can be set, its jobs can be read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from rerank_producer._dispatch.pipeline import RequestPipeline
from rerank_producer._io.clock import Clock
from rerank_producer.aio_client import AsyncRerankClient
from rerank_producer.client import RerankClient
from rerank_producer.testing._jobs import SentJob, StoredFeedback
from rerank_producer.testing._ports import AsyncInMemoryPort, AsyncInMemoryPorts, InMemoryOutbox, InMemoryPort
from rerank_producer.testing._scoring import TOKENIZER_DIGEST, Model, ScorePair, word_overlap
from rerank_producer.testing._server import Server
from rerank_producer.testing._workers import Workers
from rerank_shared.contract.messages import name_of
from rerank_shared.errors import ConfigurationError, RerankError
from rerank_shared.keys import Keys
from rerank_shared.redis.outage import OutageKind
from rerank_shared.routing.spec import read_route
from rerank_shared.settings import PREFIX, Settings, mistakes

#: No server listens there, so that code which connects to the server of the settings fails.
_NOWHERE = "unix:///nowhere/in-memory-fleet.sock"


class InMemoryFleet:
    """A fleet in this process: its clients are real, its server and workers are not. Thread-safe.

    `score(query, document)` stands for the model and returns the logit of a pair (default: `word_overlap`). If it
    raises an exception, the caller gets ScoringFailed; a RerankError reaches the caller as it is. Documents given as
    token ids reach it as their numbers, separated by blanks.

    `workers` processes run one job at a time, and each pair takes `pair_s` seconds. With 0, the default, answers come
    at once. With more, the fleet shares the cost of a pair with clients, as a real one does: they split requests over
    idle processes, refuse requests that can't be answered in time, and hedge late jobs.

    Time passes only while a client waits: the fleet's clock then moves at once to the awaited event, or to the client's
    deadline. So a test never sleeps, and `timings` are the same in each run. At other times `advance` moves the clock.

    Settings are given as to a client, as `settings` or by name. The environment is not read. Raises ConfigurationError.
    """

    def __init__(
        self,
        score: ScorePair = word_overlap,
        *,
        workers: int = 1,
        pair_s: float = 0.0,
        settings: Settings | None = None,
        **overrides: Any,
    ) -> None:
        self.settings = _settings(settings, overrides)
        self._server = Server(Keys(self.settings.namespace))
        self._models: dict[str, Model] = {}
        self._versions = 0
        self._jobs: list[SentJob] = []
        self._feedback: list[StoredFeedback] = []
        self._workers = Workers(self._server, self.settings, self._models, pair_s)
        self._server.before = self._workers.beat
        self.serve(self.settings.model, score)
        self.workers = workers

    def client(self) -> RerankClient:
        """Return a new sync client of this fleet."""
        return RerankClient._over(
            self._pipeline(), lambda: InMemoryPort(self._server, self._workers, self._jobs.append), self._outbox
        )

    def async_client(self) -> AsyncRerankClient:
        """Return a new asyncio client of this fleet."""
        return AsyncRerankClient._over(
            self._pipeline(),
            lambda: AsyncInMemoryPorts(AsyncInMemoryPort(self._server, self._workers, self._jobs.append)),
            self._outbox,
        )

    @property
    def jobs(self) -> list[SentJob]:
        """All jobs that were sent, in order. Pairs that the cache answered are in none of them."""
        with self._server.lock:
            return list(self._jobs)

    @property
    def feedback(self) -> list[StoredFeedback]:
        """All feedback that was kept, in order."""
        with self._server.lock:
            return list(self._feedback)

    @property
    def tokenizer_digest(self) -> str:
        """The SHA-256, in hexadecimal, of the models' tokenizer, for requests with token ids."""
        return TOKENIZER_DIGEST

    @property
    def now(self) -> float:
        """The fleet's clock, epoch seconds. It starts at the same moment in each run."""
        return self._server.timeline.epoch()

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass, with all events until then."""
        with self._server.lock:
            self._server.timeline.run_until(self._server.timeline.monotonic() + seconds)

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Call `action` when so many seconds have passed, for example `go_away` while a client waits."""
        with self._server.lock:
            self._server.timeline.at(self._server.timeline.monotonic() + seconds, action)

    @property
    def workers(self) -> int:
        """The number of live worker processes; may be set. With 0, jobs wait and callers run into their deadlines.

        The jobs of processes that stop go back to the queue. Before the first worker no model is known.
        """
        return self._workers.count

    @workers.setter
    def workers(self, count: int) -> None:
        with self._server.lock:
            self._workers.resize(count)

    def serve(self, model: str, score: ScorePair) -> None:
        """Serve a model, beside others.

        A model under a name that is served already replaces that one, and shares no cached scores with it.
        """
        with self._server.lock:
            self._versions += 1
            name = name_of(model)
            self._models[name] = Model.of(name, score, self.settings, self._versions)

    def route(self, name: str, shares: Mapping[str, float], **fields: Any) -> None:
        """Make a route, or its next version: requests for `name` go to these models by their weights.

        `fields` are the others of a route: `limits`, `about` and so on. Raises ConfigurationError for a wrong route.
        """
        with self._server.lock:
            self._server.set_route(read_route(name, {"shares": dict(shares), **fields}))

    def delete_route(self, name: str) -> None:
        """Delete a route, as an operator does."""
        with self._server.lock:
            self._server.delete_route(name)

    def lose_routes(self) -> None:
        """Lose all routes, as a Redis that restarts empty does."""
        with self._server.lock:
            self._server.store.end(self._server.keys.routes)

    def be_late(self, seconds: float) -> None:
        """Let each job taken from now on run so many seconds longer than predicted; 0 ends that.

        Pairs that are not reached by the deadline have no score. With `math.inf` a job is never answered, as by a
        frozen process.
        """
        with self._server.lock:
            self._workers.late_s = seconds

    def fail_with(self, error: RerankError, times: int = 1) -> None:
        """Let the next `times` jobs end with `error` in place of scores."""
        with self._server.lock:
            self._workers.failures.extend([error] * times)

    def go_away(self, reason: OutageKind = "unreachable") -> None:
        """Let Redis be away: each call raises QueueUnavailable with this `reason`. The data stays."""
        with self._server.lock:
            self._server.away = reason

    def come_back(self) -> None:
        """Let Redis be reachable again; workers go on with the jobs that they could not answer."""
        with self._server.lock:
            self._server.come_back()
            self._workers.take()

    def forget_jobs(self) -> None:
        """Lose all jobs, their texts, their answers and the submitted requests, as a Redis that restarts empty does.

        A caller that waits in `rerank` sends its job again; a submitted request is JobLost. The cache is kept.
        """
        with self._server.lock:
            self._server.forget_jobs()
            self._workers.forget()

    def clear_cache(self) -> None:
        """Lose all cached scores."""
        with self._server.lock:
            self._server.clear_cache()

    def _outbox(self) -> InMemoryOutbox:
        return InMemoryOutbox(self._server, self._feedback.append)

    def _pipeline(self) -> RequestPipeline:
        timeline = self._server.timeline
        return RequestPipeline(self.settings, Clock(timeline.monotonic, timeline.epoch))


class _GivenSettings(Settings):
    """Settings from the given values alone."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **__: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the only source of values: arguments."""
        return (init_settings,)


def _settings(settings: Settings | None, overrides: dict[str, Any]) -> Settings:
    given = {name: value for name, value in overrides.items() if value is not None}
    if settings is not None:
        if given:
            raise ConfigurationError(f"give either settings or {', '.join(sorted(given))}, not both")
        return settings
    try:
        return _GivenSettings(**({"redis_url": _NOWHERE} | given))
    except ValidationError as error:
        raise mistakes(error, PREFIX, Settings.model_fields, given) from None
