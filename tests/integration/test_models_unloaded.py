"""A model is unloaded from processes that are at work: its jobs go elsewhere, and its session is freed."""

from __future__ import annotations

import psutil
import pytest

from conftest import StartFleet
from rerank_producer import NoWorkers, RerankClient
from rerank_shared.keys import Keys
from support.changing import change, models_of, names_of, told
from support.fleet import TestFleet
from support.jobs import celery_of, make_job, passages, send
from support.model.exports import write_export
from support.waiting import wait_until

pytestmark = pytest.mark.integration
QUERY = "which rooms has the old house by the river?"
SMALL, OTHER = "tests/random-0", "tests/random-1"


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The sources of two models."""
    root = tmp_path_factory.mktemp("exports")
    small, other = (write_export(root / f"m{seed}", layouts=("unpadded",), seed=seed) for seed in (0, 1))
    return f"file:{small}", f"file:{other}"


@pytest.fixture
def fleet(start_fleet: StartFleet, both: tuple[str, str]) -> TestFleet:
    """One process that serves both."""
    return start_fleet(model=both[0], models=both, redelivery_s=1.0, cache=False)


def pool_of(fleet: TestFleet, model: str) -> str:
    return next(pool.id for pool in fleet.state().pools if pool.model == model)


def mapped(fleet: TestFleet, source: str) -> list[str]:
    """The files of a model that the process maps. Packed weights lie elsewhere, so the fleet packs none."""
    directory = source.removeprefix("file:")
    return [each.path for each in psutil.Process(fleet.processes[0].pid).memory_maps() if directory in each.path]


def test_requests_in_flight_are_answered_by_another_process(fleet: TestFleet) -> None:
    fleet.start()
    with RerankClient(fleet.settings) as client:
        handles = [client.submit(QUERY, passages(300, n), model=OTHER, deadline_ms=120_000) for n in range(8)]
        wait_until(lambda: all(worker.held_jobs for worker in fleet.state().workers), "both processes hold some")
        outcomes = change(fleet, "unload", OTHER, on=["test-0"])
        assert outcomes["test-0"].change.state == "done"
        assert names_of(fleet) == [[SMALL], [SMALL, OTHER]]
        assert all(client.collect(handle, timeout_ms=120_000).complete for handle in handles)
    wait_until(lambda: fleet.client.hlen(fleet.keys.unacked) == 0, "the jobs are off the books")


def test_requests_for_a_model_that_no_process_serves_any_more_wait_for_one(
    fleet: TestFleet, start_fleet: StartFleet, both: tuple[str, str]
) -> None:
    keys, pool = Keys(fleet.settings.namespace), pool_of(fleet, OTHER)
    with RerankClient(fleet.settings) as client:
        handles = [client.submit(QUERY, passages(400, n), model=OTHER, deadline_ms=120_000) for n in range(4)]
        wait_until(fleet.held_jobs, "the process holds some")
        assert told(change(fleet, "unload", both[1])).pop()[0] == "done"
        assert fleet.client.zcard(keys.of(pool).workers) == 0
        with pytest.raises(NoWorkers):
            client.rerank(QUERY, passages(2, 9), model=OTHER, partial=False, deadline_ms=3_000)
        assert client.rerank(QUERY, passages(2, 9), partial=False, deadline_ms=60_000).model.name == SMALL
        start_fleet(model=both[1], redelivery_s=1.0)
        assert all(client.collect(handle, timeout_ms=120_000).complete for handle in handles)


def test_a_plain_sender_s_job_goes_to_where_the_model_still_is(
    fleet: TestFleet, start_fleet: StartFleet, both: tuple[str, str]
) -> None:
    start_fleet(model=both[1])
    change(fleet, "unload", OTHER, on=["test-0"])
    with celery_of(fleet.settings) as app:
        sent = send(app, fleet.settings, make_job(fleet.settings, QUERY, passages(2), model=OTHER))
        assert sent.get(timeout=60)["artefact"][0] == OTHER


def test_the_first_model_is_unloaded_too_and_its_session_is_freed(
    start_fleet: StartFleet, both: tuple[str, str]
) -> None:
    fleet = start_fleet(model=both[0], models=both, packed_dir="off")
    assert mapped(fleet, both[0])
    assert told(change(fleet, "unload", SMALL)).pop()[0] == "done"
    wait_until(lambda: not mapped(fleet, both[0]), "its files are not mapped any more")
    assert mapped(fleet, both[1])
    assert [worker.model for worker in fleet.state().workers] == [OTHER]
    assert told(change(fleet, "load", both[0])).pop()[0] == "done"
    assert names_of(fleet) == [[OTHER, SMALL]]


def test_the_only_model_stays_and_one_that_is_not_served_is_told(fleet: TestFleet, both: tuple[str, str]) -> None:
    ((state, why),) = told(change(fleet, "unload", "no/such-model"))
    assert (state, why) == ("absent", f"it serves {', '.join(sorted([SMALL, OTHER, *both]))}")
    change(fleet, "unload", OTHER)
    assert told(change(fleet, "unload", SMALL)) == {
        ("failed", "it is the only model of this process: load another one first, or stop the process")
    }


def test_a_process_that_starts_anew_serves_its_settings(fleet: TestFleet) -> None:
    change(fleet, "unload", OTHER)
    fleet.kill()
    fleet.start()
    assert [model.names[0] for model in models_of(fleet)["test-1"].models] == [SMALL, OTHER]
