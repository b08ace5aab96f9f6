"""Cross-encoders in modules: put together, they are what the chain of their modules computes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rerank_ops.export.pipeline import Wanted, export
from rerank_ops.export.sources.modular import merge_modules, module_folders
from rerank_ops.export.sources.source import resolve
from rerank_shared.errors import ConfigurationError, ModelDamaged
from support.model.toy_models import reference_logits, toy_pairs, write_toy

pytestmark = pytest.mark.export
FOLDERS = {
    "": "Transformer",
    "1_Pooling": "Pooling",
    "2_Dense": "Dense",
    "3_LayerNorm": "LayerNorm",
    "4_Dense": "Dense",
}


@pytest.fixture
def modular(tmp_path: Path) -> Path:
    """A ModernBERT encoder and a head in folders, as sentence-transformers saves its chain of modules."""
    from safetensors.torch import save_file
    from transformers import AutoModel

    directory = tmp_path / "modular"
    AutoModel.from_pretrained(write_toy("modernbert", directory)).save_pretrained(directory)
    modules = [{"path": path, "type": f"sentence_transformers.modules.{kind}"} for path, kind in FOLDERS.items()]
    (directory / "modules.json").write_text(json.dumps(modules))
    identity = "torch.nn.modules.linear.Identity"
    (directory / "config_sentence_transformers.json").write_text(json.dumps({"activation_fn": identity}))
    configs: list[dict[str, Any]] = [
        {"pooling_mode": "cls", "embedding_dimension": 32},
        {"bias": False, "activation_function": "torch.nn.modules.activation.GELU", "out_features": 32},
        {"dimension": 32},
        {"bias": True, "activation_function": identity, "out_features": 1},
    ]
    for folder, config in zip(list(FOLDERS)[1:], configs, strict=True):
        (directory / folder).mkdir()
        (directory / folder / "config.json").write_text(json.dumps(config))
    for folder, tensors in head().items():
        save_file(tensors, directory / folder / "model.safetensors")
    return directory


def head() -> dict[str, dict[str, Any]]:
    import torch

    random = torch.Generator().manual_seed(3)

    def tensor(*shape: int) -> Any:
        return torch.randn(shape, generator=random)

    return {
        "2_Dense": {"linear.weight": tensor(32, 32)},
        "3_LayerNorm": {"norm.weight": tensor(32), "norm.bias": tensor(32)},
        "4_Dense": {"linear.weight": tensor(1, 32), "linear.bias": tensor(1)},
    }


def chain_logits(directory: Path, pairs: list[tuple[str, str]]) -> np.ndarray:
    """Run the chain as sentence-transformers does: encoder, first token, linear, GELU, normalisation, linear."""
    import torch
    from torch.nn import functional
    from transformers import AutoModel, AutoTokenizer

    encoder = AutoModel.from_pretrained(directory, attn_implementation="eager").eval()
    tokenizer = AutoTokenizer.from_pretrained(directory)
    dense, norm, last = head().values()
    logits = []
    with torch.inference_mode():
        for pair in pairs:
            first = encoder(**tokenizer(*pair, return_tensors="pt")).last_hidden_state[:, 0]
            hidden = functional.gelu(first @ dense["linear.weight"].T)
            hidden = functional.layer_norm(hidden, (32,), norm["norm.weight"], norm["norm.bias"])
            logits.append((hidden @ last["linear.weight"].T + last["linear.bias"]).item())
    return np.array(logits)


def test_the_chain_becomes_one_classifier(modular: Path, tmp_path: Path) -> None:
    pairs = toy_pairs(8)
    expected = chain_logits(modular, pairs)
    merged = merge_modules(modular, tmp_path / "merged")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (merged / name).write_bytes((modular / name).read_bytes())
    np.testing.assert_allclose(reference_logits(merged, pairs), expected, atol=1e-4)


def test_it_is_exported_and_its_digest_covers_its_head(modular: Path, tmp_path: Path) -> None:
    source = resolve(str(modular))
    assert source.activation == "identity"
    manifest = export(str(modular), tmp_path / "out", Wanted("fp32"))
    assert (manifest.family, manifest.surgery, manifest.activation) == ("modernbert", True, "identity")
    weights = modular / "4_Dense" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert resolve(str(modular)).origin.digest != source.origin.digest


def change(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("file", "changes", "told"),
    [
        ("1_Pooling/config.json", {"pooling_mode": "max"}, "not known here .*pooling by max"),
        ("2_Dense/config.json", {"activation_function": "torch.nn.Tanh"}, "then Tanh and Identity"),
        ("4_Dense/config.json", {"out_features": 3}, "has 3 labels"),
        ("config.json", {"model_type": "bert"}, "bert: Transformer, Pooling, Dense, LayerNorm, Dense"),
    ],
)
def test_other_heads_are_refused(modular: Path, tmp_path: Path, file: str, changes: dict[str, Any], told: str) -> None:
    change(modular / file, **changes)
    with pytest.raises(ConfigurationError, match=told):
        merge_modules(modular, tmp_path / "merged")


def test_a_model_in_one_piece_has_no_folders(tmp_path: Path) -> None:
    assert module_folders(tmp_path) == []
    (tmp_path / "modules.json").write_text('[{"path": "", "type": "Transformer"}]')
    assert module_folders(tmp_path) == []
    (tmp_path / "modules.json").write_text('{"path": ""}')
    with pytest.raises(ModelDamaged, match="no list of modules"):
        module_folders(tmp_path)
