"""Serving: gives a loaded model its lane in the scoring thread."""

from __future__ import annotations

from rerank_shared.contract.digest import pool_id
from rerank_shared.scheduling.fairness import ClassShare
from rerank_shared.settings import Settings
from rerank_worker.batching.batcher import Batcher
from rerank_worker.batching.lane import Lane
from rerank_worker.consume.served import ServedModel
from rerank_worker.loading import Model


def served_model(model: Model, settings: Settings, share: ClassShare) -> ServedModel:
    """Return a model with a lane of its own. `share` is the share of bulk, one for all lanes of the process."""
    work = model.scorer.work
    batcher = Batcher(
        budget_tokens=settings.budget_tokens,
        max_wait_s=settings.max_wait_ms / 1000,
        predict_s=model.run_cost.cost.predict_s,
        layout=work.layout,
        work_of=work.pair_work,
        share=share,
        name=pool_id(model.identity),
        weight=model.share,
    )
    lane = Lane(model.scorer, batcher, model.run_cost)
    return ServedModel(lane, model.alias, model.weights_bytes, model.aliases, model.source)
