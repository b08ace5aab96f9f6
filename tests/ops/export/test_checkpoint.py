"""Reading weights: every format that the hub stores gives the same arrays, and what is broken is told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rerank_ops.export.sources.checkpoint import from_directory, weight_files
from rerank_shared.errors import ModelDamaged, ModelUnavailable

pytestmark = pytest.mark.export
NAME = "bert.encoder.layer.1.intermediate.dense.weight"


def test_names_and_shapes_are_those_of_the_state_dict(toy: Callable[[str], Path]) -> None:
    weights = from_directory(toy("bert"))
    assert (weights.family, weights.parameters) == ("bert", 25_121)
    assert weights.tensors[NAME].shape == (64, 32)
    assert {tensor.dtype for tensor in weights.tensors.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("safe", [True, False], ids=["safetensors", "torch"])
@pytest.mark.parametrize("shard", ["1GB", "20KB"])
def test_formats_agree(toy: Callable[[str], Path], tmp_path: Path, dtype: str, safe: bool, shard: str) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(toy("bert"), dtype=getattr(torch, dtype))
    model.save_pretrained(tmp_path, safe_serialization=safe, max_shard_size=shard)
    assert (len(weight_files(tmp_path)) > 1) == (shard == "20KB")
    found, expected = from_directory(tmp_path).tensors, model.float().state_dict()
    assert found.keys() == expected.keys()
    for name, array in found.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, expected[name].numpy())


def test_buffers_are_left_out_and_old_names_are_renewed(toy: Callable[[str], Path], tmp_path: Path) -> None:
    import torch

    old = {"bert.embeddings.LayerNorm.gamma": torch.ones(3), "bert.embeddings.position_ids": torch.arange(3)}
    torch.save(old, tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    assert list(from_directory(tmp_path).tensors) == ["bert.embeddings.LayerNorm.weight"]


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    import torch

    torch.save({"run": Path("x")}, tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ModelDamaged, match=r"pytorch_model\.bin can't be read as torch weights: Weights only load"):
        from_directory(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_damaged_weights_are_told_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / name).write_bytes(b"\x00\x01 not weights")
    with pytest.raises(ModelDamaged, match=name):
        from_directory(tmp_path)


def test_a_missing_shard_is_told(tmp_path: Path) -> None:
    index = {"weight_map": {"a": "model-00001-of-00001.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelDamaged, match=r"names model-00001-of-00001\.safetensors, which is missing"):
        weight_files(tmp_path)


def test_an_empty_directory_holds_nothing(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"holds no config\.json"):
        from_directory(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelUnavailable, match=r"holds none of model\.safetensors"):
        from_directory(tmp_path)


def test_a_configuration_is_an_object(toy: Callable[[str], Path], tmp_path: Path) -> None:
    shutil.copy(toy("bert") / "model.safetensors", tmp_path)
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(ModelDamaged, match=r"config\.json holds no JSON object"):
        from_directory(tmp_path)
