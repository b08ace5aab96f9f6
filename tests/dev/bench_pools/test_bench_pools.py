"""The parts of `make bench-pools` at their smallest, with tiny models: each runs to its end and has its figures.

What they measure means nothing here; what must hold at any speed is asserted.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from rerank_dev.bench.pools.__main__ import main, replaced
from rerank_dev.bench.pools.releases.checkout import HERE, checkout
from rerank_dev.bench.record import Figure
from rerank_shared.errors import ConfigurationError
from support.model.collections import write_collection
from support.model.exports import write_export

#: Each part starts many workers, one after another.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(480)]
Measure = Callable[..., dict[str, Figure]]
with_history = pytest.mark.skipif(not (HERE / ".git").exists(), reason="no git repository")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options that name the two models."""
    folder = tmp_path_factory.mktemp("models")
    named = []
    for seed, name in enumerate(("big", "small")):
        named += [f"--{name}", f"file:{write_export(folder / name, layouts=('unpadded',), seed=seed)}"]
    return named


@pytest.fixture
def measure(models: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Measure:
    """Measures parts, and returns the figures by name."""
    # Checkouts are kept below the working directory.
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> dict[str, Figure]:
        output = tmp_path / "pools.json"
        monkeypatch.setattr(sys, "argv", ["pools", *arguments, *models, "--quick", "--output", str(output)])
        main()
        assert not output.exists(), "a quick run writes to a file of its own"
        found = json.loads(output.with_suffix(".quick.json").read_text())
        return {each["name"]: Figure(**each) for each in found}

    return run


def values(found: dict[str, Figure], ending: str) -> list[float]:
    return [figure.value for name, figure in found.items() if name.endswith(ending)]


def test_the_small_model_beside_the_big_one(measure: Measure) -> None:
    found = measure("beside")
    ratios = values(found, "p95 beside random-0 saturated in bulk over alone")
    assert len(ratios) == len(values(found, "random-0 in bulk meanwhile")) == 2
    assert min(ratios) > 0


def test_shares_are_measured_or_it_says_why_not(measure: Measure, capsys: pytest.CaptureFixture[str]) -> None:
    found = measure("shares")
    refused = "shares: not measured, since fleet.toml takes no share of a model" in capsys.readouterr().err
    parts = values(found, "its part of the tokens")
    assert len(parts) == (0 if refused else 2)
    assert all(0 < part < 1 for part in parts)


@with_history
def test_one_model_beside_a_revision(measure: Measure) -> None:
    found = measure("one-model", "--base", "HEAD")
    (here,), (base,) = values(found, "added p50, k=1"), values(found, f"k=1, {head()}")
    assert here > 0
    assert base > 0
    assert any(f"pairs/s over {head()}" in name for name in found)


def test_a_base_that_git_does_not_have_is_told(measure: Measure, capsys: pytest.CaptureFixture[str]) -> None:
    assert measure("one-model", "--base", "no-such-revision") == {}
    assert "one-model: not measured, since the base does not run: git rev-parse:" in capsys.readouterr().err


def test_a_cascade_beside_both_models(measure: Measure, tmp_path: Path) -> None:
    found = measure("cascade", "--data", str(write_collection(tmp_path / "tiny")))
    at = "cascade, tiny, BM25 candidates, 2 queries"
    assert {name.removeprefix(f"{at}: ") for name in found if name.endswith("nDCG@10")} == {
        "random-0, nDCG@10",
        "random-1 with fusion, nDCG@10",
        "cascade to the best 10, nDCG@10",
    }
    # A cascade to more documents than there are ends in the order of the big model.
    assert found[f"{at}: nDCG@10 less that of random-0"].value == 0
    assert all(0 < value <= 1 for value in values(found, ", nDCG@10"))


def test_a_cascade_needs_a_collection(measure: Measure, capsys: pytest.CaptureFixture[str]) -> None:
    assert measure("cascade") == {}
    assert "cascade: not measured, for want of a collection" in capsys.readouterr().err


@with_history
def test_upgrades_of_model_and_code_fail_no_request(measure: Measure) -> None:
    found = measure("upgrade", "--base", "HEAD")
    assert values(found, "requests that failed") == [0, 0]
    assert min(values(found, "requests sent")) > 8


@pytest.mark.faults
def test_a_canary_that_dies_goes_back_with_its_reason(measure: Measure) -> None:
    found = measure("canary")
    (back,) = (figure for name, figure in found.items() if name.startswith("canary that dies") and "reason" in name)
    assert (back.value, back.met) == (1.0, True)
    assert any(name.startswith("canary that dies") and name.endswith("in hold times") for name in found)
    # Two models that are as fast as each other are no slow canary: nothing is said of that one here.


@with_history
def test_a_revision_is_taken_out_once(tmp_path: Path) -> None:
    root = checkout("HEAD", tmp_path)
    assert (root / "producer" / "rerank_producer" / "client.py").is_file()
    (root / "mark").touch()
    assert (checkout("HEAD", tmp_path) / "mark").is_file()
    with pytest.raises(ConfigurationError, match="git rev-parse"):
        checkout("no-such-revision", tmp_path)


def test_figures_of_a_part_that_is_measured_again_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "pools.json"
    assert replaced([], path) == []
    known = [Figure.of(name, [1.0], "ms") for name in ("one-model, a: x over 123", "beside, a: p95")]
    path.write_text(json.dumps([asdict(figure) for figure in known]))
    new = Figure.of("one-model, a: x over 456", [2.0], "ms")
    assert [figure.name for figure in replaced([new], path)] == ["beside, a: p95", new.name]


def head() -> str:
    command = ["git", "-C", str(HERE), "rev-parse", "--short=12", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
