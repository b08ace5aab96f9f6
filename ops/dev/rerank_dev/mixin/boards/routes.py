"""Rows of the overview: which models answer the routes, what their shadows show, and feedback."""

from __future__ import annotations

from rerank_dev.mixin.boards.dashboard import Row
from rerank_dev.mixin.boards.panel import Panel, Query


def _mean_of_shadow(what: str) -> str:
    """Return the query for the mean of a measure of shadows."""
    by, rate = "sum by (route, shadow)", "{_}[$__rate_interval]"
    return f"{by} (rate(rerank_shadow_{what}_sum{rate})) / {by} (rate(rerank_shadow_{what}_count{rate}))"


ROUTES = Row(
    "Routes and feedback",
    (
        Panel(
            "Shares of routes",
            "The share of a route's requests that each of its models answers. A rollout moves it step by step.",
            "percentunit",
            [Query("max by (route, target) (rerank_route_share{_})", "{{route}}: {{target}}")],
            width=6,
        ),
        Panel(
            "Requests by route",
            "Requests by route and the model that it led to, once a stage.",
            "suffix: requests/s",
            [
                Query(
                    "sum by (route, target) (rate(rerank_routed_requests_total{_}[$__rate_interval]))",
                    "{{route}}: {{target}}",
                )
            ],
            width=6,
        ),
        Panel(
            "Feedback kept",
            "Records and memory of the stream, by their bounds: RerankFeedbackFull. At a bound the oldest records go.",
            "percentunit",
            [
                Query("max(rerank_feedback_used_records{_}) / max(rerank_feedback_limit_records{_})", "records"),
                Query("max(rerank_feedback_used_bytes{_}) / max(rerank_feedback_limit_bytes{_})", "memory"),
            ],
            width=6,
        ),
        Panel(
            "Feedback by outcome",
            "Calls that told of feedback. What was dropped or lost is gone: RerankFeedbackLost.",
            "suffix: calls/s",
            [Query("sum by (outcome) (rate(rerank_feedback_total{_}[$__rate_interval]))", "{{outcome}}")],
            width=6,
            stacked=True,
        ),
    ),
)
SHADOWS = Row(
    "Shadows",
    (
        Panel(
            "Shadowed requests",
            "Requests of the sample of a route's shadow: compared, or dropped, by reason.",
            "suffix: requests/s",
            [
                Query(
                    "sum by (route, shadow, outcome) (rate(rerank_shadow_requests_total{_}[$__rate_interval]))",
                    "{{route}}, {{shadow}}: {{outcome}}",
                )
            ],
            width=6,
            stacked=True,
        ),
        Panel(
            "Agreement with a shadow",
            "Means over the compared requests: the share of the live top 10 in the shadow's, and Spearman over all.",
            "percentunit",
            [
                Query(_mean_of_shadow("overlap"), "{{route}}, {{shadow}}: overlap"),
                Query(f"1 - {_mean_of_shadow('spearman_distance')}", "{{route}}, {{shadow}}: Spearman"),
            ],
            width=6,
        ),
        Panel(
            "Drift of scores",
            "The absolute difference of the relevance scores that the live model and the shadow gave a pair.",
            "short",
            [
                Query(_mean_of_shadow("difference"), "{{route}}, {{shadow}}: mean"),
                Query(
                    "histogram_quantile(0.99, sum by (route, shadow, le) "
                    "(rate(rerank_shadow_difference_bucket{_}[$__rate_interval])))",
                    "{{route}}, {{shadow}}: P99",
                ),
            ],
            width=6,
        ),
        Panel(
            "Cost of live model and shadow",
            "Seconds for which a process runs the compared pairs, by the cost that workers measured.",
            "s",
            [
                Query(
                    "sum by (route, shadow, side) (rate(rerank_shadow_seconds_total{_}[$__rate_interval])) "
                    "/ on (route, shadow) group_left () "
                    "sum by (route, shadow) (rate(rerank_shadow_overlap_count{_}[$__rate_interval]))",
                    "{{route}}, {{shadow}}: {{side}}",
                )
            ],
            width=6,
        ),
    ),
)
