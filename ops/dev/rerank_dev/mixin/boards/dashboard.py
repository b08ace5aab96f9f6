"""A dashboard of rows of panels, with the variables that choose a data source and the targets of a fleet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rerank_dev.mixin.boards.panel import DATASOURCE, GRID, Panel

#: Of Grafana 12; a later one reads it and brings it up to its own.
SCHEMA_VERSION = 42
TAG = "rerank-fleet"
#: Labels of targets, their names for people, and what matches all of them. A fleet outside Kubernetes has no namespace,
#: and an empty one must match then.
_TARGETS = (("namespace", "Namespace", ".*"), ("job", "Job", ".+"), ("instance", "Instance", ".+"))


@dataclass(frozen=True, slots=True)
class Row:
    """A row with its heading, which wraps where its panels are wider than the grid."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A dashboard. `of`: a metric that each of its targets has."""

    uid: str
    title: str
    description: str
    of: str
    rows: Sequence[Row]

    def as_json(self) -> dict[str, Any]:
        """Return it as Grafana reads it."""
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": [TAG],
            "schemaVersion": SCHEMA_VERSION,
            "version": 1,
            "editable": False,
            "graphTooltip": 1,
            "refresh": "30s",
            "time": {"from": "now-3h", "to": "now"},
            "timepicker": {},
            "timezone": "browser",
            "annotations": {"list": []},
            "links": [
                {
                    "type": "dashboards",
                    "title": "Rerank Fleet",
                    "tags": [TAG],
                    "asDropdown": False,
                    "includeVars": True,
                    "keepTime": True,
                }
            ],
            "templating": {"list": list(self._variables())},
            "panels": list(self._panels()),
        }

    def _variables(self) -> Iterator[dict[str, Any]]:
        yield {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
        chosen = ""
        for name, label, every in _TARGETS:
            query = f"label_values({self.of}{{{chosen}}}, {name})" if chosen else f"label_values({self.of}, {name})"
            yield {
                "name": name,
                "label": label,
                "type": "query",
                "datasource": DATASOURCE,
                "query": {"query": query, "refId": name},
                "definition": query,
                "multi": True,
                "includeAll": True,
                "allValue": every,
                "current": {"text": "All", "value": "$__all"},
                "refresh": 2,
                "sort": 1,
            }
            chosen += f'{", " if chosen else ""}{name}=~"${name}"'

    def _panels(self) -> Iterator[dict[str, Any]]:
        number, y = 1, 0
        for row in self.rows:
            place = {"h": 1, "w": GRID, "x": 0, "y": y}
            yield {"id": number, "type": "row", "title": row.title, "collapsed": False, "gridPos": place, "panels": []}
            number, x, y, height = number + 1, 0, y + 1, 0
            for panel in row.panels:
                if x + panel.width > GRID:
                    x, y, height = 0, y + height, 0
                yield panel.as_json(number, x, y)
                number, x, height = number + 1, x + panel.width, max(height, panel.height)
            y += height
