"""What `rerank-fleet models` prints, on a terminal of 80 columns."""

from __future__ import annotations

import io

from rich.console import Console

from rerank_ops.cli.models.table import models_table
from rerank_shared.contract.messages import Heartbeat
from rerank_shared.contract.model_commands import LoadedModel, ModelChange, ProcessModels

LONG = "search-worker-7f9c4d5b6-x2x9q-32760-11-04cc"


def printed(*told: ProcessModels | None) -> str:
    workers = [
        Heartbeat(f"{LONG}{number}", "org/a", "search-worker-7f9c4d5b6-x2x9q", 1, None, 0.0, 0.0, 0, 0, pools=("b1",))
        for number in range(len(told))
    ]
    console = Console(file=(file := io.StringIO()), width=80)
    console.print(
        models_table(workers, {worker.worker_id: each for worker, each in zip(workers, told, strict=True) if each})
    )
    return file.getvalue()


def test_ids_and_pools_stand_in_one_piece_and_all_names_are_there() -> None:
    names = ("org/a", "file:/models/" + "x" * 70)
    model = LoadedModel(names, "0692071eb2bb", "int8-static", 512, 34_000_000, None)
    text = printed(ProcessModels((model,), 93_000_000, 12_000_000_000, 8_000_000, "RERANK_MODEL_MEMORY_MB"), None)
    assert f"{LONG}0 on search-worker" in text
    assert f"{LONG}1 on search-worker" in text
    assert "8 MB of 12,000 MB free" in " ".join(text.split())
    assert any(line.split()[:4] == ["0692071eb2bb", "int8-static", "34", "MB"] for line in text.splitlines())
    assert text.count("x" * 20) >= 2
    assert "did not answer" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_change_that_is_going_on_is_told() -> None:
    assert "org/b (loading)" in printed(ProcessModels((), None, change=ModelChange("load", "org/b", "begun")))
