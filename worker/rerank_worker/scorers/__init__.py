"""Scorers: all that a worker asks of a model, with an implementation for each kind of model."""

from rerank_worker.scorers.scorer import Encoded, RunWork, Scorer

__all__ = ["Encoded", "RunWork", "Scorer"]
