"""Ray Data: `RerankBatches`, a callable class for `map_batches`.

    ds = ray.data.read_parquet("pairs/").repartition(64, keys=["query_id"])
    ds = ds.map_batches(
        RerankBatches,
        fn_constructor_kwargs={"query_id": "query_id", "redis_url": "redis://fleet:6379/0"},
        compute=ray.data.ActorPoolStrategy(size=2),
        batch_format="pyarrow",
        batch_size=None,
    )
    ds.write_parquet("reranked/")

Ray cuts batches without regard to queries. `repartition` with `keys` puts the rows of a query into one block, and
`batch_size=None` makes each block one batch.
"""

from __future__ import annotations

from typing import Any

from rerank_producer.integrations.frames import TableOptions, rerank_frames


class RerankBatches:
    """Reranks each batch. Takes the options of TableOptions; columns that it does not know stay as they are.

    It is made in each actor, and reads there what the options do not say: give `redis_url`, or the variables in
    `runtime_env`. The fleet bounds the work, not the actors: two of them keep most fleets busy.

    A job may be resumed with Ray's checkpoints, since an id column stays. A checkpoint filters rows, not queries, where
    the list shape (`documents`) has one row a query:

        context = ray.data.DataContext.get_current()
        context.checkpoint_config = CheckpointConfig(id_column="query_id", checkpoint_path="/shared/checkpoints")
        ds = ray.data.read_parquet("queries/").map_batches(
            RerankBatches, fn_constructor_kwargs={"documents": "documents"}, batch_format="pyarrow", ...
        )
        ds.write_parquet("reranked/")
    """

    def __init__(self, **options: Any) -> None:
        """Raises ConfigurationError."""
        self._options = TableOptions(**options)

    def __call__(self, batch: Any) -> Any:
        """Return a batch with the columns of results. Raises InvalidRequest for a column that is missing, FleetGone."""
        (reranked,) = rerank_frames([batch], self._options)
        return reranked
