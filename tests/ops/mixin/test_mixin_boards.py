"""The dashboards follow the rules that Grafana's own linter of mixins has, and a few of ours."""

from __future__ import annotations

import re
from typing import Any

import pytest

from support.mixin.queries import BOARDS, panels, selectors

PANELS = [(name, panel) for name, board in BOARDS.items() for panel in panels(board)]
every_board = pytest.mark.parametrize("board", BOARDS.values(), ids=list(BOARDS))
every_panel = pytest.mark.parametrize(
    "panel", [each for _, each in PANELS], ids=[f"{b}-{p['title']}" for b, p in PANELS]
)
#: Units that Grafana knows and these dashboards use, beside those that are a suffix.
UNITS = {"reqps", "s", "percentunit", "bytes", "short"}
#: What a counter is called, and the functions that it may stand in.
COUNTERS = ("_total", "_count", "_sum", "_bucket")


@every_board
def test_a_dashboard_chooses_its_data_and_cannot_be_edited(board: dict[str, Any]) -> None:
    variables = {each["name"]: each for each in board["templating"]["list"]}
    assert list(variables) == ["datasource", "namespace", "job", "instance"]
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == ("datasource", "prometheus")
    for name in ("namespace", "job", "instance"):
        variable = variables[name]
        assert variable["type"] == "query"
        assert variable["datasource"]["uid"] == "$datasource"
        assert variable["multi"]
        assert variable["includeAll"]
        assert variable["query"]["query"].startswith("label_values(rerank_")
        assert variable["query"]["query"].endswith(f", {name})")
    # Outside Kubernetes there is none, which only this matches.
    assert variables["namespace"]["allValue"] == ".*"
    assert variables["job"]["allValue"] == variables["instance"]["allValue"] == ".+"
    assert board["editable"] is False
    assert board["schemaVersion"] >= 39
    assert board["title"]
    assert board["description"]
    assert board["tags"] == ["rerank-fleet"]


def test_dashboards_and_panels_are_told_apart() -> None:
    assert len({board["uid"] for board in BOARDS.values()}) == len({board["title"] for board in BOARDS.values()}) == 2
    for board in BOARDS.values():
        numbers = [panel["id"] for panel in board["panels"]]
        assert len(set(numbers)) == len(numbers)


@every_board
def test_panels_cover_no_other_panel_and_stay_on_the_grid(board: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells


@every_panel
def test_a_panel_says_what_it_shows(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert len(panel["description"]) > 20
    assert panel["description"].endswith(".")
    unit = panel["fieldConfig"]["defaults"]["unit"]
    assert unit in UNITS or unit.startswith("suffix: ")
    assert panel["datasource"] == {"type": "prometheus", "uid": "$datasource"}
    assert panel["targets"]
    for target in panel["targets"]:
        grouped = re.search(r"by \(([^)]*)\)", target["expr"])
        names = {name.strip() for name in grouped[1].split(",")} if grouped else set()
        assert target["legendFormat"]
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) == names - {"le"}
    assert all(target["datasource"]["uid"] == "$datasource" for target in panel["targets"])


@every_panel
def test_queries_choose_their_targets_and_their_window(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        query = target["expr"]
        assert "[" not in query.replace("[$__rate_interval]", ""), "a window of its own"
        for selector in selectors(query.replace("$__rate_interval", "1m")):
            matchers = {matcher.name: matcher.value for matcher in selector.matchers.matchers}
            for name in ("namespace", "job", "instance"):
                assert matchers[name] == f"${name}"
            if (selector.name or "").endswith(COUNTERS):
                assert f"rate({selector.name}" in query or f"increase({selector.name}" in query
            else:
                assert f"({selector.name}" in query
                assert f"rate({selector.name}" not in query
