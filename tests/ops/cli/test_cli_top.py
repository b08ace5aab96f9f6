"""`rerank-fleet top` against a real fleet, on a real terminal, and without a server."""

from __future__ import annotations

import json

import pytest

from rerank_dev.ports import free_port
from support.commands import COMMAND, CommandLine, Spawn
from support.terminal import GIVEN_BACK, WHOLE_SCREEN, Terminal

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("cli")]


def test_one_look_as_json_has_what_scripts_ask_for(fleet: CommandLine) -> None:
    assert fleet.run("rerank", "query of top", "one", "two").returncode == 0
    run = fleet.run("top", "--once", "--json")
    assert (run.returncode, run.stderr) == (0, "")
    view = json.loads(run.stdout)
    assert [queue["class"] for queue in view["fleet"]["queues"]] == ["interactive", "bulk"]
    (worker,) = view["fleet"]["workers"]
    assert worker["held_jobs"] == 0
    assert worker["pairs_per_batch"] > 0
    assert view["autoscale"]["processes"]["ready"] == 1
    assert view["redis"]["used_bytes"] > 0
    assert view["hit_rate"] == 0.0
    # It has looked once, and knows of no minute.
    assert view["fleet"]["cache"]["hit_rate"] is None


@pytest.mark.parametrize(("columns", "beside"), [("80", False), ("120", True)])
def test_without_a_terminal_it_prints_once_in_the_width_there_is(
    fleet: CommandLine, columns: str, beside: bool
) -> None:
    run = fleet.run("top", COLUMNS=columns)
    assert (run.returncode, run.stderr) == (0, "")
    lines = run.stdout.splitlines()
    assert max(map(len, lines)) <= int(columns)
    (heading,) = (line for line in lines if line.startswith("queue "))
    assert ("process" in heading) is beside
    assert "1 ready" in run.stdout
    assert "…" not in run.stdout


def test_it_can_be_watched_until_ctrl_c(fleet: CommandLine) -> None:
    with Terminal([COMMAND, "top", "--interval", "1"], fleet.environ, columns=80, rows=24) as terminal:
        terminal.wait_for("1 ready")
        # A second look knows what was looked up meanwhile.
        fleet.run("rerank", "query of top", "one", "two")
        shown = terminal.wait_for("pairs in a minute")
        assert "tokens/s while running" in shown
        assert terminal.interrupt() == 0
        assert terminal.written.count(WHOLE_SCREEN) == terminal.written.count(GIVEN_BACK) == 1
        assert "Traceback" not in terminal.written


def test_it_goes_on_while_redis_is_away(environ: dict[str, str], spawn: Spawn) -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    of_nobody = environ | {"RERANK_REDIS_URL": url}
    with Terminal([COMMAND, "top", "--interval", "1"], of_nobody, columns=100, rows=24) as terminal:
        terminal.wait_for("can't be reached")
        server = spawn("rerank-fleet", "server", RERANK_REDIS_URL=url)
        terminal.wait_for("0 ready")
        server.end()
        shown = terminal.wait_for("can't be reached")
        # What it saw last stays.
        assert "0 ready" in shown
        assert terminal.interrupt() == 0


def test_one_look_without_redis_is_one_line_and_a_status(command_line: CommandLine) -> None:
    run = command_line.run("top", "--once", "--json", RERANK_REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith("error: Redis at redis://127.0.0.1:")
    assert len(run.stderr.splitlines()) == 1
