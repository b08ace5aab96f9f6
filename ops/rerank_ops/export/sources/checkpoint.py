"""Checkpoint: reads weights from a directory in the hub's form, config.json with safetensors or torch's own format.

Safetensors, whole or in shards, are read without torch. Reading never runs code from a file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rerank_ops.export.missing import export_extra
from rerank_ops.export.sources.weights import Tensor, Weights
from rerank_shared.errors import ModelDamaged, ModelUnavailable

CONFIG_FILE = "config.json"
SAFETENSORS, TORCH = "model.safetensors", "pytorch_model.bin"
#: Weight files, best first; an index names the shards of a model too large for one file.
WEIGHT_FILES = (SAFETENSORS, f"{SAFETENSORS}.index.json", TORCH, f"{TORCH}.index.json")
_FLOATS = {"F64": np.float64, "F32": np.float32, "F16": np.float16}
#: Names of the normalisation's parameters in checkpoints converted from TensorFlow.
_OLD_ENDINGS = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}


def weight_files(directory: Path) -> list[Path]:
    """Return the files of a directory's weights, in the best format; empty if it has none.

    Raises ModelDamaged where an index names a shard that is missing.
    """
    first = next((directory / name for name in WEIGHT_FILES if (directory / name).is_file()), None)
    if first is None or first.suffix != ".json":
        return [] if first is None else [first]
    shards = sorted({directory / str(name) for name in read_json(first).get("weight_map", {}).values()})
    for shard in shards:
        if not shard.is_file():
            raise ModelDamaged(f"{first} names {shard.name}, which is missing: download the model again")
    return shards


def from_directory(directory: Path) -> Weights:
    """Return the weights of a directory. Raises ModelUnavailable if it has none, ModelDamaged for unreadable ones."""
    if not (directory / CONFIG_FILE).is_file():
        raise ModelUnavailable(f"{directory} holds no {CONFIG_FILE}")
    return Weights(read_json(directory / CONFIG_FILE), read_tensors(directory))


def read_tensors(directory: Path) -> dict[str, Tensor]:
    """Return the tensors of a directory by their names; raises as `from_directory` does."""
    files = weight_files(directory)
    if not files:
        raise ModelUnavailable(f"{directory} holds none of {', '.join(WEIGHT_FILES)}")
    tensors: dict[str, Tensor] = {}
    for file in files:
        tensors |= _read_safetensors(file) if file.suffix == ".safetensors" else _read_torch(file)
    return {_name(name): tensor for name, tensor in tensors.items()}


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a file; raises ModelDamaged if it holds anything else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelDamaged(f"{path} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ModelDamaged(f"{path} holds no JSON object")
    return value


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        from safetensors import SafetensorError, deserialize
    except ImportError:
        raise export_extra("safetensors") from None
    try:
        entries = deserialize(path.read_bytes())
    except SafetensorError as error:
        raise ModelDamaged(f"{path} is not safetensors: {error}") from None
    return {
        name: array.reshape(entry["shape"])
        for name, entry in entries
        if (array := _floats(entry["dtype"], entry["data"])) is not None
    }


def _floats(kind: str, data: bytes) -> Tensor | None:
    """Return float32 values; None for a tensor that is not a weight, such as a buffer of position ids."""
    if kind == "BF16":
        # numpy has no bf16: its values are the upper halves of 32-bit floats.
        halves: npt.NDArray[np.uint32] = np.frombuffer(data, dtype="<u2").astype(np.uint32)
        return (halves << 16).view(np.float32)
    return np.frombuffer(data, dtype=_FLOATS[kind]).astype(np.float32) if kind in _FLOATS else None


def _read_torch(path: Path) -> dict[str, Tensor]:
    try:
        import torch
    except ImportError:
        raise export_extra("torch") from None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # Bad zip files, pickles that hold more than tensors, short reads: no common base.
        raise ModelDamaged(f"{path} can't be read as torch weights: {str(error).partition(chr(10))[0]}") from None
    return {name: value.float().numpy() for name, value in state.items() if value.is_floating_point()}


def _name(name: str) -> str:
    for old, new in _OLD_ENDINGS.items():
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name
