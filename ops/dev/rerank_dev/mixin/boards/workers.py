"""The workers: stages, batches, how jobs end, and each supervisor's processes."""

from __future__ import annotations

from dataclasses import replace

from rerank_dev.mixin.boards.dashboard import Dashboard, Row
from rerank_dev.mixin.boards.panel import DEATHS, Panel, Query


def _rate(series: str, by: str = "") -> str:
    return f"sum{f' by ({by})' if by else ''} (rate({series}[$__rate_interval]))"


def _quantile(quantile: float, metric: str, by: str = "", more: str = "") -> str:
    levels = f"{by}, le" if by else "le"
    return f"histogram_quantile({quantile:g}, {_rate(metric + '_bucket{_' + more + '}', levels)})"


def _mean(metric: str, by: str = "", more: str = "") -> str:
    return f"{_rate(metric + '_sum{_' + more + '}', by)} / {_rate(metric + '_count{_' + more + '}', by)}"


def _spread(metric: str) -> list[Query]:
    return [Query(_mean(metric), "mean"), Query(_quantile(0.5, metric), "p50"), Query(_quantile(0.95, metric), "p95")]


_STAGES = Row(
    "Stages of a job",
    (
        Panel(
            "Mean time by stage, interactive",
            "Stages add up to what a job takes in Redis and in a worker. A long queue: too few processes. A long "
            "batch: processes hold too much. A long run: the model, the texts, or busy cores.",
            "s",
            [Query(_mean("rerank_stage_seconds", "stage", ', class="interactive"'), "{{stage}}")],
            stacked=True,
        ),
        Panel(
            "P95 by stage, interactive",
            "95 of 100 interactive jobs were through the stage within this time.",
            "s",
            [Query(_quantile(0.95, "rerank_stage_seconds", "stage", ', class="interactive"'), "{{stage}}")],
        ),
        Panel(
            "P95 by stage, bulk",
            "The same of bulk jobs, which wait while interactive ones run.",
            "s",
            [Query(_quantile(0.95, "rerank_stage_seconds", "stage", ', class="bulk"'), "{{stage}}")],
        ),
    ),
)
_BATCHES = Row(
    "Batches",
    (
        Panel(
            "Pairs of a batch",
            "Pairs that the model ran at once.",
            "short",
            _spread("rerank_batch_pairs"),
        ),
        Panel(
            "Tokens of a batch",
            "Tokens of a run, without padding. At most the budget that `rerank-fleet tune` measured.",
            "short",
            _spread("rerank_batch_tokens"),
        ),
        Panel(
            "Error of predicted run times",
            "How far a run's predicted time was off, as a share of the actual one. Far above 0.3: the cores have other "
            "work, and admission and autoscaling go by wrong figures.",
            "percentunit",
            _spread("rerank_cost_error_ratio"),
        ),
        Panel(
            "Pairs",
            "Pairs that the model scored, that joined an equal pair in flight, and that it could not score.",
            "suffix: pairs/s",
            [
                Query(_rate("rerank_pairs_run_total{_}"), "run"),
                Query(_rate("rerank_pairs_joined_total{_}"), "joined"),
                Query(_rate("rerank_pairs_failed_total{_}"), "failed"),
            ],
        ),
        Panel(
            "Tokens by supervisor",
            "Tokens that the model ran on each host. A host that falls behind the others has less of its cores.",
            "suffix: tokens/s",
            [Query(_rate("rerank_tokens_run_total{_}", "instance"), "{{instance}}")],
        ),
        Panel(
            "Token cache",
            "Share of documents whose tokens a worker had already.",
            "percentunit",
            [
                Query(
                    _rate('rerank_token_cache_documents_total{_, result="hit"}')
                    + " / "
                    + _rate("rerank_token_cache_documents_total{_}"),
                    "hit rate",
                )
            ],
        ),
    ),
)
_TEXTS = Row(
    "Texts and models",
    (
        Panel(
            "Pairs cut off",
            "Share of pairs whose text did not fit the model, so that a part of it did not count in the score.",
            "percentunit",
            [Query(f"{_rate('rerank_pairs_truncated_total{_}')} / {_rate('rerank_pairs_run_total{_}')}", "cut off")],
        ),
        Panel(
            "Padding",
            "Padding that the model ran, as a share of the tokens beside it. None in the layouts without padding.",
            "percentunit",
            [
                Query(
                    f"{_rate('rerank_padding_tokens_run_total{_}')} / {_rate('rerank_tokens_run_total{_}')}", "padding"
                )
            ],
        ),
        Panel(
            "Model served",
            "All that scores depend on. Two lines at once: the fleet changes from one to another, and the cache of the "
            "new one begins empty.",
            "short",
            [
                Query(
                    "max by (model, model_digest, precision) (rerank_scoring_info{_})",
                    "{{model}} {{precision}} {{model_digest}}",
                )
            ],
        ),
    ),
)
_JOBS = Row(
    "How jobs end",
    (
        Panel(
            "Jobs by outcome",
            "Jobs that workers answered.",
            "reqps",
            [Query(_rate("rerank_jobs_total{_}", "outcome"), "{{outcome}}")],
            stacked=True,
        ),
        Panel(
            "Jobs dropped",
            "Jobs that ended before all their pairs were scored: past their deadline, or their callers had left.",
            "reqps",
            [Query(_rate("rerank_jobs_dropped_total{_}", "reason"), "{{reason}}")],
            stacked=True,
        ),
        Panel(
            "Jobs delivered again",
            "Jobs that came once more, since their worker died or their client sent them again: run, or answered "
            "before.",
            "reqps",
            [Query(_rate("rerank_jobs_delivered_again_total{_}", "result"), "{{result}}")],
            stacked=True,
        ),
        Panel(
            "Set aside and refused",
            "Poisoned: workers died of the job, RerankJobsPoisoned. Refused: messages that no worker can read.",
            "reqps",
            [
                Query(_rate("rerank_jobs_poisoned_total{_}"), "poisoned"),
                Query(_rate("rerank_messages_refused_total{_}"), "refused"),
            ],
            width=12,
        ),
        Panel(
            "Dead letters",
            "Jobs that are set aside now, until `rerank-fleet dead retry` or `dead drop`, or for seven days.",
            "short",
            [Query("max(rerank_dead_letters{_})", "set aside")],
            width=12,
        ),
    ),
)
_SUPERVISORS = Row(
    "Supervisors",
    (
        Panel(
            "Processes",
            "Running worker processes of each supervisor.",
            "short",
            [Query("sum by (instance) (rerank_supervisor_processes{_})", "{{instance}}")],
            width=12,
            stacked=True,
        ),
        replace(DEATHS, width=12),
    ),
)
WORKERS = Dashboard(
    "rerank-fleet-workers",
    "Rerank Fleet / Workers",
    "Where the time of a job goes, how batches are made, and which host falls behind.",
    "rerank_supervisor_processes",
    (_STAGES, _BATCHES, _TEXTS, _JOBS, _SUPERVISORS),
)
