"""`simulate` and `plan` of several models: where models, costs and traffic come from, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from rerank_ops.cli.app import app
from rerank_ops.cli.options import NOTHING_KEEPS_IT
from rerank_shared import fleet
from rerank_shared.errors import ConfigurationError, InvalidRequest, QueueUnavailable, RerankError
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.route_store.store import RouteStore
from rerank_shared.routing.spec import read_route
from rerank_shared.scheduling.cost import CostParameters, SharedCost
from rerank_shared.settings import Settings

MODELS = ("--model", "small=0.5,35,25", "--model", "big=0.5,140,100")
SHORT = ("--duration", 60)
ROUTES = """
[routes.search]
shares = { small = 3, big = 1 }

[routes.deep]
shares = { small = 1 }
stages = [{ model = "small" }, { model = "big", keep = 5 }]
"""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def found(*arguments: object) -> dict[str, Any]:
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.stdout))


def test_models_in_pools_of_their_own_and_together() -> None:
    traffic = ("--traffic", "small:3,small>big@5:1")
    apart = found("simulate", *MODELS, *traffic, *SHORT, "--pool", "small:3", "--pool", "big:1")
    assert [each["traffic"] for each in apart["traffic"]] == ["all", "small", "small > big@5"]
    assert [(each["pool"], each["processes"]) for each in apart["pools"]] == [("small", 3), ("big", 1)]
    assert apart["costs"] == {"small": "0.5,35,25", "big": "0.5,140,100"}
    assert apart == found("simulate", *MODELS, *traffic, *SHORT, "--pool", "small:3", "--pool", "big:1")
    together = found("simulate", *MODELS, *traffic, *SHORT, "--pool", "small+big:2")
    assert [(each["pool"], each["processes"]) for each in together["pools"]] == [("small+big", 2)]


def test_a_pool_of_each_model_unless_it_is_said() -> None:
    told = run("simulate", *MODELS, *SHORT, "--processes", 3, "--bulk", 0.2)
    assert told.exit_code == 0
    rows = [line.split() for line in told.stdout.splitlines()]
    assert [row[:2] for row in rows if row and row[0] in ("small", "big")][2:] == [["small", "3"], ["big", "3"]], (
        told.stdout
    )
    for part in ("interactive", "bulk", "utilisation", "cost: small 0.5,35,25; big 0.5,140,100 (ms a run"):
        assert part in told.stdout


def test_a_cost_may_be_tokens_a_second() -> None:
    assert found("simulate", "--model", "m=5000", *SHORT)["costs"] == {"m": "0,200,0"}


def test_a_plan_has_the_processes_of_each_pool() -> None:
    options = ("--p95-ms", 600, "--rps", 5, "--k", 20, "--requests", 200, "--traffic", "small:3,small>big@5")
    plan = found("plan", *options, *MODELS)
    sizes = {each["pool"]: each["processes"] for each in plan["report"]["pools"]}
    assert sizes.keys() == {"small", "big"}
    assert plan["alone_p95_ms"].keys() == {"small", "small > big@5"}
    told = run("plan", *options, *MODELS).stdout
    listed = ", ".join(f"{name} {size}" for name, size in sizes.items())
    assert f"{sum(sizes.values())} processes keep p95 within 600 ms at 5 requests/s: {listed}" in told
    assert "with one fewer" in told
    no = run("plan", "--p95-ms", 20, "--rps", 5, "--requests", 200, *MODELS)
    assert "no number of processes keeps p95 within 20.0 ms at 5 requests/s: 95 of 100 requests of big" in no.stdout
    none = run("plan", "--p95-ms", 20, "--rps", 5, "--requests", 200, *MODELS, "--json")
    assert json.loads(none.stdout)["report"] is None
    assert (no.exit_code, none.exit_code) == (NOTHING_KEEPS_IT, NOTHING_KEEPS_IT)


def test_a_route_of_a_file_is_the_traffic(tmp_path: Path) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text(ROUTES)
    shares = found("simulate", *MODELS, *SHORT, "--route", "search", "--route-file", path)
    assert [each["traffic"] for each in shares["traffic"]] == ["all", "big", "small"]
    stages = found("simulate", *MODELS, *SHORT, "--route", "deep", "--route-file", path)
    assert [each["traffic"] for each in stages["traffic"]] == ["all", "small > big@5"]
    with pytest.raises(ConfigurationError, match=r"there is no route 'serach' in .*fleet.toml; did you mean search"):
        run("simulate", *MODELS, "--route", "serach", "--route-file", path)


def test_a_route_and_costs_of_the_running_fleet(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RERANK_REDIS_URL", settings.redis_url.get_secret_value())
    monkeypatch.setenv("RERANK_NAMESPACE", settings.namespace)
    keys = Keys(settings.namespace)
    with connect(settings) as client:
        RouteStore(client, keys).set(read_route("search", {"shares": {"small": 3, "big": 1}}))
        for model, token_us in (("small", 30.0), ("big", 120.0)):
            cost = SharedCost(CostParameters(0.001, token_us / 1e6, 0.0))
            fleet.share_cost(client, keys, [model], fleet.cost_field("int8", "host"), cost)
    plan = found("simulate", *SHORT, "--route", "search")
    assert plan["costs"] == {"small": "1,30,0", "big": "1,120,0"}
    with pytest.raises(InvalidRequest, match=r"no worker .* has told what running 'other' costs"):
        run("simulate", "--model", "other", *SHORT)


def test_shares_of_a_process_are_those_of_fleet_toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text('[[models]]\nname = "small"\nshare = 9\n[[models]]\nname = "big"\nshare = 1\n')
    together = ("simulate", *MODELS, *SHORT, "--pool", "small+big:1", "--load", 0.9)
    plain = found(*together)
    monkeypatch.setenv("RERANK_FLEET_FILE", str(path))
    weighted = found(*together)
    p95_ms = [{each["traffic"]: each["p95_ms"] for each in report["traffic"]} for report in (plain, weighted)]
    assert p95_ms[1]["small"] < p95_ms[0]["small"]
    path.write_text("[[models]]\nshare = 1\n")
    with pytest.raises(ConfigurationError, match=r"fleet.toml: models\[0\]"):
        run(*together)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        (("--traffic", "small"), InvalidRequest, "name the models with --model, or a --route"),
        ((*MODELS, "--model", "big=1"), InvalidRequest, "given twice"),
        (("--model", "=1"), InvalidRequest, "a name expected before ="),
        (
            ("--model", "m=fast"),
            InvalidRequest,
            "three numbers like 0.5,140,100 expected, or tokens a second, not 'fast'",
        ),
        (("--model", "m=1,2"), InvalidRequest, "three numbers like 0.5,140,100"),
        (("--model", "m=0"), InvalidRequest, "tokens a second, not '0'"),
        (
            (*MODELS, "--traffic", "smal:3"),
            ConfigurationError,
            "no model 'smal' is known here, but small, big; did you",
        ),
        ((*MODELS, "--traffic", "small>big@x"), ConfigurationError, "'x' is no number of candidates"),
        (
            (*MODELS, "--k", "20,50", "--traffic", "small>big@51"),
            ConfigurationError,
            "--traffic 'small>big@51': 51 is more than the 50 candidates of --k",
        ),
        ((*MODELS, "--traffic", "small:0"), InvalidRequest, "a share above 0 expected"),
        ((*MODELS, "--traffic", "small:x"), InvalidRequest, "--traffic: 'small:x': 'x' is no number; a share above 0"),
        ((*MODELS, "--traffic", "small>big@5:1.x"), InvalidRequest, "'1.x' is no number; a share above 0"),
        (("--model", "a:b=9000", "--traffic", "a:c"), ConfigurationError, "no model 'a:c' is known here, but a:b"),
        ((*MODELS, "--traffic", "small,small:2"), InvalidRequest, "small stands there twice"),
        ((*MODELS, "--pool", "small:2"), InvalidRequest, "no pool serves 'big', which requests ask for"),
        ((*MODELS, "--pool", "small+huge"), InvalidRequest, "'huge' is no model here"),
        ((*MODELS, "--pool", "small+small"), InvalidRequest, "'small' stands there twice"),
        ((*MODELS, "--pool", "small:0", "--pool", "big"), InvalidRequest, "one process at least expected"),
        ((*MODELS, "--pool", "small", "--pool", "small", "--pool", "big"), InvalidRequest, "add up their processes"),
        ((*MODELS, "--route-file", __file__), InvalidRequest, "say with --route which"),
        ((*MODELS, "--route", "x", "--traffic", "small"), InvalidRequest, "say the same: give one"),
        ((*MODELS, "--route", "x", "--redis-url", "redis://127.0.0.1:1/0"), QueueUnavailable, "reading a route"),
        ((*MODELS, "--cost", "1,2,3"), InvalidRequest, "--cost is for one model"),
        ((*MODELS, "--from-fleet"), InvalidRequest, "--from-fleet is for one model"),
        ((*MODELS, "--compare", "edf,fifo"), InvalidRequest, "--compare is for one model"),
        ((*MODELS, "--autoscale"), InvalidRequest, "--autoscale is for one model"),
        ((*MODELS, "--arrivals", __file__), InvalidRequest, "poisson or bursts expected"),
        ((*MODELS, "--duration", 0.001), InvalidRequest, "no request comes in that time"),
    ],
)
def test_mistakes_are_told_in_words(options: tuple[object, ...], error: type[RerankError], said: str) -> None:
    with pytest.raises(error) as refused:
        run("simulate", *options)
    assert said in refused.value.message


def test_a_plan_finds_the_numbers_itself() -> None:
    with pytest.raises(InvalidRequest, match="`plan` finds the number of processes; leave it out"):
        run("plan", "--p95-ms", 600, "--rps", 5, *MODELS, "--pool", "small:2", "--pool", "big")


def test_a_name_may_have_a_colon() -> None:
    told = found("simulate", "--model", "a:b=9000", "--model", "a=9000", "--traffic", "a:b,a", *SHORT)
    assert [each["traffic"] for each in told["traffic"]] == ["all", "a", "a:b"]
