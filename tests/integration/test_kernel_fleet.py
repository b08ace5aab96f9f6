"""Kernels in a real fleet: scores of one name from every worker, or a worker that does not start and says why."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from conftest import StartFleet
from rerank_producer import RerankClient
from rerank_shared.models.precision import LayoutName, kernel_precision
from support.fleet import TestFleet
from support.model.exports import KERNEL_HIDDEN, QUERY, SENTENCE, write_export
from support.waiting import wait_until

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        importlib.util.find_spec("rerank_kernels") is None, reason="no kernels are installed: `make kernels`"
    ),
]
EX_CONFIG = 78
PORTABLE = kernel_precision("portable", 1)
DOCUMENTS = [" ".join((SENTENCE.split() * 10)[n % 7 :][:n]) for n in (18, 2, 60, 40, 9)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("exports") / "int8"
    return f"file:{write_export(directory, 'int8', hidden=KERNEL_HIDDEN, kernels=[PORTABLE])}"


def logits(fleet: TestFleet, precision: str) -> list[float]:
    """What the fleet answers, in this precision, in the order of the documents."""
    with RerankClient(fleet.settings) as client:
        response = client.rerank(QUERY, DOCUMENTS)
    assert response.complete
    assert response.model.precision == precision
    by_index = sorted(response.results, key=lambda result: result.index)
    return [result.logit for result in by_index if result.logit is not None]


def join(fleet: TestFleet, **changes: object) -> int:
    """Start one more worker under other settings; return its number."""
    fleet.settings = fleet.settings.model_copy(update=changes)
    fleet.start(wait=False)
    return len(fleet.processes) - 1


def test_layouts_share_scores_and_the_cache(start_fleet: StartFleet, model: str) -> None:
    """Company does not change a score, so a fleet may go over to another layout with a warm cache."""
    alone = start_fleet(model=model, kernel="portable", layout="unpadded")
    expected = logits(alone, PORTABLE)
    other: LayoutName = "varlen"
    together = start_fleet(
        model=model, kernel="portable", layout=other, run_pairs=4, namespace=alone.settings.namespace
    )
    with RerankClient(together.settings) as client:
        assert client.rerank(QUERY, DOCUMENTS).usage.pairs_cached == len(DOCUMENTS)
    alone.stop()
    together.settings = together.settings.model_copy(update={"cache": False})
    assert logits(together, PORTABLE) == expected


def test_scores_of_a_kernel_and_of_the_operators_are_never_one_s(start_fleet: StartFleet, model: str) -> None:
    fleet = start_fleet(model=model, kernel="onnxruntime")
    operators = logits(fleet, "int8")
    # Not killed: for some seconds its heartbeat would lead requests to its scores in the cache.
    fleet.processes[0].terminate()
    fleet.processes.pop(0).wait()
    fleet.settings = fleet.settings.model_copy(update={"kernel": "portable"})
    fleet.start()
    assert logits(fleet, PORTABLE) != operators


@pytest.mark.parametrize(("kernel", "chosen"), [("portable", PORTABLE), ("onnxruntime", "onnxruntime")])
def test_a_worker_that_joins_scores_as_the_fleet_does(
    kernel: str, chosen: str, start_fleet: StartFleet, model: str
) -> None:
    """Left to itself it would take the best kernel that runs here, or none."""
    fleet = start_fleet(model=model, kernel=kernel)
    joined = join(fleet, kernel="auto")
    wait_until(lambda: "worker ready" in fleet.log(joined), "the second worker ready")
    assert f"kernel chosen kernel={chosen}" in fleet.log(joined)


def test_a_worker_that_can_t_score_as_the_fleet_does_is_refused_with_the_way_out(
    start_fleet: StartFleet, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = start_fleet(model=model, kernel="portable")
    (tmp_path / "rerank_kernels.py").write_text('raise ImportError("hidden by a test")\n', encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    refused = join(fleet, kernel="auto")
    assert fleet.processes[refused].wait(timeout=100) == EX_CONFIG
    assert f"the fleet scores this model in {PORTABLE}" in fleet.log(refused)
    assert "RERANK_KERNEL=onnxruntime on every worker" in fleet.log(refused)


def test_a_mixed_fleet_is_told(start_fleet: StartFleet, model: str) -> None:
    """A kernel that is named is kept, or a fleet could never change it; each request gets scores of one kind."""
    fleet = start_fleet(model=model, kernel="portable", cache=False)
    logs = [0, join(fleet, kernel="onnxruntime")]
    wait_until(lambda: all("two precisions in one fleet" in fleet.log(each) for each in logs), "both workers told")
    with RerankClient(fleet.settings) as client:
        for _ in range(5):
            response = client.rerank(QUERY, DOCUMENTS)
            assert response.complete
            assert response.model.precision in {"int8", PORTABLE}
