"""The record of a rollout: what a command that takes one up finds out, and who may lead it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from rerank_ops.rollout.beginning import begin_or_resume, turned_back
from rerank_ops.rollout.record import Records
from rerank_shared.errors import ConfigurationError, RolloutTaken
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.route_store.store import RouteStore
from rerank_shared.routing.rollout import Record
from rerank_shared.routing.rollout_plan import Drift, Plan
from rerank_shared.routing.route import Route, Share
from rerank_shared.routing.spec import read_route
from rerank_shared.settings import Settings

PLAN = Plan(steps=(5.0, 100.0))
RECORD = Record("search", "v1", "v2", PLAN, (1,))


@pytest.fixture
def store(settings: Settings) -> Iterator[RouteStore]:
    with connect(settings) as client:
        store = RouteStore(client, Keys(settings.namespace))
        store.set(read_route("search", {"shares": {"v1": 1}}))
        yield store


def records(store: RouteStore) -> Records:
    """Return the records as a command of its own has them."""
    return Records(store.client, store.keys, "search")


def not_waiting(_: float) -> bool:
    return True


def test_a_record_comes_back_as_it_was_written(store: RouteStore) -> None:
    written = replace(RECORD, state="holding", step=0, drift=Drift(1, 2, 0.1, 0.2, 0.9), held_since=5.5)
    mine = records(store)
    mine.write(written)
    found = mine.read()
    assert found is not None
    assert replace(found, led_by="") == written


def test_a_record_of_a_newer_release_counts_as_absent(store: RouteStore) -> None:
    store.client.set(store.keys.rollout("search"), b'{"route": 1}')
    assert records(store).read() is None


class TestChange:
    def test_a_change_that_was_made_is_known_by_version_and_shares(self) -> None:
        moving = replace(RECORD, state="moving")
        made = Route("search", (Share("v1", 95.0), Share("v2", 5.0)), version=2)
        assert moving.made_by(made)
        assert not moving.made_by(replace(made, version=3))
        assert not moving.made_by(replace(made, shares=(Share("v1", 1.0),)))
        assert not RECORD.made_by(made)
        changed = moving.changed(2, now=7.0)
        assert (changed.state, changed.step, changed.percent, changed.version) == ("holding", 0, 5.0, 2)
        assert changed.held_since == 7.0

    def test_the_last_step_leads_to_the_new_model_alone(self) -> None:
        last = replace(RECORD, state="moving", step=0)
        assert last.shares(last.wanted) == (Share("v2", 100.0),)

    def test_back_is_the_old_model_alone(self) -> None:
        returning = replace(RECORD, state="returning", step=1)
        aborting = replace(RECORD, state="aborting", step=1)
        assert returning.shares(returning.wanted) == aborting.shares(aborting.wanted) == (Share("v1", 100.0),)
        assert (returning.changed(4, 0.0).state, aborting.changed(4, 0.0).state) == ("returned", "aborted")


class TestBegin:
    def test_the_same_command_takes_up_what_has_not_ended(self, store: RouteStore) -> None:
        mine = records(store)
        assert begin_or_resume(store, mine, "v2", PLAN) == RECORD
        mine.write(replace(RECORD, state="holding", step=0))
        assert begin_or_resume(store, mine, "v2", PLAN).step == 0
        with pytest.raises(ConfigurationError, match="with other options is at 5 %"):
            begin_or_resume(store, mine, "v3", PLAN)
        mine.write(replace(RECORD, state="aborted"))
        assert begin_or_resume(store, mine, "v3", PLAN).new == "v3"

    def test_a_route_is_no_model(self, store: RouteStore) -> None:
        store.set(read_route("other", {"shares": {"v1": 1}}))
        with pytest.raises(ConfigurationError, match="other"):
            begin_or_resume(store, records(store), "other", PLAN)


class TestTurnBack:
    def test_before_the_first_step_the_route_is_not_touched(self, store: RouteStore) -> None:
        mine = records(store)
        mine.write(RECORD)
        assert turned_back(store, mine).state == "aborted"

    def test_a_step_that_was_made_and_not_noted_is_taken_back(self, store: RouteStore) -> None:
        mine = records(store)
        mine.write(replace(RECORD, state="moving"))
        store.set(read_route("search", {"shares": {"v1": 95, "v2": 5}}))
        found = turned_back(store, mine)
        assert (found.state, found.step, found.version) == ("aborting", 0, 2)

    def test_what_has_ended_is_not_turned_back(self, store: RouteStore) -> None:
        mine = records(store)
        mine.write(replace(RECORD, state="done"))
        with pytest.raises(ConfigurationError, match="the last one ended as done"):
            turned_back(store, mine)


class TestClaim:
    def test_who_lives_keeps_others_out(self, store: RouteStore) -> None:
        first, second = records(store), records(store)
        first.claim(not_waiting)

        def first_lives(_: float) -> bool:
            first.renew()
            return False

        with pytest.raises(RolloutTaken, match="is led by"):
            second.claim(first_lives)

    def test_a_dead_one_is_followed_when_its_claim_is_over(self, store: RouteStore) -> None:
        records(store).claim(not_waiting)

        def runs_out(_: float) -> bool:
            store.client.delete(store.keys.rollout_holder("search"))
            return False

        second = records(store)
        second.claim(runs_out)
        assert second.leader() is not None
        second.release()
        assert second.leader() is None

    def test_who_was_taken_over_learns_it_though_the_other_has_ended(self, store: RouteStore) -> None:
        first, second = records(store), records(store)
        first.claim(not_waiting)
        first.write(RECORD)
        second.take_over()
        with pytest.raises(RolloutTaken, match="taken over"):
            first.renew()
        second.write(replace(RECORD, state="aborted"))
        second.release()
        with pytest.raises(RolloutTaken, match="taken over"):
            first.renew()
