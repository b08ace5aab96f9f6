"""The measurement on a GPU, tried without one: every layout, with and without graphs, held against the CPU's scores."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from rerank_dev.bench.gpu import QUICK_RUN_PAIRS, main
from rerank_shared.models.precision import LAYOUTS
from rerank_worker.engine.providers import CUDA_PROVIDER
from support.model.exports import write_export

WITHOUT_GPU = pytest.mark.skipif(
    CUDA_PROVIDER in onnxruntime.get_available_providers(), reason="onnxruntime-gpu is installed"
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("models")
    return [write_export(root / precision, precision) for precision in ("fp32", "fp16")]


def measure(output: Path, *arguments: object) -> dict[str, Any]:
    assert main([*map(str, arguments), "--quick", "--output", str(output)]) == 0
    report: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
    return report


def test_every_cell_is_measured(models: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = measure(tmp_path / "deep" / "gpu.json", *models, "--device", "cpu")
    cells = report["cells"]
    found = [(cell["precision"], cell["layout"], cell["run_pairs"], cell["cuda_graphs"]) for cell in cells]
    every = product(("fp32", "fp16"), LAYOUTS, QUICK_RUN_PAIRS, (False, True))
    assert found == [cell for cell in every if cell[1] != "unpadded" or not cell[3]]
    for cell in cells:
        assert cell["error"] is None
        assert cell["pairs_per_s"] > 0
        assert cell["p50_ms"] > 0
        assert cell["difference"] < (1e-4 if cell["precision"] == "fp32" else 0.02)
    # fp16 is another precision, so a difference of nothing would mean that nothing was compared.
    assert all(cell["difference"] > 0 for cell in cells if cell["precision"] == "fp16")
    assert "no GPU" in report["machine"]
    assert report["machine"].split(" (")[0] in capsys.readouterr().out


def test_a_cell_that_fails_does_not_end_the_others(models: list[Path], tmp_path: Path) -> None:
    broken = write_export(tmp_path / "broken", layouts=["padded", "packed"])
    (broken / "packed.onnx").write_bytes(b"nothing")
    report = measure(tmp_path / "gpu.json", broken, "--device", "cpu", "--unsafe", "--layouts", "padded", "packed")
    assert {cell["layout"] for cell in report["cells"] if cell["error"]} == {"packed"}
    assert {cell["layout"] for cell in report["cells"] if not cell["error"]} == {"padded"}


@WITHOUT_GPU
def test_without_a_gpu_it_says_so_and_writes_nothing(
    models: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "gpu.json"
    assert main([str(models[0]), "--quick", "--output", str(output)]) == 1
    assert "no CUDAExecutionProvider" in capsys.readouterr().err
    assert not output.exists()
