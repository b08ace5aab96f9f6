"""Exported models in real workers: served under both of their names, or refused with status 78 and the number."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import StartFleet
from rerank_producer import RerankClient
from rerank_shared.errors import UnknownModel
from rerank_shared.models.manifest import Quality
from rerank_shared.settings import Settings
from support.fleet import TestFleet
from support.model.artefacts import FAILED, MODEL, PASSED, damage, rewrite, write_artefact

pytestmark = [pytest.mark.integration, pytest.mark.faults]
EX_CONFIG = 78


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "exported"


def last_words(fleet: TestFleet) -> str:
    assert fleet.processes[0].wait(timeout=30) == EX_CONFIG
    return fleet.log()


def test_an_exported_model_is_served_under_both_of_its_names(start_fleet: StartFleet, directory: Path) -> None:
    """What it was made from, which any client may ask for, and the source, which those ask for that share a setting."""
    write_artefact(directory)
    fleet = start_fleet(model=f"file:{directory}")
    with RerankClient(fleet.settings) as client:
        by_source = client.rerank("which one", ["this", "that"])
        by_name = client.rerank("which one", ["this", "that"], model=MODEL)
        with pytest.raises(UnknownModel, match=MODEL):
            client.rerank("which one", ["this"], model="tests/another")
    assert (by_source.model.name, by_name.model.name) == (MODEL, MODEL)
    assert by_source.usage.pairs_run == 2
    # It is one model, so what was scored under one name is known under the other.
    assert by_name.usage.pairs_cached == 2
    assert [result.logit for result in by_name.results] == [result.logit for result in by_source.results]
    # The manifest says identity.
    assert all(result.relevance_score == result.logit for result in by_source.results)
    assert "UNSAFE" not in fleet.log()


@pytest.mark.parametrize(("quality", "told"), [(FAILED, "0.9871, below 0.995"), (None, "never put through")])
def test_a_model_that_did_not_pass_is_refused(
    quality: Quality | None, told: str, start_fleet: StartFleet, directory: Path
) -> None:
    write_artefact(directory, quality)
    words = last_words(start_fleet(wait=False, model=f"file:{directory}"))
    assert told in words
    assert "--unsafe (RERANK_UNSAFE=true)" in words


def test_bounds_of_the_worker_s_settings_count(start_fleet: StartFleet, directory: Path) -> None:
    write_artefact(directory, PASSED)
    words = last_words(start_fleet(wait=False, model=f"file:{directory}", gate_min_spearman=0.9999))
    assert "0.9990 over 320 pairs, below 0.9999" in words


def test_a_damaged_file_is_refused(start_fleet: StartFleet, directory: Path) -> None:
    write_artefact(directory)
    damage(directory / "unpadded.onnx")
    words = last_words(start_fleet(wait=False, model=f"file:{directory}"))
    assert "unpadded.onnx has SHA-256" in words
    assert "--unsafe (RERANK_UNSAFE=true)" in words


def test_a_kind_of_model_that_this_release_does_not_know_is_refused(start_fleet: StartFleet, directory: Path) -> None:
    write_artefact(directory)
    rewrite(directory, head="late-interaction")
    words = last_words(start_fleet(wait=False, model=f"file:{directory}", unsafe=True))
    assert "has the head 'late-interaction', and this release scores sequence-classification" in words


def test_half_precision_is_refused_on_a_cpu(start_fleet: StartFleet, directory: Path) -> None:
    write_artefact(directory, precision="fp16")
    assert "fp16 is for GPUs" in last_words(start_fleet(wait=False, model=f"file:{directory}"))


def test_unsafe_serves_it_and_says_so_at_every_log_level(
    start_fleet: StartFleet, settings: Settings, directory: Path
) -> None:
    write_artefact(directory, FAILED)
    damage(directory / "unpadded.onnx")
    fleet = start_fleet(model=f"file:{directory}", unsafe=True, log_level="ERROR")
    with RerankClient(fleet.settings) as client:
        assert client.rerank("which one", ["this", "that"]).complete
    assert fleet.log().count("UNSAFE model served") == 2
    assert "below 0.995" in fleet.log()
    assert "SHA-256" in fleet.log()
