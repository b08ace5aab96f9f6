"""The graphs built here equal transformers' own output, in every layout and for every family that has them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rerank_ops.export.graph.architecture import SURGERY, read_body, refuses
from rerank_ops.export.graph.arithmetic import Full
from rerank_ops.export.graph.build import TAIL_FILE, arithmetic_of, build_graphs, graph_file
from rerank_ops.export.graph.store import save_graphs
from rerank_ops.export.sources.checkpoint import from_directory
from rerank_shared.errors import ConfigurationError
from rerank_shared.models.precision import LAYOUTS, LayoutName, PrecisionName
from rerank_shared.scheduling.runs import RunShape
from rerank_worker.engine import ArtefactEngine
from rerank_worker.tokenizing import EncodedPair, PairTokenizer
from support.model.toy_models import MAX_TOKENS, reference_logits, toy_pairs, write_toy

Toy = Callable[[str], Path]
pytestmark = pytest.mark.export
FAMILIES = pytest.mark.parametrize(
    "family", ["bert", "roberta", "xlm-roberta", "electra", "camembert", "distilbert", "modernbert", "deberta-v2"]
)
#: Every linear layer of a toy model is random and large, so int8 costs more than in a trained one.
INT8_TOLERANCE = 0.35


@pytest.fixture(scope="module")
def graphs(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, PrecisionName], Path]:
    """The directory of a family's graphs in a precision, all layouts."""
    found: dict[tuple[str, str], Path] = {}

    def build(family: str, precision: PrecisionName = "fp32") -> Path:
        if (family, precision) not in found:
            weights = from_directory(toy(family))
            body = read_body(weights.config, weights.tensors)
            calibration = [(pair.ids, pair.type_ids) for pair in encode(toy(family), toy_pairs(8, seed=5))]
            directory = tmp_path_factory.mktemp("graphs")
            save_graphs(directory, build_graphs(body, arithmetic_of(precision, body, calibration), LAYOUTS))
            found[family, precision] = directory
        return found[family, precision]

    return build


def encode(directory: Path, pairs: list[tuple[str, str]]) -> list[EncodedPair]:
    tokenizer = PairTokenizer(directory / "tokenizer.json")
    return [tokenizer.encode(query, [document], MAX_TOKENS)[0] for query, document in pairs]


def run(directory: Path, layout: LayoutName, pairs: list[EncodedPair], together: int = 4) -> np.ndarray:
    shape = RunShape(layout, pairs=together, tokens=10_000)
    engine = ArtefactEngine(directory / graph_file(layout), directory / TAIL_FILE, shape)
    return np.concatenate([engine.score([pairs[i] for i in run]) for run in engine.runs(pairs)])


@FAMILIES
@pytest.mark.parametrize("layout", LAYOUTS)
def test_fp32_equals_transformers(family: str, layout: LayoutName, toy: Toy, graphs: Callable[[str], Path]) -> None:
    pairs = toy_pairs(9)
    found = run(graphs(family), layout, encode(toy(family), pairs), together=4)
    assert found == pytest.approx(reference_logits(toy(family), pairs), abs=1e-4)
    assert np.ptp(found) > 0.1, "the model tells no pair from another, so the test could not fail"


@pytest.mark.parametrize("precision", ["int8", "int8-static"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_int8_stays_near_fp32(
    precision: PrecisionName, layout: LayoutName, toy: Toy, graphs: Callable[..., Path]
) -> None:
    pairs = encode(toy("bert"), toy_pairs(16))
    exact = run(graphs("bert"), "unpadded", pairs)
    found = run(graphs("bert", precision), layout, pairs)
    assert found == pytest.approx(exact, abs=INT8_TOLERANCE)
    assert not np.array_equal(found, exact)


@pytest.mark.parametrize("activation", ["gelu", "relu", "gelu_new"])
def test_each_activation_is_the_one_of_the_config(activation: str, tmp_path: Path) -> None:
    directory = write_toy("bert", tmp_path / "toy", hidden_act=activation)
    weights = from_directory(directory)
    save_graphs(tmp_path, build_graphs(read_body(weights.config, weights.tensors), Full(), ["unpadded"]))
    pairs = toy_pairs(5)
    found = run(tmp_path, "unpadded", encode(directory, pairs))
    assert found == pytest.approx(reference_logits(directory, pairs), abs=1e-4)


def test_one_layer_is_enough(tmp_path: Path) -> None:
    """The only layer is then the last one, whose attention is that of the first token alone."""
    directory = write_toy("bert", tmp_path / "toy", num_hidden_layers=1)
    weights = from_directory(directory)
    save_graphs(tmp_path, build_graphs(read_body(weights.config, weights.tensors), Full(), LAYOUTS))
    pairs = toy_pairs(5)
    for layout in LAYOUTS:
        found = run(tmp_path, layout, encode(directory, pairs))
        assert found == pytest.approx(reference_logits(directory, pairs), abs=1e-4)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("layers", [1, 3, 4], ids=lambda count: f"{count} layers")
def test_modernbert_reads_what_its_head_reads(pooling: str, layers: int, tmp_path: Path) -> None:
    """Of 3 layers the last sees a neighbourhood, of 1 or 4 it sees all."""
    directory = write_toy("modernbert", tmp_path / "toy", classifier_pooling=pooling, num_hidden_layers=layers)
    weights = from_directory(directory)
    save_graphs(tmp_path, build_graphs(read_body(weights.config, weights.tensors), Full(), LAYOUTS))
    pairs = toy_pairs(7)
    expected = reference_logits(directory, pairs)
    for layout in LAYOUTS:
        assert run(tmp_path, layout, encode(directory, pairs)) == pytest.approx(expected, abs=1e-4), layout


class TestRefusals:
    def test_families_without_a_graph_are_told(self) -> None:
        for family in ("albert", "gpt2"):
            assert family in str(refuses({"model_type": family}))
            with pytest.raises(ConfigurationError, match=family):
                read_body({"model_type": family}, {})

    @pytest.mark.parametrize(
        ("config", "word"),
        [
            ({"model_type": "bert", "position_embedding_type": "relative_key"}, "relative_key"),
            ({"model_type": "bert", "hidden_act": "silu"}, "silu"),
            ({"model_type": "modernbert", "hidden_activation": "silu"}, "silu"),
            ({"model_type": "modernbert", "classifier_pooling": "max"}, "max"),
            ({"model_type": "deberta-v2", "relative_attention": False}, "distances"),
        ],
    )
    def test_variants_are_told(self, config: dict[str, str], word: str) -> None:
        assert word in str(refuses(config))

    def test_a_missing_weight_is_named(self, toy: Toy) -> None:
        weights = from_directory(toy("bert"))
        missing = "bert.encoder.layer.1.output.dense.bias"
        rest = {name: tensor for name, tensor in weights.tensors.items() if name != missing}
        with pytest.raises(ConfigurationError, match=missing):
            read_body(weights.config, rest)

    def test_more_labels_are_no_reranker(self, tmp_path: Path) -> None:
        weights = from_directory(write_toy("bert", tmp_path, num_labels=3))
        with pytest.raises(ConfigurationError, match="3 labels"):
            read_body(weights.config, weights.tensors)

    def test_known_families_have_no_reason(self) -> None:
        assert all(refuses({"model_type": family}) is None for family in SURGERY - {"deberta-v2"})
        v3 = {"relative_attention": True, "pos_att_type": "p2c|c2p", "share_att_key": True, "type_vocab_size": 0}
        assert refuses({"model_type": "deberta-v2", **v3, "position_biased_input": False}) is None
