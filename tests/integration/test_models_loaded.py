"""Models are loaded in processes that are at work, and what can't be loaded changes nothing."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest

from conftest import StartFleet
from rerank_ops.models.asking import Asker
from rerank_producer import RerankClient
from rerank_shared.queue.celery_app import make_celery
from support.changing import change, models_of, names_of, told
from support.fleet import TestFleet
from support.jobs import passages
from support.model.artefacts import rewrite
from support.model.exports import random_body, write_export
from support.waiting import wait_until

pytestmark = pytest.mark.integration
QUERY = "which rooms has the old house by the river?"
SMALL, OTHER = "tests/random-0", "tests/random-1"


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directories of exports: two that work, a copy of the first, one of NaN, and one that failed its gate."""
    root = tmp_path_factory.mktemp("exports")
    write_export(root / "small", layouts=("unpadded",))
    write_export(root / "copy", layouts=("unpadded",))
    write_export(root / "other", layouts=("unpadded",), seed=1)
    broken = random_body(seed=2)
    broken.layers[0].down.bias[:] = np.nan
    write_export(root / "broken", layouts=("unpadded",), seed=2, body=broken)
    write_export(root / "ungated", layouts=("unpadded",), seed=3, quality=None)
    rewrite(write_export(root / "later", layouts=("unpadded",), seed=4), head="late-interaction")
    return root


@pytest.fixture
def fleet(start_fleet: StartFleet, exports: Path) -> TestFleet:
    return start_fleet(model=f"file:{exports}/small", redelivery_s=1.0, cache=False)


def test_a_model_is_loaded_beside_running_work_and_served_by_its_names(
    fleet: TestFleet, start_fleet: StartFleet, exports: Path
) -> None:
    fleet.start()
    source = f"file:{exports}/other"
    with RerankClient(fleet.settings) as client:
        bulk = [client.submit(QUERY, passages(600, n), job_class="bulk") for n in range(6)]
        outcomes = change(fleet, "load", source)
        assert {outcome.change.state for outcome in outcomes.values()} == {"done"}
        assert names_of(fleet) == [[SMALL, OTHER]] * 2
        for name in (OTHER, source):
            answer = client.rerank(QUERY, passages(3), model=name, partial=False, deadline_ms=60_000)
            assert answer.model.name == OTHER
        assert all(client.collect(handle, timeout_ms=120_000).complete for handle in bulk)
        # The processes of the pool are those of a fleet that was started with the model.
        assert start_fleet(model=source).state().pools[0].id in {pool.id for pool in fleet.state().pools}
    assert [len(pool.workers) for pool in fleet.state().pools if pool.model == OTHER] == [3]


def test_a_model_that_is_served_already_is_told_and_loaded_once(fleet: TestFleet, exports: Path) -> None:
    assert told(change(fleet, "load", SMALL)) == {("done", f"{SMALL} is served already")}
    assert told(change(fleet, "load", f"file:{exports}/copy")) == {("done", f"it is {SMALL}, which is served already")}
    assert names_of(fleet) == [[SMALL]]


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("no/such-model", "model 'no/such-model' is neither in the catalogue"),
        ("file:/nowhere", "model directory /nowhere does not exist"),
        ("file:{exports}/ungated", "never put through the quality gate"),
        ("file:{exports}/later", "has the head 'late-interaction', and this release scores sequence-classification"),
        ("file:{exports}/broken", "gives nan for plain English text of 16 tokens: its weights are damaged"),
    ],
)
def test_what_can_t_be_loaded_is_told_and_changes_nothing(
    fleet: TestFleet, exports: Path, model: str, reason: str
) -> None:
    """The last one fails half way, in its first run."""
    ((state, why),) = told(change(fleet, "load", model.format(exports=exports)))
    assert state == "failed"
    assert reason in why
    assert names_of(fleet) == [[SMALL]]
    with RerankClient(fleet.settings) as client:
        assert client.rerank(QUERY, passages(3), partial=False, deadline_ms=60_000).complete
    ((state, _),) = told(change(fleet, "load", f"file:{exports}/other"))
    assert state == "done"


def test_a_model_beyond_the_budget_is_refused_with_numbers(
    start_fleet: StartFleet, exports: Path, tmp_path: Path
) -> None:
    wide = write_export(tmp_path / "wide", layouts=("unpadded",), seed=5, hidden=256)
    fleet = start_fleet(model=f"file:{exports}/small", model_memory_mb=12)
    ((state, why),) = told(change(fleet, "load", f"file:{wide}"))
    assert state == "failed"
    assert f"file:{wide} needs 38 MB by its files, and 8 MB of 12 MB (RERANK_MODEL_MEMORY_MB) are free" in why
    assert told(change(fleet, "load", f"file:{exports}/other")).pop()[0] == "done"
    (found,) = models_of(fleet).values()
    assert sum(model.weights_bytes for model in found.models) == 12_000_000 - (found.free_bytes or 0)


@pytest.mark.faults
def test_a_worker_that_is_killed_while_it_loads_loses_no_job(
    fleet: TestFleet, start_fleet: StartFleet, exports: Path
) -> None:
    mortal = start_fleet(mortal="loading", model=f"file:{exports}/small", redelivery_s=1.0, cache=False)
    with RerankClient(fleet.settings) as client:
        handles = [client.submit(QUERY, passages(200, n), deadline_ms=120_000) for n in range(6)]
        outcomes = change(fleet, "load", f"file:{exports}/other")
        wait_until(lambda: mortal.processes[0].poll() == -signal.SIGKILL, "the worker died while it loaded")
        states = {name: (outcome.change.state, outcome.change.told) for name, outcome in outcomes.items()}
        assert states["test-0"][0] == "done"
        assert states["test-10"] == ("failed", "the process ended meanwhile; its jobs are run by others")
        assert all(client.collect(handle, timeout_ms=120_000).complete for handle in handles)


def test_a_worker_of_an_earlier_release_is_told_apart(fleet: TestFleet, start_fleet: StartFleet, exports: Path) -> None:
    start_fleet(mortal="older", model=f"file:{exports}/small")
    outcomes = change(fleet, "load", f"file:{exports}/other")
    assert {name: outcome.change.state for name, outcome in outcomes.items()} == {"test-0": "done", "test-10": "failed"}
    assert "it is of an earlier release" in outcomes["test-10"].change.told
    assert models_of(fleet).keys() == {"test-0"}


def test_a_worker_that_is_told_to_stop_while_it_loads_ends_in_order(fleet: TestFleet, exports: Path) -> None:
    with make_celery(fleet.settings) as app:
        assert Asker(app).change("load", f"file:{exports}/other", ["test-0"])["test-0"].state == "begun"
    fleet.processes[0].terminate()
    assert fleet.processes[0].wait(timeout=60) == 0
    assert "Traceback" not in fleet.log()
