"""Changes of live processes: one of each host at a time, and none is waited for without end."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis

from rerank_ops.models.changing import Changing, Outcome
from rerank_ops.models.patience import Patience
from rerank_shared.contract.messages import Heartbeat
from rerank_shared.contract.model_commands import ModelChange, ProcessModels, Verb
from rerank_shared.errors import QueueUnavailable
from rerank_shared.settings import load_settings

BEGUN, DONE = ModelChange("load", "m", "begun"), ModelChange("load", "m", "done", "m, 1 MB")


@dataclass
class Processes:
    """Processes that answer by a script; each is at its change for a second of a clock that `sleep` moves."""

    names: Collection[str]
    now: float = 0.0
    asked: list[tuple[float, list[str]]] = field(default_factory=list)
    begun_at: dict[str, float] = field(default_factory=dict)
    silent: Callable[[str, float], bool] = lambda worker, now: False
    ends_after_s: float = 1.0
    last: ModelChange = DONE
    away: Callable[[float], bool] = lambda now: False
    said: list[str] = field(default_factory=list)

    def change(self, verb: Verb, model: str, workers: Collection[str]) -> dict[str, ModelChange]:
        self.reach()
        heard = sorted(worker for worker in workers if not self.silent(worker, self.now))
        self.asked.append((self.now, heard))
        for worker in heard:
            self.begun_at.setdefault(worker, self.now)
        return dict.fromkeys(heard, BEGUN)

    def models(self, workers: Collection[str]) -> dict[str, ProcessModels]:
        self.reach()
        ended = {worker: self.now - self.begun_at[worker] >= self.ends_after_s for worker in workers}
        return {worker: ProcessModels((), change=self.last if over else BEGUN) for worker, over in ended.items()}

    def reach(self) -> None:
        if self.away(self.now):
            raise redis.ConnectionError

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def run(
        self, *, alive: Callable[[], set[str]] | None = None, timeout_s: float = 60.0, verb: Verb = "load"
    ) -> list[Outcome]:
        return list(self.outcomes(alive, timeout_s, verb))

    def outcomes(
        self, alive: Callable[[], set[str]] | None = None, timeout_s: float = 60.0, verb: Verb = "load"
    ) -> Iterator[Outcome]:
        asker: Any = self
        patience = Patience(load_settings(), "loading a model", self.said.append, clock=lambda: self.now)
        alive = alive or (lambda: {*self.names})
        changing = Changing(asker, verb, "m", alive, timeout_s, patience, lambda: self.now, self.sleep)
        return changing.run(beat(name) for name in self.names)


def beat(name: str) -> Heartbeat:
    return Heartbeat(name, "m", name.partition("-")[0], 1, None, 0.0, 1.0, 0, 0)


def test_hosts_go_side_by_side_and_the_processes_of_one_in_turn() -> None:
    processes = Processes(["a-1", "a-2", "b-1"])
    outcomes = processes.run()
    assert [(outcome.worker, outcome.host, outcome.change) for outcome in outcomes] == [
        ("a-1", "a", DONE),
        ("b-1", "b", DONE),
        ("a-2", "a", DONE),
    ]
    assert [names for _, names in processes.asked] == [["a-1", "b-1"], ["a-2"]]


def test_one_that_is_reconnecting_is_asked_again() -> None:
    processes = Processes(["a-1"], silent=lambda worker, now: now < 5)
    assert [outcome.change for outcome in processes.run()] == [DONE]


def test_one_that_never_answers_is_given_up_and_the_next_of_its_host_goes_on() -> None:
    processes = Processes(["a-1", "a-2"], silent=lambda worker, now: worker == "a-1")
    assert [(each.change.state, each.change.told) for each in processes.run()] == [
        ("failed", "no answer within 10 s: it is frozen, cut off or very busy"),
        ("done", "m, 1 MB"),
    ]


def test_one_whose_heartbeat_ends_is_not_waited_for() -> None:
    processes = Processes(["a-1"], ends_after_s=1e9)
    (outcome,) = processes.run(alive=lambda: {"a-1"} if processes.now < 3 else set())
    ended = "its heartbeat has ended: the process ended, or is frozen or cut off; its jobs are run by others"
    assert outcome.change.told == ended
    assert processes.now < 5


def test_one_that_takes_too_long_is_told_as_such() -> None:
    (outcome,) = Processes(["a-1"], ends_after_s=1e9).run(timeout_s=20)
    assert outcome.change.told == "not done after 20 s; it goes on, and `rerank-fleet models` shows it"


@pytest.mark.parametrize("last", [ModelChange("load", "other", "begun"), ModelChange("unload", "m", "done")])
def test_a_change_of_somebody_else_is_not_taken_for_the_own(last: ModelChange) -> None:
    (outcome,) = Processes(["a-1"], last=last).run()
    assert outcome.change.told == "another change came between; `rerank-fleet models` shows what it serves"


def test_redis_away_is_waited_out_and_nobody_is_taken_for_dead_before_its_next_heartbeat() -> None:
    """The outage begins while a-1 is at its change, and lasts longer than a heartbeat and the time-out."""
    processes = Processes(["a-1", "a-2"], away=lambda now: 0.5 < now < 40)
    outcomes = processes.run(alive=lambda: {*processes.names} if processes.now < 1 or processes.now > 45 else set())
    assert [(each.worker, each.change) for each in outcomes] == [("a-1", DONE), ("a-2", DONE)]
    assert "The command waits for 60 s at most." in processes.said[0]
    assert processes.said[1:] == ["Redis is back: the command goes on"]


def test_redis_that_stays_away_ends_the_command_with_what_is_known_of_each() -> None:
    processes = Processes(["a-1", "a-2", "b-1", "c-1"], away=lambda now: now > 0.5, silent=lambda w, _: w == "c-1")
    found: list[Outcome] = []
    with pytest.raises(QueueUnavailable, match="while loading a model"):
        found.extend(processes.outcomes())
    assert [(each.worker, each.known, each.change.told) for each in found] == [
        ("a-1", False, "had begun to load, and goes on by itself"),
        ("a-2", False, "was not asked"),
        ("b-1", False, "had begun to load, and goes on by itself"),
        ("c-1", False, "may have been asked or not"),
    ]


def test_one_that_unloaded_the_model_without_being_heard_has_done_it() -> None:
    class Unheard(Processes):
        def change(self, verb: Verb, model: str, workers: Collection[str]) -> dict[str, ModelChange]:
            self.asked.append((self.now, sorted(workers)))
            absent = ModelChange("unload", "m", "absent", "it serves n")
            return {} if len(self.asked) == 1 else dict.fromkeys(workers, absent)

    (outcome,) = Unheard(["a-1"]).run(verb="unload")
    assert (outcome.change.state, outcome.change.told) == ("done", "m is served no longer; it serves n")
