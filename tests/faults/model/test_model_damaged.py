"""A worker whose model or settings are wrong says why and ends with status 78, so that nobody restarts it for ever."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from conftest import StartFleet
from rerank_shared.models.catalogue import load_files
from rerank_shared.settings import Settings
from support.fleet import TestFleet
from support.model.poison import write_poison_model

pytestmark = [pytest.mark.integration, pytest.mark.faults]
EX_CONFIG = 78


@pytest.fixture
def copied_model(tmp_path: Path, settings: Settings) -> Path:
    files = load_files(settings.model)
    directory = tmp_path / "model"
    shutil.copytree(files.model_path.parent, directory)
    return directory


def last_words(fleet: TestFleet) -> str:
    assert fleet.processes[0].wait(timeout=30) == EX_CONFIG
    return fleet.log()


def test_changed_file_is_refused_by_its_digest(start_fleet: StartFleet, settings: Settings, copied_model: Path) -> None:
    digest = load_files(settings.model).model_digest
    with (copied_model / "model.onnx").open("r+b") as file:
        file.seek(20_000_000)
        file.write(b"\0" * 64)
    words = last_words(start_fleet(wait=False, model=f"file:{copied_model}", model_digest=digest))
    assert "the file is damaged or is another model" in words
    assert digest in words


def test_cut_off_file_is_refused_by_the_runtime(start_fleet: StartFleet, copied_model: Path) -> None:
    with (copied_model / "model.onnx").open("r+b") as file:
        file.truncate(1_000_000)
    assert "can't be loaded by ONNX Runtime" in last_words(start_fleet(wait=False, model=f"file:{copied_model}"))


def test_model_that_fails_on_plain_text_takes_no_jobs(start_fleet: StartFleet, tmp_path: Path) -> None:
    write_poison_model(tmp_path / "model", table_rows=100)
    words = last_words(start_fleet(wait=False, model=f"file:{tmp_path / 'model'}"))
    assert "the model can't score plain English text" in words


def test_missing_directory_is_named(start_fleet: StartFleet, tmp_path: Path) -> None:
    words = last_words(start_fleet(wait=False, model=f"file:{tmp_path / 'nothing'}"))
    assert f"model directory {tmp_path / 'nothing'} does not exist" in words


def test_missing_package_says_what_to_install(start_fleet: StartFleet) -> None:
    words = last_words(start_fleet(wait=False, model="package:no_such_package/model"))
    assert "pip install no_such_package" in words


def test_budget_below_the_model_is_refused(start_fleet: StartFleet) -> None:
    assert "RERANK_BUDGET_TOKENS (64)" in last_words(start_fleet(wait=False, budget_tokens=64))
