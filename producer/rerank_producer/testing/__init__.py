"""An in-memory fleet for tests of code that reranks: real clients and the real request pipeline, over a server, workers
and a clock inside the test's own process. No Redis, no worker process, no thread, and no time that passes by itself.
"""

from rerank_producer.testing._jobs import SentJob, StoredFeedback
from rerank_producer.testing._scoring import ScorePair, word_overlap
from rerank_producer.testing.fleet import InMemoryFleet
from rerank_shared.redis.outage import OutageKind

__all__ = ["InMemoryFleet", "OutageKind", "ScorePair", "SentJob", "StoredFeedback", "word_overlap"]
