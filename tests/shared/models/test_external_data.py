"""Weights beside an ONNX file: found by the names in it, and part of what the model's digest is of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from rerank_shared.contract.digest import file_digest
from rerank_shared.errors import ConfigurationError, ModelDamaged, ModelUnavailable
from rerank_shared.models.catalogue import load_files
from rerank_shared.models.external_data import external_data_names


def write_onnx(path: Path, *, location: str | None, tensors: int = 2) -> Path:
    """Write a real ONNX file, its weights in a file of their own where `location` says so, or one for each tensor."""
    path.parent.mkdir(parents=True, exist_ok=True)
    weights = [numpy_helper.from_array(np.full((8, 8), i, dtype=np.float32), f"weights-{i}") for i in range(tensors)]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weights-0"], ["y"])],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 8])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    if location is None:
        onnx.save_model(model, path)
    else:
        onnx.save_model(
            model,
            path,
            save_as_external_data=True,
            all_tensors_to_one_file=bool(location),
            location=location or None,
            size_threshold=0,
        )
    return path


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write_onnx(tmp_path / "model.onnx", location="model.onnx_data")
    (tmp_path / "tokenizer.json").write_text("{}")
    return tmp_path


def test_the_names_are_those_in_the_file(tmp_path: Path) -> None:
    assert external_data_names(write_onnx(tmp_path / "a" / "model.onnx", location=None)) == []
    assert external_data_names(write_onnx(tmp_path / "b" / "model.onnx", location="model.onnx_data")) == [
        "model.onnx_data"
    ]
    # One file a tensor, named after it; a name of more than 127 bytes has a length of two bytes.
    assert external_data_names(write_onnx(tmp_path / "c" / "model.onnx", location="")) == ["weights-0", "weights-1"]
    long = "weights-" + "x" * 200
    assert external_data_names(write_onnx(tmp_path / "d" / "model.onnx", location=long)) == [long]


@pytest.mark.parametrize("data", [b"", b"\n\x08location\x12", b"\n\x08location\x12\xff\xff", b"\n\x08location\x12\x00"])
def test_a_cut_off_file_names_nothing(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(data)
    assert external_data_names(tmp_path / "model.onnx") == []


def test_the_digest_is_of_both_files(directory: Path) -> None:
    source = f"file:{directory}"
    files = load_files(source)
    assert {path.name for path in files.weights} == {"model.onnx", "model.onnx_data"}
    assert files.model_digest != file_digest(str(directory / "model.onnx"))
    assert load_files(source, files.model_digest).model_digest == files.model_digest
    data = bytearray((directory / "model.onnx_data").read_bytes())
    data[-1] ^= 1
    (directory / "model.onnx_data").write_bytes(bytes(data))
    assert load_files(source).model_digest != files.model_digest
    with pytest.raises(ModelDamaged, match=files.model_digest):
        load_files(source, files.model_digest)


def test_swapped_files_are_another_model(directory: Path) -> None:
    """The digest is of names and contents together."""
    before = load_files(f"file:{directory}").model_digest
    write_onnx(directory / "model.onnx", location="other.data")
    (directory / "model.onnx_data").unlink()
    assert load_files(f"file:{directory}").model_digest != before


def test_data_that_is_missing_is_named(directory: Path) -> None:
    (directory / "model.onnx_data").unlink()
    with pytest.raises(ModelUnavailable, match=r"keeps weights in model\.onnx_data"):
        load_files(f"file:{directory}")


@pytest.mark.parametrize("name", [b"../secret", b"/etc/passwd"])
def test_data_outside_of_the_directory_is_refused(name: bytes, directory: Path) -> None:
    (directory / "model.onnx").write_bytes(b"\n\x08location\x12" + bytes([len(name)]) + name)
    with pytest.raises(ConfigurationError, match="outside"):
        load_files(f"file:{directory}")
