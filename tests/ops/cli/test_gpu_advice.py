"""What the doctor says of the device: why it is the one, and which settings of a CPU keep a GPU waiting."""

from __future__ import annotations

from typing import Any

import pytest

from rerank_ops.cli.admin.checks.model import check_device, gpu_advice
from rerank_shared.models.catalogue import load_files
from rerank_shared.settings import Settings, load_settings

GPU = {"layout": "padded", "run_tokens": 16_384, "budget_tokens": 65_536, "processes": 1}


def test_settings_for_a_gpu_need_no_advice() -> None:
    assert gpu_advice(load_settings(**GPU)) == []


@pytest.mark.parametrize(
    ("change", "variable"),
    [
        ({"layout": "unpadded"}, "RERANK_LAYOUT"),
        ({"budget_tokens": 16_384}, "RERANK_BUDGET_TOKENS"),
        ({"processes": None}, "RERANK_PROCESSES"),
    ],
)
def test_each_setting_that_suits_a_cpu_is_named(change: dict[str, Any], variable: str) -> None:
    (advice,) = gpu_advice(load_settings(**GPU | change))
    assert variable in advice


def test_a_device_and_its_reason_are_told() -> None:
    files = load_files(Settings().model)
    found = check_device(files, load_settings(device="cpu"))
    assert (found.status, found.message) == ("ok", "CPUExecutionProvider: RERANK_DEVICE is cpu")
    refused = check_device(files, load_settings(device="tensorrt"))
    assert refused.status == "fail"
    assert "RERANK_DEVICE=tensorrt can't be had" in refused.message
