"""The sync client: for threads, WSGI servers and scripts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Self, Unpack

from rerank_producer._behind.feedback_outbox import FeedbackOutbox, Outbox, tell
from rerank_producer._behind.routed_counts import CountsBehind, counting
from rerank_producer._dispatch.collect import collect, status
from rerank_producer._dispatch.pipeline import RequestPipeline
from rerank_producer._dispatch.shadow.background import Shadows, shadows_behind
from rerank_producer._io.blocking import BlockingPort
from rerank_producer._io.per_process import PerProcess
from rerank_producer._io.port import ClosablePort, drive
from rerank_producer.fusion import Documents, FirstStage
from rerank_producer.handles import JobStatus, RerankHandle
from rerank_producer.request_options import RequestOptions
from rerank_shared.contract.schemas import Document, ModelInfo, RerankResponse, Result
from rerank_shared.errors import ConfigurationError
from rerank_shared.settings import Settings, load_settings

#: A document of feedback: its id, or what has an `id` or a `text`.
Seen = str | Result | Document | Mapping[str, Any]


class RerankClient:
    """Reranks through the fleet. Thread-safe: make one for the whole process, before or after it forks.

    Making it connects nothing. Without `settings` it reads the environment; keyword arguments (`redis_url`,
    `namespace`, any other setting) take precedence over that. Raises ConfigurationError.
    """

    def __init__(self, settings: Settings | None = None, *, redis_url: str | None = None, **overrides: Any) -> None:
        self.settings = effective = effective_settings(settings, redis_url=redis_url, **overrides)
        self._pipeline = RequestPipeline(self.settings)
        # Nothing refers back to the client: one that is dropped is gone at once, and its listener ends.
        self._port: PerProcess[ClosablePort] = PerProcess(lambda: BlockingPort(effective))
        self._outbox: PerProcess[Outbox] = PerProcess(lambda: FeedbackOutbox(effective))
        self._shadows, self._routed = behind(self._pipeline)

    @classmethod
    def _over(
        cls, pipeline: RequestPipeline, make_port: Callable[[], ClosablePort], make_outbox: Callable[[], Outbox]
    ) -> Self:
        """Return a client whose requests run through `pipeline` over other ports than those to Redis."""
        client = cls.__new__(cls)
        client.settings, client._pipeline, client._port = pipeline.settings, pipeline, PerProcess(make_port)
        client._outbox, client._routed = PerProcess(make_outbox), counting(pipeline.settings)
        client._shadows = shadows_behind(pipeline)
        return client

    def rerank(
        self,
        query: str,
        documents: Documents | None = None,
        *,
        lists: Sequence[Documents] | None = None,
        max_candidates: int | None = None,
        partial: bool | Literal["scored"] = True,
        **options: Unpack[RequestOptions],
    ) -> RerankResponse:
        """Return the documents ordered by relevance to the query, best first.

        Documents are texts, `Document`s or mappings with the fields of a Document, in first-stage order. At the
        deadline the answer holds the documents scored so far, then the others in first-stage order, with `complete`
        false; with `partial=False` the call raises DeadlineExceeded instead, and with `partial="scored"` where it could
        not score any document. RequestOptions describes the options.

        In place of `documents`, `lists` takes the lists of several first stages, each best first. They are fused by
        reciprocal rank, and the best `max_candidates` (default: all) are reranked. The index of a result is then that
        in `fuse(lists, limit=max_candidates)`, and its `ranks` are the document's rank in each list.

        Raises InvalidRequest, UnknownModel, Overloaded, DeadlineExceeded (DeadlineTooShort, NoWorkers),
        QueueUnavailable; JobRevoked, JobLost, JobPoisoned, ScoringFailed; WireError where another release answers;
        InternalError.
        """
        given = FirstStage(documents, lists, max_candidates, options.get("first_stage_order", "descending"))
        return drive(self._pipeline.rerank(self._port.get(), query, given, options, partial=partial))

    def submit(
        self,
        query: str,
        documents: Documents | None = None,
        *,
        lists: Sequence[Documents] | None = None,
        max_candidates: int | None = None,
        **options: Unpack[RequestOptions],
    ) -> RerankHandle:
        """Enqueue a request and return at once; `collect()` gets its answer, in any process, within `result_ttl_s`.

        Candidates and options are those of `rerank`. The job is not tied to this client: it goes on if the client's
        process ends.

        Raises InvalidRequest, UnknownModel, Overloaded, DeadlineTooShort, QueueUnavailable; WireError where another
        release has announced the model. Later errors of the job are raised by `collect`.
        """
        given = FirstStage(documents, lists, max_candidates, options.get("first_stage_order", "descending"))
        return RerankHandle(drive(self._pipeline.submit(self._port.get(), query, given, options)))

    def collect(
        self, handle: RerankHandle | str, *, timeout_ms: float | None = None, partial: bool = False
    ) -> RerankResponse:
        """Return the answer to a submitted request; wait for `timeout_ms`, at most until the request's deadline.

        Results carry the documents' ids and indexes, not their metadata and ranks. May be called again, after a
        time-out too. Unlike `rerank` it can't send a lost job again, since it has no text; the broker still delivers a
        job again when its worker dies.

        Raises DeadlineExceeded (NoWorkers) unless `partial`, JobLost if the request is unknown, QueueUnavailable; the
        errors that a worker answered: InvalidRequest, UnknownModel, Overloaded, JobRevoked, JobPoisoned, ScoringFailed,
        InternalError; WireError where another release answered.
        """
        keys, failover, learned = self._pipeline.keys, self._pipeline.failover, self._pipeline.learned
        share = self.settings.feedback_swap_share
        collecting = collect(
            self._port.get(), keys, failover, learned, str(handle), timeout_ms, partial=partial, swap_share=share
        )
        return drive(collecting)

    def status(self, handle: RerankHandle | str) -> JobStatus:
        """Return the state of a submitted request, without waiting.

        Raises JobLost if the request is unknown, QueueUnavailable; WireError where another release wrote it.
        """
        return drive(status(self._port.get(), self._pipeline.keys, self._pipeline.failover, str(handle)))

    def model_info(self, model: str | None = None) -> ModelInfo:
        """Return the model that the fleet serves under a name, by default that of the settings; remembered for seconds.

        Until a worker has announced the model, all fields but the name are None. Raises UnknownModel, QueueUnavailable;
        WireError where another release has announced it.
        """
        return drive(self._pipeline.model_info(self._port.get(), model))

    def cancel(self, handle: RerankHandle | str) -> None:
        """Tell all live workers to drop a job; callers that wait for it get JobRevoked. Raises QueueUnavailable.

        A worker process that starts later does not know of it, and may still run the job before its deadline.
        """
        drive(self._port.get().revoke(str(handle)))

    def feedback(
        self,
        request_id: str,
        *,
        shown: Sequence[Seen],
        clicked: Sequence[Seen] = (),
        query: str | None = None,
        query_id: str | None = None,
        tenant: str = "",
    ) -> bool:
        """Tell what was shown of an answer and what of it was clicked; return at once whether that was taken.

        Never raises, and never waits for the server: a thread writes it behind the caller. What is wrong, or can't be
        kept, is counted in `rerank_feedback_total`. `request_id` is the `id` of the response. `shown` has the documents
        in the order in which they were shown, 100 at most: ids, results, or documents; `clicked` those of them that
        were clicked. `query` is the query's text, of which a digest is kept; `query_id` your own name of it. What is
        told of one request in several calls is joined. docs/feedback.md says what is kept, and for how long.
        """
        fields: dict[str, Any] = {"request_id": request_id, "shown": shown, "clicked": clicked}
        fields |= {"query": query, "query_id": query_id, "tenant": tenant}
        return tell(self._outbox.get(), self.settings, fields)

    def close(self) -> None:
        """Close all connections of this process. A later call opens new ones."""
        if (outbox := self._outbox.take()) is not None:
            outbox.close()
        if (shadows := self._shadows.take()) is not None:
            shadows.close()
        if (routed := self._routed.take()) is not None:
            routed.close()
        if (port := self._port.take()) is not None:
            drive(self._pipeline.flush(port))
            port.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def behind(pipeline: RequestPipeline) -> tuple[PerProcess[Shadows], PerProcess[CountsBehind]]:
    """Return what scores a pipeline's requests by shadows, and what counts those by a route, behind their callers."""
    shadows, routed = shadows_behind(pipeline), counting(pipeline.settings)
    pipeline.on_sampled = lambda sampled: shadows.get().hand_on(sampled)
    pipeline.on_routed_end = lambda ended: routed.get().observe(ended)
    return shadows, routed


def effective_settings(settings: Settings | None, **overrides: Any) -> Settings:
    """Return the settings of a client; raises ConfigurationError if they are given twice."""
    given = sorted(name for name, value in overrides.items() if value is not None)
    if settings is None:
        return load_settings(**overrides)
    if given:
        raise ConfigurationError(f"give either settings or {', '.join(given)}, not both")
    return settings
