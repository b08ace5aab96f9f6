"""Changes of live processes: one of each host at a time, and none is waited for without end."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import pytest

from rerank_ops.models.changing import Changing, Outcome
from rerank_shared.contract.messages import Heartbeat
from rerank_shared.contract.model_commands import ModelChange, ProcessModels, Verb

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

    def change(self, verb: Verb, model: str, workers: Collection[str]) -> dict[str, ModelChange]:
        heard = sorted(worker for worker in workers if not self.silent(worker, self.now))
        self.asked.append((self.now, heard))
        for worker in heard:
            self.begun_at.setdefault(worker, self.now)
        return dict.fromkeys(heard, BEGUN)

    def models(self, workers: Collection[str]) -> dict[str, ProcessModels]:
        ended = {worker: self.now - self.begun_at[worker] >= self.ends_after_s for worker in workers}
        return {worker: ProcessModels((), change=self.last if over else BEGUN) for worker, over in ended.items()}

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def run(self, *, alive: Callable[[], set[str]] | None = None, timeout_s: float = 60.0) -> list[Outcome]:
        asker: Any = self
        changing = Changing(
            asker, "load", "m", alive or (lambda: {*self.names}), timeout_s, lambda: self.now, self.sleep
        )
        return list(changing.run(beat(name) for name in self.names))


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
        ("failed", "no answer within 10 s"),
        ("done", "m, 1 MB"),
    ]


def test_one_whose_heartbeat_ends_is_not_waited_for() -> None:
    processes = Processes(["a-1"], ends_after_s=1e9)
    (outcome,) = processes.run(alive=lambda: {"a-1"} if processes.now < 3 else set())
    assert outcome.change.told == "the process ended meanwhile; its jobs are run by others"
    assert processes.now < 5


def test_one_that_takes_too_long_is_told_as_such() -> None:
    (outcome,) = Processes(["a-1"], ends_after_s=1e9).run(timeout_s=20)
    assert outcome.change.told == "not done after 20 s; it goes on, and `rerank-fleet models` shows it"


@pytest.mark.parametrize("last", [ModelChange("load", "other", "begun"), ModelChange("unload", "m", "done")])
def test_a_change_of_somebody_else_is_not_taken_for_the_own(last: ModelChange) -> None:
    (outcome,) = Processes(["a-1"], last=last).run()
    assert outcome.change.told == "another change came between; `rerank-fleet models` shows what it serves"
