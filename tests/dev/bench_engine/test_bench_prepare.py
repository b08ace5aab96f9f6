"""A form that can't be made leaves its reason, and those that need it are told so; what is done is not done again."""

from pathlib import Path

import pytest

from rerank_dev.bench.engine import prepare
from rerank_dev.bench.engine.lineup.contenders import CONTENDERS
from rerank_dev.bench.engine.prepare import READY, STEPS


def test_reasons_are_handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def fine(root: Path, directory: Path, source: str, calibration: Path) -> None:
        made.append(directory.name)
        (directory / "model").write_text("weights")

    def broken(root: Path, directory: Path, source: str, calibration: Path) -> None:
        raise ImportError("no nncf\nand more")

    steps = {"hf": (None, fine), "openvino": ("hf", broken), "openvino-int8": ("openvino", fine), "plain": ("hf", fine)}
    monkeypatch.setattr(prepare, "STEPS", steps)
    for _ in range(2):
        assert prepare.prepare(tmp_path, "package:x", tmp_path / "calibration.json", [*steps]) == {
            "hf": None,
            "openvino": "ImportError: no nncf",
            "openvino-int8": "openvino: ImportError: no nncf",
            "plain": None,
        }
    assert made == ["hf", "plain"]
    assert (tmp_path / "hf" / READY).exists()


def test_only_what_is_asked_for_is_made_and_what_that_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def make(root: Path, directory: Path, source: str, calibration: Path) -> None:
        made.append(directory.name)

    steps = {"hf": (None, make), "plain": ("hf", make), "openvino": ("plain", make), "ours-int8": ("hf", make)}
    monkeypatch.setattr(prepare, "STEPS", steps)
    assert [*prepare.prepare(tmp_path, "package:x", tmp_path / "c.json", ["plain"])] == ["hf", "plain"]
    prepare.prepare(tmp_path, "package:x", tmp_path / "c.json", ["openvino"])
    assert made == ["hf", "plain", "openvino"]


def test_every_contender_has_files_that_are_made() -> None:
    assert {contender.files for contender in CONTENDERS} <= {*STEPS}


def test_what_a_step_needs_comes_before_it() -> None:
    order = [*STEPS]
    assert all(needed is None or order.index(needed) < order.index(name) for name, (needed, _) in STEPS.items())
