"""The scorer of cross-encoders, opened as a worker opens it: it scores what it encoded, and shares what is the same."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from rerank_shared.errors import ConfigurationError
from rerank_shared.models.catalogue import ModelFiles, load_files
from rerank_shared.models.cpu import CpuFeatures
from rerank_shared.models.precision import kernel_precision
from rerank_shared.settings import Settings, load_settings
from rerank_worker.engine import open_engine
from rerank_worker.scorers.pair_classifier import open_pair_classifier
from support.model.exports import KERNEL_HIDDEN, write_export

QUERY, DOCUMENTS = "how many people live in berlin?", ["four million", "a museum " * 60, ""]


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_settings(redis_url="unix:///nowhere/redis.sock", packed_dir="off")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    return load_files(f"file:{write_export(tmp_path_factory.mktemp('models') / 'one')}")


def test_a_pair_that_it_encoded_has_one_logit_and_its_numbers(files: ModelFiles, settings: Settings) -> None:
    scorer = open_pair_classifier(files, settings, 64)
    pairs = scorer.encode(QUERY, DOCUMENTS, scorer.identity.max_length)
    assert scorer.identity.max_length == 64
    assert [pair.truncated for pair in pairs] == [False, True, False]
    assert max(pair.tokens for pair in pairs) == 64
    alone = [float(open_engine(files).score([pair])[0]) for pair in pairs]
    assert scorer.score(pairs).tolist() == scorer.start(pairs)().tolist() == alone
    assert [index for run in scorer.runs(pairs) for index in run] == [0, 1, 2]


def test_its_work_is_that_of_the_shape_of_the_settings(files: ModelFiles, settings: Settings) -> None:
    padded = settings.model_copy(update={"layout": "padded", "run_pairs": 2, "run_tokens": 10_000})
    scorer = open_pair_classifier(files, padded)
    pairs = scorer.encode(QUERY, DOCUMENTS, 512)
    assert scorer.runs(pairs) == [range(2), range(2, 3)]
    assert scorer.work.layout == "padded"
    lengths = [pair.tokens for pair in pairs[:2]]
    assert scorer.work.padding(lengths) == max(lengths) - min(lengths)


@pytest.mark.skipif(importlib.util.find_spec("rerank_kernels") is None, reason="no kernels: `make kernels`")
def test_weights_of_all_8_bits_need_a_kernel_where_products_saturate(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    old = CpuFeatures("x86_64", frozenset({"avx2"}))
    monkeypatch.setattr("rerank_worker.engine.kernels.start.host_features", lambda: old)
    names = [kernel_precision("portable", 1)]
    export = write_export(tmp_path / "m", "int8", hidden=KERNEL_HIDDEN, kernels=names, reduced_range=False)
    files = load_files(f"file:{export}")
    with pytest.raises(ConfigurationError, match=r"saturate.*set RERANK_KERNEL=avx2"):
        open_pair_classifier(files, settings.model_copy(update={"kernel": "onnxruntime"}))
    scorer = open_pair_classifier(files, settings.model_copy(update={"kernel": "portable"}))
    assert scorer.identity.precision == names[0]
    assert "UNSAFE" not in caplog.text


def test_a_tokenizer_is_shared_by_models_with_the_same_prompt_only(
    tmp_path: Path, files: ModelFiles, settings: Settings
) -> None:
    scorer = open_pair_classifier(files, settings)
    same = load_files(f"file:{write_export(tmp_path / 'same', seed=1)}")
    assert open_pair_classifier(same, settings, beside=[scorer]).tokenizer is scorer.tokenizer
    assert open_pair_classifier(same, settings).tokenizer is not scorer.tokenizer
    prompted = {"prompts": {"query": "search for: "}, "default_prompt_name": "query"}
    (tmp_path / "same" / "config_sentence_transformers.json").write_text(json.dumps(prompted), encoding="utf-8")
    other = load_files(same.source, unsafe=True)
    assert other.prompt == "search for: "
    found = open_pair_classifier(other, settings.model_copy(update={"unsafe": True}), beside=[scorer]).tokenizer
    assert found is not scorer.tokenizer
    assert found.template.prompt == other.prompt
