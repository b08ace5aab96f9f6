"""Weights read back from ONNX files are those that were exported, quantised ones up to their quantisation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from rerank_ops.export.full_precision import to_fp32
from rerank_ops.export.plain import export_plain, quantise_plain
from rerank_ops.export.reference import onnx_reference
from rerank_ops.export.sources.checkpoint import from_directory, read_json
from rerank_ops.export.sources.onnx_weights import from_onnx, load_onnx, weights_of
from rerank_shared.errors import ConfigurationError, ModelDamaged
from rerank_shared.models.catalogue import load_files
from rerank_shared.settings import Settings
from rerank_worker.tokenizing import PairTokenizer
from support.model.toy_models import FAMILIES

Toy = Callable[[str], Path]
DERIVED = ("bert", "roberta", "xlm-roberta", "electra")


@pytest.fixture(scope="module")
def traced(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """The traced graph of a family."""
    found: dict[str, Path] = {}

    def export(family: str) -> Path:
        if family not in found:
            found[family] = export_plain(toy(family), tmp_path_factory.mktemp("traced"))
        return found[family]

    return export


@pytest.mark.export
@pytest.mark.parametrize("family", FAMILIES)
def test_an_export_holds_exactly_the_weights_it_was_made_of(family: str, toy: Toy, traced: Toy) -> None:
    expected = from_directory(toy(family))
    found = from_onnx(traced(family), expected.config)
    assert found.tensors.keys() == expected.tensors.keys()
    for name, array in expected.tensors.items():
        np.testing.assert_array_equal(found.tensors[name], array, err_msg=name)


@pytest.mark.export
@pytest.mark.parametrize("family", DERIVED)
def test_the_configuration_is_read_off_the_graph(family: str, toy: Toy, traced: Toy) -> None:
    found, written = from_onnx(traced(family)).config, read_json(toy(family) / "config.json")
    # The two are one architecture, and one name is as good as the other.
    assert found.pop("model_type") == ("roberta" if family == "xlm-roberta" else family)
    assert found.pop("num_labels") == 1
    assert found == {name: written[name] for name in found}


@pytest.mark.export
@pytest.mark.parametrize("family", ["deberta-v2", "modernbert"])
def test_other_families_need_their_configuration(family: str, traced: Toy) -> None:
    with pytest.raises(ConfigurationError, match=r"put the model's config\.json beside the ONNX file"):
        from_onnx(traced(family))


@pytest.mark.export
@pytest.mark.parametrize("family", FAMILIES)
def test_int8_by_channel_is_near_by_half_a_step(family: str, toy: Toy, traced: Toy, tmp_path: Path) -> None:
    expected = from_directory(toy(family))
    found = from_onnx(quantise_plain(traced(family), tmp_path), expected.config)
    assert found.tensors.keys() == expected.tensors.keys()
    changed = 0
    for name, array in expected.tensors.items():
        if array.ndim == 2:
            # Symmetric int8: a step is the largest weight of the output channel by 127.
            step = np.abs(array).max(axis=1, keepdims=True) / 127
            assert (np.abs(found.tensors[name] - array) <= step * 0.501).all(), name
            changed += not np.array_equal(found.tensors[name], array)
    assert changed >= 12


@pytest.mark.export
def test_quantised_tables_and_activations_are_undone(traced: Toy, tmp_path: Path) -> None:
    """The other forms that ONNX Runtime's quantisers write: tables behind DequantizeLinear, and QDQ throughout."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_dynamic, quantize_static

    class OnePair(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            ids = np.array([[2, 7, 9, 3, 8, 3]])
            self._feeds = iter([{"input_ids": ids, "attention_mask": ids * 0 + 1, "token_type_ids": ids * 0}])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self._feeds, None)

    fp32 = traced("bert")
    expected = from_onnx(fp32)
    quantize_dynamic(fp32, tmp_path / "tables.onnx")
    quantize_static(fp32, tmp_path / "qdq.onnx", OnePair(), quant_format=QuantFormat.QDQ, per_channel=True)
    for name in ("tables.onnx", "qdq.onnx"):
        found = from_onnx(tmp_path / name)
        kinds = {node.op_type for node in to_fp32(load_onnx(tmp_path / name)).graph.node}
        assert not {k for k in kinds if "Quantize" in k or "Integer" in k}
        assert found.tensors.keys() == expected.tensors.keys()
        assert found.config == expected.config
        for key, array in expected.tensors.items():
            tolerance = np.abs(array).max() / 127
            np.testing.assert_allclose(found.tensors[key], array, atol=tolerance, err_msg=f"{name} {key}")


def test_the_catalogue_model_is_read_without_torch_or_config(tmp_path: Path) -> None:
    files = load_files(Settings().model)
    weights = from_onnx(files.model_path)
    assert (len(weights.tensors), weights.parameters) == (201, 33_360_385)
    assert weights.config == {
        "model_type": "bert", "pad_token_id": 0, "vocab_size": 30_522, "hidden_size": 384, "num_hidden_layers": 12,
        "num_attention_heads": 12, "intermediate_size": 1_536, "max_position_embeddings": 512, "type_vocab_size": 2,
        "layer_norm_eps": 1e-12, "hidden_act": "gelu", "num_labels": 1,
    }  # fmt: skip
    onnx.save(to_fp32(load_onnx(files.model_path)), tmp_path / "fp32.onnx")
    pairs = PairTokenizer(files.tokenizer_path).encode("How many people live in Berlin?", BERLIN, 512)
    # What torch gives for these weights; the published fp32 model gives 9.45 and -11.16.
    np.testing.assert_allclose(onnx_reference(tmp_path / "fp32.onnx")(pairs), [9.2668, -11.1875], atol=1e-3)


BERLIN = (
    "Berlin has a population of 3,520,031 registered inhabitants in an area of 891.82 square kilometers.",
    "New York City is famous for the Metropolitan Museum of Art.",
)


@pytest.mark.export
def test_the_catalogue_model_runs_in_transformers(tmp_path: Path) -> None:
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    files = load_files(Settings().model)
    weights = from_onnx(files.model_path)
    onnx.save(to_fp32(load_onnx(files.model_path)), tmp_path / "fp32.onnx")
    model = BertForSequenceClassification(BertConfig(**weights.config)).eval()
    model.load_state_dict({name: torch.tensor(array) for name, array in weights.tensors.items()})
    pairs = PairTokenizer(files.tokenizer_path).encode("How many people live in Berlin?", [*BERLIN, "word " * 300], 512)
    with torch.inference_mode():
        expected = [
            model(input_ids=torch.tensor(p.ids[None]), token_type_ids=torch.tensor(p.type_ids[None])).logits.item()
            for p in pairs
        ]
    np.testing.assert_allclose(onnx_reference(tmp_path / "fp32.onnx")(pairs), expected, atol=1e-4)


@pytest.mark.export
def test_fused_graphs_are_refused(traced: Toy, tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "fused.onnx")
    onnxruntime.InferenceSession(str(traced("bert")), options)
    with pytest.raises(ConfigurationError, match=r"fused operators \(.*Gelu.*\), which hide its weights"):
        from_onnx(tmp_path / "fused.onnx")


def product(name: str, weight: np.ndarray) -> onnx.ModelProto:
    return helper.make_model(
        helper.make_graph(
            [helper.make_node("MatMul", ["x", "w"], ["y"], name=name)],
            "product",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
            [onnx.numpy_helper.from_array(weight, "w")],
        )
    )


def test_a_product_is_named_by_its_path_or_refused() -> None:
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)
    weights = weights_of(product("/model/layers.0/attn/Wo/MatMul", weight), {"model_type": "modernbert"})
    np.testing.assert_array_equal(weights.tensors["model.layers.0.attn.Wo.weight"], weight.T)
    with pytest.raises(ConfigurationError, match=r"does not say which layer MatMul MatMul_17 is"):
        weights_of(product("MatMul_17", weight), {})
    with pytest.raises(ConfigurationError, match="half precision"):
        to_fp32(product("/a/b/MatMul", weight.astype(np.float16)))


def test_what_is_no_onnx_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not a protobuf" * 9)
    with pytest.raises(ModelDamaged, match=r"model\.onnx can't be read as an ONNX model"):
        from_onnx(tmp_path / "model.onnx")
