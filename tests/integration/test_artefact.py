"""An exported model in a real fleet: clients get what the engine gives, in the layout that the settings name."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import StartFleet
from rerank_producer import RerankClient
from rerank_shared.models.catalogue import load_files
from rerank_shared.models.precision import LAYOUTS, LayoutName, PrecisionName
from rerank_shared.scheduling.runs import RunShape
from rerank_worker.engine import PackedWeights, open_engine
from support.model.exports import QUERY, SENTENCE, tokenizer, write_export

pytestmark = pytest.mark.integration
EX_CONFIG = 78
WORDS = SENTENCE.split()
LENGTHS = (18, 2, 250, 40, 9, 600, 77, 33)
DOCUMENTS = [" ".join((WORDS * 40)[n % 7 :][:n]) for n in LENGTHS]
RUN_PAIRS = 3


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_export(tmp_path_factory.mktemp("exports") / "fp32")


def direct(directory: Path, layout: LayoutName) -> list[float]:
    """The engine's own logits, each pair in a run of its own."""
    engine = open_engine(load_files(f"file:{directory}"), RunShape(layout, pairs=1))
    pairs = tokenizer().encode(QUERY, DOCUMENTS, 512)
    return [float(engine.score([pair])[0]) for pair in pairs]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_clients_get_the_engine_s_scores(layout: LayoutName, start_fleet: StartFleet, directory: Path) -> None:
    fleet = start_fleet(model=f"file:{directory}", layout=layout, run_pairs=RUN_PAIRS)
    with RerankClient(fleet.settings) as client:
        response = client.rerank(QUERY, DOCUMENTS)
        backwards = client.rerank(QUERY, DOCUMENTS[::-1])
    assert response.complete
    by_index = sorted(response.results, key=lambda result: result.index)
    logits = [result.logit for result in by_index]
    if layout == "unpadded":
        assert logits == direct(directory, layout)
    else:
        assert logits == pytest.approx(direct(directory, layout), abs=1e-5)
    assert [result.truncated for result in by_index] == [length == 600 for length in LENGTHS]
    assert response.model.precision == ("fp32" if layout == "unpadded" else f"fp32-{layout}")
    assert (response.usage.pairs_run, backwards.usage.pairs_cached) == (len(DOCUMENTS), len(DOCUMENTS))


@pytest.mark.parametrize("precision", ["int8", "int8-static"])
def test_8_bits_in_layout_unpadded_are_the_same_bits_in_every_order_and_worker(
    precision: PrecisionName, start_fleet: StartFleet, tmp_path: Path
) -> None:
    directory = write_export(tmp_path / "export", precision, layouts=("unpadded",))
    fleet = start_fleet(2, model=f"file:{directory}", cache=False)
    expected = direct(directory, "unpadded")
    with RerankClient(fleet.settings) as client:
        for documents, indices in ((DOCUMENTS, range(8)), (DOCUMENTS[::-1], range(7, -1, -1)), (DOCUMENTS[3:4], [3])):
            for _ in range(3):
                results = client.rerank(QUERY, documents).results
                assert {indices[r.index]: r.logit for r in results} == {index: expected[index] for index in indices}


def test_workers_write_packed_weights_once(start_fleet: StartFleet, directory: Path, tmp_path: Path) -> None:
    place = tmp_path / "packed"
    fleet = start_fleet(2, model=f"file:{directory}", packed_dir=str(place))
    settings = fleet.settings
    (within,) = place.iterdir()
    assert within == PackedWeights.of(settings, load_files(settings.model).model_digest).directory
    assert sorted(path.name for path in within.iterdir()) == ["tail", "unpadded"]
    before = {path: path.stat().st_ino for path in within.rglob("*")}
    fleet.start()
    assert {path: path.stat().st_ino for path in within.rglob("*")} == before
    with RerankClient(settings) as client:
        logits = {result.index: result.logit for result in client.rerank(QUERY, DOCUMENTS).results}
    assert [logits[index] for index in range(len(DOCUMENTS))] == direct(directory, "unpadded")


def test_a_layout_that_the_model_lacks_ends_the_worker_for_good(start_fleet: StartFleet, tmp_path: Path) -> None:
    directory = write_export(tmp_path / "export", layouts=("unpadded", "packed"))
    fleet = start_fleet(wait=False, model=f"file:{directory}", layout="padded")
    assert fleet.processes[0].wait(timeout=30) == EX_CONFIG
    assert "no graph for layout padded; it has unpadded, packed: set RERANK_LAYOUT to one of them" in fleet.log()
