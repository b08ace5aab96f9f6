"""Whole exports: what is written is served, equals the published model in every layout, and is whole or not there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from rerank_ops.export.made import Made
from rerank_ops.export.pipeline import Wanted, export
from rerank_ops.export.plain import export_plain
from rerank_ops.export.target import unfinished
from rerank_shared.errors import ConfigurationError, ModelRefused
from rerank_shared.models.catalogue import load_files
from rerank_shared.models.manifest import Bounds, check_files, read_manifest
from rerank_shared.models.precision import LAYOUTS, LayoutName
from rerank_shared.scheduling.runs import RunShape
from rerank_worker.engine import open_engine
from rerank_worker.engine.whole import run_engine
from rerank_worker.tokenizing import PairTokenizer
from support.model.toy_models import FAMILIES, MAX_TOKENS, reference_logits, toy_pairs, write_toy

Toy = Callable[[str], Path]
RAGGED = Wanted("fp32", layouts=("varlen",))
#: Of a token that no text has: RoBERTa counts no position for one that has it.
PADDING = 4
SURGERY = ("bert", "roberta", "xlm-roberta", "electra", "modernbert", "deberta-v2")


def scores(directory: Path, layout: LayoutName, pairs: list[tuple[str, str]]) -> np.ndarray:
    """Return logits as a worker gets them from an exported directory, whatever the gate said of random weights."""
    files = load_files(f"file:{directory}", unsafe=True)
    tokenizer = PairTokenizer(files.tokenizer_path)
    encoded = [tokenizer.encode(query, [document], MAX_TOKENS)[0] for query, document in pairs]
    return run_engine(open_engine(files, RunShape(layout)), encoded)


@pytest.mark.export
@pytest.mark.parametrize("family", FAMILIES)
def test_fp32_is_the_published_model_in_every_plan(family: str, toy: Toy, tmp_path: Path) -> None:
    manifest = export(str(toy(family)), tmp_path / "out", Wanted("fp32"))
    assert manifest == read_manifest(tmp_path / "out")
    assert (manifest.family, manifest.surgery) == (family, family in SURGERY)
    assert tuple(manifest.layouts) == (LAYOUTS if family in SURGERY else ("unpadded", "padded"))
    assert manifest.quality is not None
    assert manifest.quality.passed
    assert manifest.quality.max_difference < 1e-4
    pairs = toy_pairs(9)
    expected = reference_logits(toy(family), pairs)
    for layout in manifest.layouts:
        np.testing.assert_allclose(scores(tmp_path / "out", layout, pairs), expected, atol=1e-4)


@pytest.mark.export
@pytest.mark.parametrize("surgery", [True, False])
def test_positions_begin_behind_the_padding_id_of_the_model(surgery: bool, tmp_path: Path) -> None:
    """RoBERTa's is 1 mostly; where it is another, the first token takes another row, and fewer of them are left."""
    toy = write_toy("roberta", tmp_path / "toy", pad_token_id=PADDING)
    (toy / "tokenizer_config.json").unlink()
    manifest = export(str(toy), tmp_path / "out", Wanted("fp32", surgery=surgery))
    assert manifest.max_length == MAX_TOKENS + 2 - PADDING - 1
    pairs = toy_pairs(9, longest=MAX_TOKENS - 16)
    np.testing.assert_allclose(scores(tmp_path / "out", "unpadded", pairs), reference_logits(toy, pairs), atol=1e-4)


@pytest.mark.export
def test_the_padding_id_is_read_off_a_graph_without_config(tmp_path: Path) -> None:
    toy = write_toy("roberta", tmp_path / "toy", pad_token_id=PADDING)
    source = tmp_path / "source"
    source.mkdir()
    export_plain(toy, source)
    for name in ("config.json", "tokenizer_config.json"):
        (source / name).unlink(missing_ok=True)
    shutil.copy(toy / "tokenizer.json", source)
    manifest = export(str(source / "model.onnx"), tmp_path / "out", Wanted("fp32", layouts=("unpadded",)))
    assert (manifest.surgery, manifest.max_length) == (True, MAX_TOKENS + 2 - PADDING - 1)
    pairs = toy_pairs(9, longest=MAX_TOKENS - 16)
    np.testing.assert_allclose(scores(tmp_path / "out", "unpadded", pairs), reference_logits(toy, pairs), atol=1e-4)


@pytest.mark.export
def test_fewer_positions_than_the_configs_say_are_told(tmp_path: Path) -> None:
    toy = write_toy("albert", tmp_path / "toy", max_position_embeddings=64, embedding_size=16)
    (tmp_path / "source").mkdir()
    export_plain(toy, tmp_path / "source")
    shutil.copy(toy / "tokenizer.json", tmp_path / "source")
    config = json.loads((toy / "config.json").read_text())
    (tmp_path / "source" / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 512}))
    with pytest.raises(
        ConfigurationError, match=r"text of \d+ tokens .* it scored \d+, so it may have fewer positions"
    ):
        export(str(tmp_path / "source"), tmp_path / "out", Wanted("fp32"))


@pytest.mark.export
def test_the_manifest_tells_all(toy: Toy, tmp_path: Path) -> None:
    told: list[str] = []
    wanted = Wanted("int8", layouts=("unpadded", "padded"), name="my/reranker", bounds=Bounds(min_spearman=0.5))
    manifest = export(str(toy("bert")), tmp_path / "out", wanted, told.append)
    assert (manifest.model, manifest.precision, manifest.max_length) == ("my/reranker", "int8", MAX_TOKENS)
    assert (manifest.source.kind, manifest.source.name) == ("directory", str(toy("bert")))
    assert (manifest.activation, manifest.template) == ("sigmoid", "2:0/0/3:0/1/3:1")
    assert manifest.versions.keys() >= {"python", "rerank-fleet", "onnx", "onnxruntime", "torch", "transformers"}
    assert set(manifest.files) == {path.name for path in (tmp_path / "out").iterdir()} - {"manifest.json"}
    check_files(tmp_path / "out", manifest)
    graph = onnx.load(tmp_path / "out" / manifest.layouts["unpadded"], load_external_data=False)
    assert manifest.opset in {entry.version for entry in graph.opset_import}
    assert manifest.quality is not None
    assert manifest.quality.invariance["unpadded"] is True
    assert manifest.quality.bounds.min_spearman == 0.5
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["model_type"] == "bert"
    assert config["sentence_transformers"]["activation_fn"].endswith(".Sigmoid")
    assert "comparing fp32 in layout padded with the published model" in told
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.export
def test_int8_is_near_and_its_plain_form_can_be_asked_for(toy: Toy, tmp_path: Path) -> None:
    pairs = toy_pairs(20)
    expected = reference_logits(toy("bert"), pairs)
    for name, surgery in (("own", True), ("plain", False)):
        manifest = export(str(toy("bert")), tmp_path / name, Wanted("int8", surgery=surgery))
        assert manifest.surgery is surgery
        assert np.corrcoef(scores(tmp_path / name, "unpadded", pairs), expected)[0, 1] > 0.95


@pytest.mark.export
@pytest.mark.parametrize("family", ["bert", "deberta-v2"])
def test_an_onnx_file_is_enough(family: str, toy: Toy, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    export_plain(toy(family), source)
    (source / "config.json").unlink()
    manifest = export(str(source / "model.onnx"), tmp_path / "out", Wanted("fp32"))
    assert (manifest.surgery, manifest.source.kind) == (family == "bert", "onnx")
    assert manifest.family == ("bert" if family == "bert" else "unknown")
    pairs = toy_pairs(9)
    found = scores(tmp_path / "out", "unpadded", pairs)
    np.testing.assert_allclose(found, reference_logits(toy(family), pairs), atol=1e-4)


@pytest.mark.export
def test_a_graph_that_differs_from_the_model_is_never_written(toy: Toy, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    export_plain(toy("bert"), source)
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | {"num_attention_heads": 2}))
    with pytest.raises(
        ConfigurationError, match=r"layout unpadded differs .* config\.json is another model's.*--plain"
    ):
        export(str(source / "model.onnx"), tmp_path / "out", Wanted("fp32"))
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


@pytest.mark.export
def test_a_model_below_its_bounds_is_written_and_refused_by_workers(toy: Toy, tmp_path: Path) -> None:
    strict = Bounds(min_spearman=0.999999)
    manifest = export(str(toy("bert")), tmp_path / "out", Wanted("int8", layouts=("unpadded",), bounds=strict))
    assert manifest.quality is not None
    assert not manifest.quality.passed
    with pytest.raises(ModelRefused, match="failed its quality gate"):
        load_files(f"file:{tmp_path / 'out'}")


@pytest.mark.export
def test_collections_are_ranked(toy: Toy, labelled_words: Path, tmp_path: Path) -> None:
    wanted = Wanted("fp32", layouts=("unpadded",), eval_dirs=(labelled_words,), eval_queries=5)
    quality = export(str(toy("bert")), tmp_path / "out", wanted).quality
    assert quality is not None
    (ranked,) = quality.collections
    assert (ranked.name, ranked.queries) == ("words", 5)
    assert ranked.ndcg_10_fp32 > 0
    assert ranked.ndcg_10 == ranked.ndcg_10_fp32


def test_a_wrong_collection_is_told_before_anything_is_built(tmp_path: Path) -> None:
    (tmp_path / "words").mkdir()
    with pytest.raises(ConfigurationError, match="is no collection in the layout of BEIR"):
        export("no model", tmp_path / "out", Wanted(eval_dirs=(tmp_path / "words",)))


@pytest.mark.export
def test_a_gpu_precision_is_written_unmeasured(toy: Toy, tmp_path: Path) -> None:
    manifest = export(str(toy("bert")), tmp_path / "out", Wanted("fp16", layouts=("padded",)))
    assert (manifest.precision, manifest.quality) == ("fp16", None)
    with pytest.raises(ModelRefused, match="never put through the quality gate"):
        load_files(f"file:{tmp_path / 'out'}")


@pytest.mark.export
def test_a_plain_export_has_no_layout_of_ours(toy: Toy, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"runs as unpadded or padded, not varlen; .*it has a convolution"):
        export(str(write_toy("deberta-v2", tmp_path / "toy", conv_kernel_size=3)), tmp_path / "out", RAGGED)


def fail_halfway(target: Path) -> None:
    with unfinished(target, force=True) as new:
        (new / "part").touch()
        raise ZeroDivisionError


def test_a_directory_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "out"
    with pytest.raises(ZeroDivisionError):
        fail_halfway(target)
    assert list(target.parent.iterdir()) == []
    with unfinished(target) as new:
        (new / "manifest.json").touch()
    assert [path.name for path in target.parent.iterdir()] == ["out"]
    assert target.stat().st_mode & 0o777 == target.parent.stat().st_mode & 0o777


def test_what_lies_there_already_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    with unfinished(target) as new:
        (new / "manifest.json").write_text("first")
    with pytest.raises(ConfigurationError, match="replace it with --force"), unfinished(target):
        pass
    with unfinished(target, force=True) as new:
        (new / "manifest.json").write_text("second")
    assert (target / "manifest.json").read_text() == "second"
    with pytest.raises(ZeroDivisionError):
        fail_halfway(target)
    assert (target / "manifest.json").read_text() == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_force_replaces_exported_models_only(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(ConfigurationError, match="is no exported model"), unfinished(tmp_path, force=True):
        pass
    assert (tmp_path / "thesis.txt").exists()


@pytest.mark.export
def test_nothing_is_left_of_an_export_that_fails(toy: Toy, tmp_path: Path) -> None:
    shutil.copytree(toy("bert"), tmp_path / "broken")
    (tmp_path / "broken" / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ConfigurationError):
        export(str(tmp_path / "broken"), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["broken"]


def test_an_export_knows_the_opset_of_its_graphs(tmp_path: Path) -> None:
    graph = onnx.helper.make_graph([], "none", [], [])
    opsets = [onnx.helper.make_opsetid("com.microsoft", 1), onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets), tmp_path / "model.onnx")
    assert Made(tmp_path, {"unpadded": "model.onnx"}, None).opset == 17
