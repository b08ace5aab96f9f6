"""One panel of a dashboard, as Grafana's JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any, Literal

DATASOURCE = {"type": "prometheus", "uid": "$datasource"}
#: What each selector of a query has, written `_` in the queries here. A fleet outside Kubernetes has no namespace.
MATCHERS = 'namespace=~"$namespace", job=~"$job", instance=~"$instance"'
#: Columns of a dashboard.
GRID = 24
#: Options of a small panel with one number.
STAT: Any = {"kind": "stat", "width": 4, "height": 4}


@dataclass(frozen=True, slots=True)
class Query:
    """A query and the name of its lines."""

    expr: str
    legend: str

    @property
    def full(self) -> str:
        """The query with the matchers of the dashboard's variables."""
        return self.expr.replace("{_", "{" + MATCHERS)


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel. `warn` and `alarm` are the values from which it turns orange and red; with `low`, below which."""

    title: str
    description: str
    unit: str
    queries: Sequence[Query]
    kind: Literal["timeseries", "stat"] = "timeseries"
    width: int = 8
    height: int = 8
    stacked: bool = False
    warn: float | None = None
    alarm: float | None = None
    low: bool = False

    def as_json(self, number: int, x: int, y: int) -> dict[str, Any]:
        """Return the panel at its place."""
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": DATASOURCE,
            "gridPos": {"h": self.height, "w": self.width, "x": x, "y": y},
            "fieldConfig": {"defaults": self._field(), "overrides": []},
            "options": self._options(),
            "targets": [
                {
                    "refId": letter,
                    "datasource": DATASOURCE,
                    "expr": query.full,
                    "legendFormat": query.legend,
                    "editorMode": "code",
                    "range": True,
                }
                for letter, query in zip(ascii_uppercase, self.queries, strict=False)
            ],
        }

    def _field(self) -> dict[str, Any]:
        field: dict[str, Any] = {
            "unit": self.unit,
            "min": 0,
            "color": {"mode": "thresholds" if self.kind == "stat" else "palette-classic"},
            "thresholds": {"mode": "absolute", "steps": self._steps()},
        }
        if self.kind == "timeseries":
            stacking = {"mode": "normal" if self.stacked else "none", "group": "A"}
            field["custom"] = {
                "drawStyle": "line",
                "fillOpacity": 40 if self.stacked else 0,
                "lineWidth": 1,
                "showPoints": "never",
                "spanNulls": False,
                "stacking": stacking,
                "thresholdsStyle": {"mode": "off" if self.warn is None else "dashed"},
            }
        return field

    def _steps(self) -> list[dict[str, Any]]:
        found = [(value, color) for value, color in ((self.warn, "orange"), (self.alarm, "red")) if value is not None]
        if not self.low:
            return [{"color": "green", "value": None}, *({"color": color, "value": value} for value, color in found)]
        # Below a limit: each colour begins where the one that is worse ends.
        colors = [*(color for _, color in reversed(found)), "green"]
        values = [None, *(value for value, _ in reversed(found))]
        return [{"color": color, "value": value} for color, value in zip(colors, values, strict=True)]

    def _options(self) -> dict[str, Any]:
        if self.kind == "stat":
            return {
                "colorMode": "value",
                "graphMode": "area",
                "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
                "textMode": "auto",
            }
        return {
            "legend": {"calcs": ["lastNotNull", "max"], "displayMode": "table", "placement": "bottom"},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }


#: Stands on several dashboards.
DEATHS = Panel(
    "Deaths of processes",
    "Worker processes that ended unasked and were started again: RerankCrashLoop.",
    "short",
    [Query("sum by (instance) (increase(rerank_supervisor_restarts_total{_}[$__rate_interval]))", "{{instance}}")],
)
