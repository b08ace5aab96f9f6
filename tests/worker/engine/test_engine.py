"""The real model on ONNX Runtime: known scores, scores that depend on their pair alone, and files that are none."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from rerank_shared.errors import ConfigurationError, ModelDamaged
from rerank_shared.models.catalogue import ModelFiles, load_files
from rerank_shared.models.precision import LayoutName
from rerank_shared.scheduling.runs import RunShape
from rerank_shared.settings import Settings
from rerank_worker.engine import PlainEngine, identity_of, precision_of
from rerank_worker.tokenizing import EncodedPair, PairTokenizer
from support.model.golden import GOLDEN, TOLERANCE

#: Dynamic int8 takes one scale for a whole padded batch, so a score moves with its batch-mates by up to this.
BUCKETS_DRIFT = 1.2
TEXT = "how many people live in berlin and which of its museums are famous for paintings of the city itself"
WORDS = TEXT.split()


@cache
def files() -> ModelFiles:
    return load_files(Settings().model)


@cache
def tokenizer() -> PairTokenizer:
    return PairTokenizer(files().tokenizer_path)


@cache
def engine(layout: LayoutName) -> PlainEngine:
    return PlainEngine(files().model_path, RunShape(layout, pairs=16, tokens=8_192))


def encode(query: str, document: str, max_length: int = 512) -> EncodedPair:
    (pair,) = tokenizer().encode(query, [document], max_length)
    return pair


def score(layout: LayoutName, pairs: Sequence[EncodedPair]) -> list[float]:
    """Score a batch run by run, as the scoring thread does."""
    logits: list[float] = []
    for run in engine(layout).runs(pairs):
        logits += engine(layout).score([pairs[i] for i in run]).tolist()
    return logits


@cache
def some_pairs() -> list[EncodedPair]:
    """Pairs of many lengths, from nearly none to cut ones."""
    documents = [" ".join(WORDS[:n]) for n in range(1, 19, 3)] + [" ".join(WORDS * n) for n in (2, 5, 40)]
    return [encode("how many people live in berlin", document, 256) for document in documents]


class TestGoldenScores:
    def test_are_of_this_file(self) -> None:
        assert files().name == GOLDEN["model"]
        assert files().model_digest == GOLDEN["model_digest"]
        assert sum("published_fp32" in row for row in GOLDEN["pairs"]) >= 2

    @pytest.mark.parametrize("row", GOLDEN["pairs"], ids=[row["document"][:20] for row in GOLDEN["pairs"]])
    def test_are_reached(self, row: dict[str, Any]) -> None:
        pair = encode(row["query"], row["document"])
        assert pair.tokens == row["tokens"]
        (logit,) = score("unpadded", [pair])
        for expected in (row["int8"], row.get("published_fp32", row["int8"])):
            assert logit == pytest.approx(expected, abs=TOLERANCE)


class TestSingle:
    @given(st.permutations(range(9)), st.integers(1, 9))
    @settings(max_examples=8)
    def test_a_score_does_not_depend_on_its_batch_mates_or_their_order(self, order: list[int], count: int) -> None:
        pairs = some_pairs()
        alone = [score("unpadded", [pair])[0] for pair in pairs]
        together = score("unpadded", [pairs[i] for i in order[:count]])
        assert together == [alone[i] for i in order[:count]]

    def test_another_session_gives_the_same_bits(self) -> None:
        other = PlainEngine(files().model_path)
        for pair in some_pairs():
            assert other.score([pair]).tobytes() == engine("unpadded").score([pair]).tobytes()

    def test_every_pair_is_a_run(self) -> None:
        assert engine("unpadded").runs(some_pairs()) == [range(i, i + 1) for i in range(9)]
        assert engine("unpadded").runs([]) == []


class TestBuckets:
    def test_a_batch_is_a_run(self) -> None:
        assert engine("padded").runs(some_pairs()) == [range(9)]

    @given(st.permutations(range(9)), st.integers(1, 9))
    @settings(max_examples=5)
    def test_a_score_stays_near_what_it_is_alone(self, order: list[int], count: int) -> None:
        pairs = [some_pairs()[i] for i in order[:count]]
        assert score("padded", pairs) == pytest.approx(score("unpadded", pairs), abs=BUCKETS_DRIFT)

    def test_without_padding_and_batch_mates_it_is_the_same_run(self) -> None:
        for pair in some_pairs():
            assert score("padded", [pair]) == score("unpadded", [pair])


def test_logits_are_float32_one_a_pair() -> None:
    logits = engine("padded").score(some_pairs())
    assert logits.shape == (9,)
    assert logits.dtype == np.dtype(np.float32)
    assert np.isfinite(logits).all()


def test_type_ids_reach_the_model() -> None:
    pair = encode("how many people live in berlin", "berlin has three million inhabitants")
    one_text = dataclasses.replace(pair, type_ids=np.zeros_like(pair.type_ids))
    assert abs(score("unpadded", [pair])[0] - score("unpadded", [one_text])[0]) > 0.1


class TestArtefact:
    @pytest.mark.parametrize(("layout", "precision"), [("unpadded", "int8"), ("padded", "int8-padded")])
    def test_says_whether_scores_vary_with_their_batch(self, layout: LayoutName, precision: str) -> None:
        assert precision_of(files().model_path) == "int8"
        assert identity_of(files(), tokenizer(), layout).precision == precision

    def test_is_all_that_cache_keys_need(self) -> None:
        artefact = identity_of(files(), tokenizer(), "unpadded")
        assert (artefact.model, artefact.model_digest) == (files().name, files().model_digest)
        assert artefact.tokenizer_digest == files().tokenizer_digest
        assert artefact.template == str(tokenizer().template)
        assert (artefact.truncation, artefact.activation) == ("longest_first", "sigmoid")

    @pytest.mark.parametrize(
        ("own", "limit", "max_length"), [(512, None, 512), (512, 128, 128), (256, 512, 256), (None, None, 512)]
    )
    def test_its_limit_is_the_model_s_unless_lowered(self, own: int | None, limit: int | None, max_length: int) -> None:
        limited = dataclasses.replace(files(), max_length=own)
        assert identity_of(limited, tokenizer(), "unpadded", limit).max_length == max_length


def write_graph(path: Path, inputs: Sequence[str], shape: Sequence[str | int], *, labels: int = 1) -> Path:
    """Write a full-precision graph: the mean of `input_ids`, once for each label."""
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["numbers"], ["mean"], axes=[1], keepdims=int(len(shape) == 2)),
        helper.make_node("Concat", ["mean"] * labels, ["logits"], axis=len(shape) - 1),
    ]
    graph = helper.make_graph(
        nodes,
        "mean",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"]) for name in inputs],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, list(shape))],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8), path)
    return path


class TestGraphs:
    @pytest.mark.parametrize("inputs", [["input_ids"], ["input_ids", "attention_mask"]])
    @pytest.mark.parametrize("shape", [["batch", 1], ["batch", "labels"], ["batch"]])
    def test_graphs_that_need_less_are_fed_less(
        self, inputs: list[str], shape: list[str | int], tmp_path: Path
    ) -> None:
        path = write_graph(tmp_path / "model.onnx", inputs, shape)
        pair = encode("how many", "people")
        assert PlainEngine(path).score([pair]).tolist() == pytest.approx([float(pair.ids.mean())])
        assert precision_of(path) == "fp32"

    @pytest.mark.parametrize("inputs", [["input_ids", "position_ids"], ["input_ids", "pixel_values"]])
    def test_an_input_that_nobody_can_feed_is_told(self, inputs: list[str], tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match=inputs[1]):
            PlainEngine(write_graph(tmp_path / "model.onnx", inputs, ["batch", 1]))

    def test_a_classifier_is_no_reranker(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="one logit a pair"):
            PlainEngine(write_graph(tmp_path / "model.onnx", ["input_ids"], ["batch", 3], labels=3))

    def test_a_model_with_more_logits_than_it_says_fails_and_gives_no_wrong_score(self, tmp_path: Path) -> None:
        path = tmp_path / "model.onnx"
        graph = helper.make_graph(
            [helper.make_node("Cast", ["input_ids"], ["logits"], to=TensorProto.FLOAT)],
            "one logit a token",
            [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "tokens"])],
        )
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8), path)
        with pytest.raises(ConfigurationError, match=r"has shape \[1, 5\] for a batch of 1"):
            PlainEngine(path).score([encode("how", "many")])


class TestDamage:
    @pytest.mark.parametrize("content", [b"", b"\x00" * 1_000, b"not a model", b"\x08\x08\x12\x00"])
    def test_garbage_is_told(self, content: bytes, tmp_path: Path) -> None:
        path = tmp_path / "model.onnx"
        path.write_bytes(content)
        with pytest.raises(ModelDamaged, match=r"model\.onnx can't be loaded by ONNX Runtime"):
            PlainEngine(path)

    def test_a_cut_file_is_told(self, tmp_path: Path) -> None:
        path = tmp_path / "model.onnx"
        shutil.copy(files().model_path, path)
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size // 2)
        with pytest.raises(ModelDamaged, match="can't be loaded"):
            PlainEngine(path)

    def test_a_missing_file_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(ModelDamaged, match="nowhere"):
            PlainEngine(tmp_path / "nowhere.onnx")
