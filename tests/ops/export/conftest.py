"""Toy models of each family, built once a test process, and what tests marked `export` need to be there."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import huggingface_hub.constants
import pytest

from support.model.toy_models import toy_pairs, write_toy

#: What the extra `export` installs.
_EXTRA = ("torch", "transformers", "optimum", "safetensors")


#: Of their own making, and none of ours to mend.
_THEIR_WARNINGS = ("ignore::DeprecationWarning:torch", "ignore::FutureWarning:transformers")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("export"):
            for warning in _THEIR_WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(warning))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("export"):
        for package in _EXTRA:
            pytest.importorskip(package, reason=f"{package} comes with the extra `export`")
        # Two test processes share two cores, and torch's threads spin while they wait for each other.
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test asks a hub for anything."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The directory of a family's toy model."""
    directories: dict[str, Path] = {}

    def find(family: str) -> Path:
        if family not in directories:
            directories[family] = write_toy(family, tmp_path_factory.mktemp("toys") / family)
        return directories[family]

    return find


@pytest.fixture
def labelled_words(tmp_path: Path) -> Path:
    """A collection of the toys' words, called `words`: of each document's first word, that document is the answer."""
    directory = tmp_path / "words"
    (directory / "qrels").mkdir(parents=True)
    texts = [document for _, document in toy_pairs(12)]
    lines = [json.dumps({"_id": str(n), "title": "", "text": text}) for n, text in enumerate(texts)]
    (directory / "corpus.jsonl").write_text("\n".join(lines))
    queries = [json.dumps({"_id": f"q{n}", "text": text.split()[0]}) for n, text in enumerate(texts)]
    (directory / "queries.jsonl").write_text("\n".join(queries))
    grades = "".join(f"q{n}\t{n}\t1\n" for n in range(12))
    (directory / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{grades}")
    return directory
