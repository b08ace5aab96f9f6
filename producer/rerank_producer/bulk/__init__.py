"""Bulk reranking: files of any size in, the same rows out, exactly once, whatever is killed."""

from rerank_producer.bulk.asking.fleet import Counters
from rerank_producer.bulk.bulk_run import Summary
from rerank_producer.bulk.committed.journal import Totals
from rerank_producer.bulk.facade import arun, run
from rerank_producer.bulk.iterating import arerank_iter, rerank_iter
from rerank_producer.bulk.opening import BulkOptions
from rerank_producer.bulk.progress import Progress

__all__ = [
    "BulkOptions",
    "Counters",
    "Progress",
    "Summary",
    "Totals",
    "arerank_iter",
    "arun",
    "rerank_iter",
    "run",
]
