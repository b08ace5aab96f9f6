"""The queries of the mixin, and the metrics that they name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import promql_parser
import yaml

from rerank_dev.mixin.__main__ import mixin_files
from rerank_dev.mixin.boards.files import DASHBOARDS

FILES = mixin_files()
BOARDS: dict[str, dict[str, Any]] = {name: json.loads(FILES[f"dashboards/{name}"]) for name in DASHBOARDS}


def _rules(name: str) -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(FILES[name])["groups"] for rule in group["rules"]]


RULES, ALERTS = _rules("rules.yaml"), _rules("alerts.yaml")


def panels(board: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the panels of a dashboard without its headings."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def board_queries() -> list[str]:
    """Return the queries of all panels, as Grafana sends them at a scrape interval of 15 s."""
    found = [target["expr"] for board in BOARDS.values() for panel in panels(board) for target in panel["targets"]]
    return [query.replace("$__rate_interval", "1m") for query in found]


def all_queries() -> list[str]:
    """Return every query of the mixin."""
    return [*(rule["expr"] for rule in [*RULES, *ALERTS]), *board_queries()]


def selectors(query: str) -> list[promql_parser.VectorSelector]:
    """Return the selectors of a query. Raises ValueError where it is no PromQL."""
    found: list[promql_parser.VectorSelector] = []

    def visit(expr: promql_parser.Expr) -> bool:
        if isinstance(expr, promql_parser.MatrixSelector):
            found.append(expr.vector_selector)
        elif isinstance(expr, promql_parser.VectorSelector):
            found.append(expr)
        return True

    promql_parser.walk(promql_parser.parse(query), visit)
    return found
