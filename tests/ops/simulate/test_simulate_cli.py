"""The commands `simulate`, `plan` and `redis-load`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from rerank_ops.cli.app import app
from rerank_ops.cli.capacity.simulating import simulating
from rerank_ops.cli.capacity.workload_options import DEFAULT_COST, candidates, choices, cost_of, cost_text
from rerank_ops.cli.options import NOTHING_KEEPS_IT
from rerank_shared import fleet
from rerank_shared.errors import InvalidRequest
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.scheduling.cost import CostParameters, SharedCost
from rerank_shared.settings import Settings
from support.waiting import wait_until

PNG = b"\x89PNG\r\n\x1a\n"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def test_simulate_prints_tables() -> None:
    done = run("simulate", "--duration", 60, "--k", "10:3,50", "--bulk", 0.1)
    assert done.exit_code == 0
    for part in ("2 processes", "p95 ms", "utilisation", "refused", "cost: 0.5,140,100"):
        assert part in done.stdout


def test_policies_are_compared_on_the_same_requests(tmp_path: Path) -> None:
    picture = tmp_path / "out" / "compared.png"
    options = ("--duration", 60, "--tight", 0.3, "--json", "--compare", "fifo,edf,edf+no-shard", "--plot", picture)
    one, other = (run("simulate", *options).stdout for _ in range(2))
    assert one == other
    reports: list[dict[str, Any]] = json.loads(one)["reports"]
    assert [report["name"] for report in reports] == ["fifo", "edf", "edf+no-shard"]
    assert len({report["requests"] for report in reports}) == 1
    assert reports[1]["parts_mean"] > reports[2]["parts_mean"] == 1
    assert picture.read_bytes().startswith(PNG)


def test_recorded_requests_are_simulated(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_text("".join(json.dumps({"at_s": n, "k": 5, "query": n % 4}) + "\n" for n in range(20)))
    done = run("simulate", "--arrivals", path, "--json", "--warm-up", 0)
    (report,) = json.loads(done.stdout)["reports"]
    assert report["requests"] == 20
    assert report["cached_share"] == pytest.approx(0.8)
    with pytest.raises(InvalidRequest, match="not for recorded ones"):
        run("simulate", "--arrivals", path, "--rps", 3)


def test_a_fleet_that_answers_nothing_in_time_has_no_number_that_json_lacks() -> None:
    done = run("simulate", "--deadline-ms", 1, "--duration", 60, "--policy", "edf", "--json")
    (report,) = json.loads(done.stdout, parse_constant=lambda name: pytest.fail(name))["reports"]
    assert report["latencies"][0]["shares"]["met"] == 0


def test_plan_tells_the_number_and_one_fewer() -> None:
    options = ("--p95-ms", 600, "--rps", 5, "--k", 20, "--requests", 200)
    found: dict[str, Any] = json.loads(run("plan", *options, "--json").stdout)
    assert found["report"]["processes"] == found["processes"]
    assert found["one_fewer"]["processes"] == found["processes"] - 1
    told = run("plan", *options).stdout
    assert f"{found['processes']} processes keep p95 within 600 ms at 5 requests/s" in told
    assert "one fewer: p95" in told


def test_plan_says_when_no_number_will_do() -> None:
    told = run("plan", "--p95-ms", 20, "--rps", 5, "--requests", 200)
    assert "no number of processes keeps p95 within 20.0 ms" in told.stdout
    plain = run("plan", "--p95-ms", 20, "--rps", 5, "--requests", 200, "--json")
    assert json.loads(plain.stdout)["processes"] is None
    assert (told.exit_code, plain.exit_code) == (NOTHING_KEEPS_IT, NOTHING_KEEPS_IT)


def test_without_a_terminal_a_long_simulation_says_that_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    told: list[str] = []

    def heard() -> bool:
        told.append(capsys.readouterr().err)
        return "".join(told).count("simulating for") > 1

    with simulating("fewer --requests take less time", every_s=0.01):
        wait_until(heard, "two lines")
    assert "simulating for 0 s; fewer --requests take less time\n" in "".join(told)


def test_redis_load_tells_what_ends_first() -> None:
    told = run("redis-load").stdout
    for part in ("commands/s, heartbeats", "10,000", "connections", "ends first"):
        assert part in told
    found: dict[str, Any] = json.loads(
        run("redis-load", "--processes", "10000", "--maxclients", 100_000, "--json").stdout
    )
    assert found["loads"][0]["first"] == "commands"
    assert found["reach"]["connections"] > 10_000
    with pytest.raises(InvalidRequest, match="--processes"):
        run("redis-load", "--processes", "many")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--rps", 1, "--load", 0.5), "give one"),
        (("--k", "ten"), "--k: 'ten'"),
        (("--k", "0"), "at least one candidate"),
        (("--tenants", "a:-1"), "--tenants"),
        (("--cost", "1,2"), "--cost: three numbers"),
        (("--cost", "0,0,0"), "--cost: numbers of at least 0"),
        (("--policy", "lifo"), "'lifo' is none of"),
        (("--rps", 0.001, "--duration", 0.01), "no request comes"),
    ],
)
def test_wrong_options_are_told(options: tuple[object, ...], told: str) -> None:
    with pytest.raises(InvalidRequest, match=told):
        run("simulate", *options)


def test_lists_have_weights() -> None:
    assert candidates("10:5,50") == ((10, 5.0), (50, 1.0))
    assert choices("a:3, b", "tenants", str) == (("a", 3.0), ("b", 1.0))
    assert cost_of(Settings(), "0.5,140,100", from_fleet=False) == DEFAULT_COST
    assert cost_text(DEFAULT_COST) == "0.5,140,100"


@pytest.mark.integration
def test_the_cost_that_a_fleet_learned_is_read(settings: Settings) -> None:
    keys, model = Keys(settings.namespace), settings.model
    with pytest.raises(InvalidRequest, match="no worker of namespace"):
        cost_of(settings, None, from_fleet=True)
    learned = CostParameters(0.001, 2e-4, 3e-8, 0.1, 1.5, 300)
    with connect(settings) as client:
        pipe = client.pipeline()
        fleet.share_cost(pipe, keys, [model], fleet.cost_field("int8", "host"), SharedCost(learned))
        pipe.execute()
    assert cost_of(settings, None, from_fleet=True) == learned


def test_without_matplotlib_it_says_so_before_it_simulates(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "sys.modules['matplotlib'] = None\n"
        "from rerank_ops.cli import main\n"
        f"sys.argv[1:] = ['simulate', '--plot', {str(tmp_path / 'p.png')!r}]\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: the picture needs matplotlib: pip install 'rerank-fleet[tune]'")
    assert not list(tmp_path.iterdir())


def test_simulating_needs_no_model_runtime() -> None:
    script = (
        "import sys\n"
        "for name in ('numpy', 'onnxruntime', 'tokenizers', 'matplotlib'):\n"
        "    sys.modules[name] = None\n"
        "from rerank_ops.cli import main\n"
        "sys.argv[1:] = ['simulate', '--duration', '20', '--json']\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_scaled_fleet_is_simulated_beside_fixed_ones() -> None:
    options = ("simulate", "--autoscale", "--arrivals", "minutely", "--k", 4, "--min", 1, "--max", 5)
    found: dict[str, Any] = json.loads(run(*options, "--json").stdout)
    (load,) = found["loads"]
    assert [account["name"] for account in load["accounts"]] == ["scaled", "mean", "peak"]
    assert load["accounts"][0]["peak"] <= 5
    told = run(*options).stdout
    for part in ("minutely", "scaled", "turns/h"):
        assert part in told


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--min", 5, "--max", 2), "--min: at most --max"),
        (("--compare", "edf,fifo"), "not for --autoscale"),
        (("--arrivals", "ramp", "--duration", 5), "a shape of load has its own"),
    ],
)
def test_wrong_options_of_a_scaled_fleet_are_told(options: tuple[object, ...], told: str) -> None:
    with pytest.raises(InvalidRequest, match=told):
        run("simulate", "--autoscale", *options)
