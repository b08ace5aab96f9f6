"""Several models in one worker process: each request is answered by the model it names, whatever the others do."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from conftest import StartFleet
from rerank_ops.local.fleet import local_fleet
from rerank_producer import RerankClient
from rerank_shared.contract.messages import name_of
from rerank_shared.errors import ConfigurationError, UnknownModel
from rerank_shared.models.catalogue import load_files
from rerank_shared.settings import Settings, bare_environ, load_settings, to_environ
from rerank_worker.engine import open_engine
from rerank_worker.loading import load_all
from rerank_worker.scorers.pair_classifier import PairClassifier
from support.commands import COMMAND
from support.fleet import TestFleet, alive
from support.jobs import passages
from support.model.exports import tokenizer, write_export
from support.waiting import wait_until

pytestmark = pytest.mark.integration
QUERY = "which rooms has the old house by the river?"
#: Wide enough that its weights, 94 MB in all, stand out of what a process takes anyway.
WIDE = 512


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"file:{write_export(tmp_path_factory.mktemp('exports') / 'small', layouts=('unpadded',))}"


@pytest.fixture
def both(settings: Settings, small: str) -> Settings:
    """Settings of a fleet whose processes serve the default model and a small one."""
    changes = {"models": (settings.model, small), "redelivery_s": 1.0}
    return load_settings(**(settings.model_dump(exclude_none=True) | changes))


def logits(client: RerankClient, documents: list[str], model: str | None = None) -> list[float | None]:
    response = client.rerank(QUERY, documents, model=model, partial=False, deadline_ms=60_000)
    return [result.logit for result in sorted(response.results, key=lambda result: result.index)]


def direct(source: str, documents: list[str]) -> list[float]:
    """The logits that an engine of this process gives, each pair in a run of its own."""
    engine = open_engine(load_files(source))
    return [float(engine.score([pair])[0]) for pair in tokenizer().encode(QUERY, documents, 512)]


def test_each_request_is_answered_by_the_model_that_it_names(
    start_fleet: StartFleet, both: Settings, small: str
) -> None:
    fleet = start_fleet(models=both.models)
    documents = passages(6)
    with RerankClient(fleet.settings) as client:
        # No name means the first model; the export is known by its original's name and by where it lies.
        assert logits(client, documents) == direct(both.model, documents)
        for name in ("tests/random-0", small):
            assert logits(client, documents, name) == direct(small, documents)
        assert client.rerank(QUERY, documents, model=small).model.name == "tests/random-0"
        assert client.rerank(QUERY, documents, model=small).usage.pairs_run == 0
        with pytest.raises(UnknownModel, match="tests/random-0") as unknown:
            client.rerank(QUERY, documents, model="no/such-model")
        assert name_of(both.model) in unknown.value.message
    names = (name_of(both.model), "tests/random-0", small)
    assert fleet.client.zcard(fleet.keys.models) == len(names)
    assert all(fleet.client.hlen(fleet.keys.cost(name)) == 1 for name in names)


def test_interactive_requests_for_one_model_do_not_wait_for_the_bulk_of_the_other(
    start_fleet: StartFleet, both: Settings, small: str
) -> None:
    fleet = start_fleet(models=both.models, cache=False, concurrency=4)
    with RerankClient(fleet.settings) as client:
        bulk = [client.submit(QUERY, passages(500, 200), job_class="bulk") for _ in range(4)]
        wait_until(lambda: fleet.held_jobs() > 0, "the worker holds bulk")
        for _ in range(10):
            assert len(logits(client, passages(5), small)) == 5
        assert "done" not in {client.status(handle).state for handle in bulk}
        for handle in bulk:
            client.cancel(handle)


@pytest.mark.faults
def test_jobs_of_both_models_outlive_the_process_that_had_them(
    start_fleet: StartFleet, both: Settings, small: str
) -> None:
    fleet = start_fleet(models=both.models, redelivery_s=1.0, mortal="mid-batch")
    with RerankClient(fleet.settings) as client:
        handles = [
            client.submit(QUERY, documents := passages(20), model=model, deadline_ms=120_000)
            for model in (None, small, None, small)
        ]
        wait_until(lambda: fleet.processes[0].poll() == -signal.SIGKILL, "the worker died in the middle of a batch")
        fleet.start()
        answers = [client.collect(handle, timeout_ms=60_000) for handle in handles]
    assert len(documents) == 20
    assert all(answer.complete for answer in answers)
    assert [answer.model.name for answer in answers] == [both.model, "tests/random-0"] * 2
    wait_until(lambda: fleet.client.hlen(fleet.keys.unacked) == 0, "the jobs are off the books")


def test_a_fork_server_loads_all_models_and_its_processes_share_them(both: Settings, small: str) -> None:
    with local_fleet(both.model_copy(update={"pin": False}), 2) as fleet, RerankClient(fleet.settings) as client:
        documents = passages(4)
        assert logits(client, documents, small) == direct(small, documents)
        assert logits(client, documents) == direct(both.model, documents)
        (parent,) = {psutil.Process(pid).ppid() for pid in fleet.supervisor.pids()}
        assert psutil.Process(parent).num_threads() == 1


def test_an_idle_model_costs_a_process_its_mapping_and_no_copy(settings: Settings, small: str, tmp_path: Path) -> None:
    wide = write_export(tmp_path / "wide", layouts=("unpadded",), seed=1, hidden=WIDE)
    size = sum(path.stat().st_size for path in wide.iterdir())
    assert size > 80e6

    def private_bytes(models: tuple[str, ...], logs: str) -> int:
        """Of one of two processes, once the first that started has written what both of them map."""
        (tmp_path / logs).mkdir()
        # Short pairs, so that what a run needs for its attention does not count.
        changes = {"model": small, "models": models, "namespace": f"{settings.namespace}-{logs}", "max_length": 64}
        changed = settings.model_dump(exclude_none=True) | changes
        with TestFleet(load_settings(**changed), tmp_path / logs) as fleet:
            for _ in range(3):
                fleet.start()
            return int(psutil.Process(fleet.processes[-1].pid).memory_full_info().uss)

    one = private_bytes((small,), "one")
    two = private_bytes((small, f"file:{wide}"), "two")
    assert (two - one) / size < 0.2


def test_models_with_the_same_tokenizer_share_it_and_its_cache(both: Settings) -> None:
    first, second = load_all(both)
    assert isinstance(first.scorer, PairClassifier)
    assert isinstance(second.scorer, PairClassifier)
    assert first.scorer.tokenizer is second.scorer.tokenizer
    assert first.identity != second.identity


def test_two_models_of_the_same_scores_are_refused(tmp_path: Path, small: str, settings: Settings) -> None:
    copy = write_export(tmp_path / "copy", layouts=("unpadded",))
    models = (small, f"file:{copy}")
    with pytest.raises(ConfigurationError, match="are one model: leave one of them out"):
        load_all(load_settings(**(settings.model_dump(exclude_none=True) | {"model": small, "models": models})))


def test_the_command_takes_several_models_of_which_the_first_is_asked_for(
    settings: Settings, small: str, tmp_path: Path
) -> None:
    environ = bare_environ() | to_environ(settings)
    del environ["RERANK_MODEL"]
    command = [COMMAND, "worker", "--processes", "1", "--model", small, "--model", settings.model]
    with (tmp_path / "log").open("wb") as log:
        worker = subprocess.Popen(command, env=environ, stdout=log, stderr=subprocess.STDOUT)
    asks = load_settings(**(settings.model_dump(exclude_none=True) | {"model": small}))
    try:
        wait_until(lambda: alive(asks), "its worker is there", bound_s=60)
        with RerankClient(asks) as client:
            documents = passages(3)
            assert logits(client, documents) == direct(small, documents)
            assert logits(client, documents, settings.model) == direct(settings.model, documents)
        assert f"models={small},{settings.model}" in (tmp_path / "log").read_text()
    finally:
        worker.terminate()
        assert worker.wait(timeout=30) == 0
