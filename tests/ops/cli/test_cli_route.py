"""`rerank-fleet route` and what the doctor says of routes, on a real server without workers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from rerank_ops.cli.app import app
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.redis.server_clock import server_epoch
from rerank_shared.settings import Settings, to_environ
from support.pools import IDENTITY, announce

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _of_this_fleet(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in to_environ(settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["route", *arguments])


def told(*arguments: str) -> str:
    """Return what a command that succeeds prints on both streams."""
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


def refused(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exit_code == 1
    return str(result.exception)


def doctor() -> list[tuple[str, str]]:
    """Return status and message of what the doctor says of routes and their file."""
    result = CliRunner().invoke(app, ["doctor", "--json"])
    checks = json.loads(result.stdout)["checks"]
    return [(each["status"], each["message"]) for each in checks if each["name"] in ("routes", "fleet file")]


def test_a_route_is_set_shown_listed_rolled_back_and_deleted() -> None:
    assert "there is no route" in told("list")
    assert "search: version 1, minilm 95 %, v2 5 %" in told("set", "search", "minilm=95", "v2=5")
    assert "version 2, minilm 75 %, v2 25 %" in told("set", "search", "minilm=75", "v2=25", "--if-version", "1")
    (listed,) = json.loads(told("list", "--json"))
    assert (listed["name"], listed["version"], listed["shares"]) == ("search", 2, {"minilm": 75.0, "v2": 25.0})
    assert "minilm 75 %, v2 25 %" in told("list")
    assert "version 3, minilm 95 %, v2 5 %" in told("rollback", "search")
    shown = json.loads(told("show", "search", "--json"))
    assert (shown["version"], shown["kept_versions"], shown["without_workers"]) == (3, [3, 2, 1], ["minilm", "v2"])
    assert json.loads(told("show", "search", "--version", "2", "--json"))["shares"] == {"minilm": 75.0, "v2": 25.0}
    assert "version 4, minilm 75 %" in told("rollback", "search", "2")
    assert "deleted by version 5" in told("delete", "search")
    assert "was deleted; `rerank-fleet route rollback search`" in refused("show", "search")
    assert "version 6, minilm 75 %" in told("rollback", "search")


def test_a_model_without_a_live_worker_is_told_and_taken() -> None:
    output = told("set", "search", "minilm=1")
    assert "warning: no live worker serves minilm" in output


def test_a_lost_race_is_told_with_the_version_that_is_there() -> None:
    told("set", "search", "a=1")
    told("set", "search", "b=1")
    assert "has version 2" in refused("set", "search", "c=1", "--if-version", "1")
    assert "has version 2" in refused("delete", "search", "--if-version", "1")
    assert "has version 2" in refused("rollback", "search", "--if-version", "1")


def test_shares_leave_the_rest_of_a_route_as_it_is_and_a_file_says_all(tmp_path: Path) -> None:
    whole = tmp_path / "route.toml"
    whole.write_text('about = "pages"\nshares = { a = 1 }\nshadow = { b = 0.5 }\n[limits]\ntop_n = 5\n')
    told("set", "search", "--file", str(whole))
    told("set", "search", "b=1", "c=3")
    shown = json.loads(told("show", "search", "--json"))
    assert (shown["about"], shown["limits"], shown["shares"]) == ("pages", {"top_n": 5}, {"b": 1.0, "c": 3.0})
    fleet = tmp_path / "all.toml"
    fleet.write_text("[routes.search]\nshares = { d = 1 }\n[routes.other]\nshares = { a = 1 }\n")
    told("set", "search", "--file", str(fleet))
    shown = json.loads(told("show", "search", "--json"))
    assert (shown["shares"], "about" in shown) == ({"d": 1.0}, False)
    assert "has no table [routes.third]" in refused("set", "third", "--file", str(fleet))
    assert "can't be read" in refused("set", "third", "--file", str(tmp_path / "gone.toml"))


def test_a_shadow_is_set_beside_the_shares_and_taken_away() -> None:
    told("set", "search", "a=1")
    output = told("set", "search", "--shadow", "b=0.05", "--shadow", "c=1")
    assert "search: version 2, a 100 %, shadow b 5 %, c 100 %" in output
    assert "warning: no live worker serves b; what it is to score is dropped" in output
    assert "version 3, a 75 %, d 25 %, shadow b 5 %, c 100 %" in told("set", "search", "a=3", "d=1")
    assert json.loads(told("show", "search", "--json"))["shadow"] == {"b": 0.05, "c": 1.0}
    assert "version 4, a 75 %, d 25 %, shadow b 100 %" in told("set", "search", "--shadow", "b=1")
    assert "shadow" not in told("set", "search", "--shadow", "none")
    assert "scores none" in told("set", "search", "a=1", "--shadow", "a=1")
    assert "shadow.b: " in refused("set", "search", "--shadow", "b=1.5")
    assert "'b': MODEL=SHARE expected" in refused("set", "search", "--shadow", "b")
    assert "there is no route 'searc'; did you mean search?" in refused("set", "searc", "--shadow", "b=1")
    assert "there is no route" in refused("set", "fresh", "--shadow", "b=1")


def test_stages_are_told_as_they_run(tmp_path: Path) -> None:
    path = tmp_path / "route.toml"
    path.write_text(
        "shares = { a = 1 }\n[[stages]]\nmodel = 'a'\n[[stages]]\nmodel = 'b'\nkeep = 20\n"
        "[[stages]]\nmodel = 'c'\nkeep = 'auto'\n[[stages]]\nmodel = 'd'\n"
    )
    stages = "a, then b for the best 20, then c for as many as fit, then d for all"
    assert f"search: version 1, a 100 %, stages {stages}" in " ".join(
        told("set", "search", "--file", str(path)).split()
    )
    assert stages in " ".join(told("show", "search").split())
    # A narrow terminal breaks the line in the table's column.
    assert "a, then b for the" in " ".join(told("list").split())


def test_the_list_shows_shadows_and_models_that_nobody_serves() -> None:
    told("set", "plain", "a=1")
    assert "shadow" not in told("list")
    told("set", "search", "a=1", "--shadow", "b=0.05")
    listed = told("list")
    assert "b 5 %" in listed
    assert "warning: no live worker serves b: `rerank-fleet models load b` or `rerank-fleet worker --model b`" in listed


def test_a_shadow_that_is_the_live_model_by_another_name_is_told(settings: Settings) -> None:
    own = "the shadow file:/models/l12 is org/name by another name, so org/name is compared with itself"
    other, keys = replace(IDENTITY, model="org/other", model_digest="cc"), Keys(settings.namespace)
    with connect(settings) as client:
        now = server_epoch(client)
        announce(client, keys, IDENTITY, "a-1", now=now, names=["org/name", "file:/models/l12"])
        announce(client, keys, other, "a-2", now=now)
    output = told("set", "search", "org/name=1", "--shadow", "file:/models/l12=1", "--shadow", "org/other=1")
    assert f"warning: {own}" in output
    assert "warning: the shadow org/other" not in output
    assert ("warn", f"search: {own}") in doctor()
    assert "by another name" not in told("set", "search", "--shadow", "org/other=1")
    assert not [message for _, message in doctor() if "by another name" in message]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("x", "a", "b=1", "b=2"), ["'a': MODEL=WEIGHT expected", "shares.b: named twice"]),
        (("x", "a=0", "b=many"), ["shares.a: ", "shares.b: "]),
        (("x", "search=1"), ["'search' is a route too"]),
        (("x", "x=1"), ["'x' is the route itself"]),
        (("m", "a=1"), ["route 'search' names 'm' as a model"]),
        (("n" * 65, "a=1"), ["has 65 characters, and 64 are the limit"]),
    ],
)
def test_each_mistake_is_named(arguments: tuple[str, ...], said: list[str]) -> None:
    told("set", "search", "m=1")
    message = refused("set", *arguments)
    for each in said:
        assert each in message


@pytest.mark.parametrize("arguments", [("set", "x"), ("set", "x", "a=1", "--file", "f"), ("set",), ("rollback",)])
def test_a_wrong_use_is_told_as_such(arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2


def test_a_record_that_can_not_be_read_is_told_and_replaced_on_request(settings: Settings) -> None:
    with connect(settings) as client:
        client.hset(Keys(settings.namespace).routes, "search", b"newer")
    assert "route search can't be read by this release" in told("list")
    assert ("warn", "search can't be read by this release, for which it is absent") in doctor()
    assert "can't be read by this release and is replaced" in told("set", "search", "a=1")


def test_the_doctor_compares_the_file_with_what_is_in_force(tmp_path: Path) -> None:
    assert doctor() == []
    told("set", "search", "a=1")
    (tmp_path / "fleet.toml").write_text("[routes.search]\nshares = { b = 1 }\n")
    found = [message for _, message in doctor()]
    assert any("an operator set on host" in message for message in found)
    assert any("no live worker serves a, to which search leads" in message for message in found)
    told("set", "search", "--shadow", "c=1")
    assert any("no live worker serves c, the shadow of search" in message for _, message in doctor())
    (tmp_path / "fleet.toml").write_text("[routes.search]\nshares = {}\n")
    assert ("fail", f"{tmp_path}/fleet.toml: routes.search: shares: one model at least expected") in doctor()
