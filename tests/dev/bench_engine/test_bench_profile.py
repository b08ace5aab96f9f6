"""The whole time is shared out: what no operator took is between operators, around runs, or tokenizing."""

from typing import Any

import pytest

from rerank_dev.bench.engine.profile import AROUND, BETWEEN, TOKENIZING, shares


def kernel(name: str, operator: str, dur: int) -> dict[str, Any]:
    return {"cat": "Node", "name": f"{name}_kernel_time", "dur": dur, "args": {"op_name": operator}}


EVENTS = [
    kernel("/layer.0/output/MatMul", "MatMul", 300),
    kernel("/layer.1/output/MatMul", "MatMul", 100),
    kernel("/layer.0/Gelu", "Gelu", 50),
    {"cat": "Node", "name": "/layer.0/Gelu_fence_before", "dur": 7, "args": {"op_name": "Gelu"}},
    {"cat": "Session", "name": "SequentialExecutor::Execute", "dur": 590},
    {"cat": "Session", "name": "model_run", "dur": 600},
]


def test_every_microsecond_is_somebodys() -> None:
    found = {share.name: share for share in shares(EVENTS, 800, 200, "operator")}
    assert sum(share.share for share in found.values()) == pytest.approx(1.0)
    assert {name: round(share.share, 3) for name, share in found.items()} == {
        "MatMul": 0.4,
        "Gelu": 0.05,
        BETWEEN: 0.15,
        AROUND: 0.2,
        TOKENIZING: 0.2,
    }
    assert (found["MatMul"].calls, found["MatMul"].mean_us) == (2, 200)


def test_largest_first() -> None:
    assert shares(EVENTS, 800, 200, "operator")[0].name == "MatMul"


def test_calls_of_one_kernel_go_together_whichever_inputs_are_smoothed() -> None:
    events = [kernel("/layer.0", "EncoderLayer", 300), kernel("/layer.1", "EncoderLayer_qu", 100)]
    found = {share.name: share.calls for share in shares(events, 800, 200, "operator")}
    assert found["EncoderLayer"] == 2


def test_nodes_of_all_layers_go_together() -> None:
    found = {share.name: share.calls for share in shares(EVENTS, 800, 200, "node")}
    assert found["/layer.*/output/MatMul"] == 2
