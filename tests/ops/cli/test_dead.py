"""`rerank-fleet dead`, on a queue without workers."""

from __future__ import annotations

import json
from collections.abc import Iterator

import msgpack
import pytest

from rerank_shared.settings import Settings, to_environ
from support.commands import CommandLine
from support.queue.dying import set_aside
from support.queue.queueing import Queueing, queueing

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("cli")]


@pytest.fixture
def queue(settings: Settings) -> Iterator[Queueing]:
    with queueing(settings) as opened:
        yield opened


@pytest.fixture
def command(queue: Queueing, environ: dict[str, str]) -> CommandLine:
    return CommandLine(environ | to_environ(queue.settings))


def test_list_says_what_there_is_or_that_there_is_nothing(queue: Queueing, command: CommandLine) -> None:
    run = command.run("dead", "list")
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "no job was set aside\n")
    job = set_aside(queue)
    wide = CommandLine(command.environ | {"COLUMNS": "200"})
    header, line = wide.run("dead", "list").stdout.splitlines()
    assert header.split() == ["job", "model", "queue", "deaths", "last", "worker", "set", "aside"]
    assert line.split()[:3] == [job.job_id, job.model, "jobs.interactive"]
    (found,) = json.loads(command.run("dead", "list", "--json").stdout)
    assert (found["job_id"], found["deaths"], found["queue"]) == (job.job_id, 1, "jobs.interactive")
    assert (found["model"], found["pool"]) == (job.model, None)


def test_a_letter_that_holds_no_job_is_listed_without_a_model(queue: Queueing, command: CommandLine) -> None:
    record = msgpack.packb([1, "dead", ["foreign", "jobs.bulk@ab12", '{"headers": {}}', 3, "w", 1e9]])
    queue.client.hset(queue.keys.dead, "foreign", record)
    queue.client.zadd(queue.keys.dead_index, {"foreign": 1e9})
    (found,) = json.loads(command.run("dead", "list", "--json").stdout)
    assert (found["model"], found["queue"], found["pool"]) == (None, "jobs.bulk@ab12", "ab12")
    assert "unknown" in command.run("dead", "list").stdout


def test_text_is_shown_only_on_request(queue: Queueing, command: CommandLine) -> None:
    job = set_aside(queue, ("private " * 30, "two words"))
    run = command.run("dead", "show", job.job_id)
    assert run.returncode == 0
    assert "private" not in run.stdout
    assert "secret" not in run.stdout
    shown = json.loads(command.run("dead", "show", job.job_id, "--json").stdout)
    assert (shown["documents"], shown["document_lengths"], shown["tenant"]) == (2, [240, 9], "acme")
    with_text = command.run("dead", "show", job.job_id, "--text").stdout
    assert "the secret query" in with_text
    assert with_text.count("private") == 10


def test_retry_and_drop_take_names_or_all(queue: Queueing, command: CommandLine) -> None:
    first, second, third = (set_aside(queue) for _ in range(3))
    run = command.run("dead", "retry", first.job_id, "unknown")
    assert run.returncode == 1
    assert f"{first.job_id}: attempt 2" in run.stderr
    assert "unknown: no job" in run.stderr
    run = command.run("dead", "drop", second.job_id)
    assert (run.returncode, run.stderr) == (0, "1 jobs dropped\n")
    run = command.run("dead", "drop", "--all", stdin="n\n")
    assert run.returncode == 1
    assert command.run("dead", "retry", "--all").returncode == 0
    assert queue.client.hlen(queue.keys.waiting("interactive")) == 2
    assert sorted(queue.receiver().take(9)) == sorted([first.job_id, third.job_id])
    assert command.run("dead", "drop", "--all", "--yes").stderr == "0 jobs dropped\n"


@pytest.mark.parametrize("arguments", [(), ("--all", "job")])
def test_names_and_all_exclude_each_other(command: CommandLine, arguments: tuple[str, ...]) -> None:
    assert command.run("dead", "retry", *arguments).returncode == 2
