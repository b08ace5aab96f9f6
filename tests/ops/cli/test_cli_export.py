"""`rerank-fleet export` on the command line: the real int8 model, de-quantised and exported anew."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from rerank_ops.cli.model.export import export
from rerank_ops.quality.pairs import frozen_pairs
from rerank_shared.errors import ConfigurationError, ModelRefused
from rerank_shared.models.catalogue import load_files
from rerank_shared.models.manifest import read_manifest
from rerank_shared.settings import Settings
from support.model.poison import write_poison_model

app = typer.Typer()
app.command()(export)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--layouts", "unpadded,sideways"], "no such layout: sideways"),
        (
            ["--layouts", "unpaded"],
            "no such layout: unpaded; there are unpadded, padded, varlen, packed; did you mean unpadded?",
        ),
        (["--layouts", ","], "name some of"),
        (["--precision", "int4"], "int4"),
        (["--eval", "/no/such/directory"], "does not exist"),
        (["--eval-queries", "0"], "eval-queries"),
        (["--depth", "0"], "--depth"),
        (["--depth", "6"], "it needs text to fit a head on, without labels: --text FILE or DIR"),
        (["--depth", "6", "--text", __file__, "--plain"], "leave --plain out"),
        (["--depth", "6", "--text", __file__, "--depth-pairs", "99"], "--depth-pairs"),
        (["--text", __file__], "it is text for --depth N"),
    ],
)
def test_wrong_usage_is_refused(arguments: list[str], told: str, tmp_path: Path) -> None:
    run = CliRunner().invoke(app, [Settings().model, str(tmp_path / "out"), *arguments])
    assert run.exit_code == 2
    assert told in " ".join(run.stderr.replace("│", " ").split())
    assert not (tmp_path / "out").exists()


@pytest.mark.timeout(600)
def test_the_real_model_is_exported_and_served(tmp_path: Path) -> None:
    arguments = [Settings().model, str(tmp_path / "out"), "--precision", "int8", "--layouts", "unpadded"]
    run = CliRunner().invoke(app, arguments)
    assert run.exit_code == 0, run.stderr
    manifest = read_manifest(tmp_path / "out")
    assert (manifest.model, manifest.precision, manifest.surgery) == (Settings().model, "int8", True)
    assert "torch" not in manifest.versions
    for told in ("bert, built for this architecture", "quality gate is passed", f"file:{tmp_path / 'out'}"):
        assert told in run.stdout.replace("\n", "")
    assert "comparing fp32 in layout unpadded with the published model" in run.stderr
    files = load_files(f"file:{tmp_path / 'out'}")
    assert (files.name, files.max_length, files.activation) == (Settings().model, 512, "sigmoid")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """An ONNX model of an architecture that is not known, and so exported as it is. It does not heed its mask."""
    write_poison_model(tmp_path / "small", table_rows=30_522)
    (tmp_path / "small" / "config.json").unlink()
    return tmp_path / "small"


def test_a_plain_export_says_so(small: Path, tmp_path: Path) -> None:
    arguments = [str(small), str(tmp_path / "out"), "--precision", "fp32", "--name", "my/model"]
    heedless = CliRunner().invoke(app, arguments)
    assert isinstance(heedless.exception, ConfigurationError)
    assert "layout padded differs" in heedless.exception.message
    assert "--layouts unpadded leaves padded batches out" in heedless.exception.message
    arguments += ["--layouts", "unpadded"]
    run = CliRunner().invoke(app, arguments)
    assert run.exit_code == 0, run.stderr
    assert "plain export: the ONNX graph does not say which layer MatMul logits is" in run.stderr
    assert "unknown, plain: the model's own graph" in run.stdout
    manifest = read_manifest(tmp_path / "out")
    assert (manifest.model, manifest.surgery, tuple(manifest.layouts)) == ("my/model", False, ("unpadded",))
    again = CliRunner().invoke(app, arguments)
    assert isinstance(again.exception, ConfigurationError)
    assert CliRunner().invoke(app, [*arguments, "--force"]).exit_code == 0


def test_a_tokenizer_of_another_model_is_told(tmp_path: Path) -> None:
    write_poison_model(tmp_path / "small", table_rows=1_000)
    (tmp_path / "small" / "config.json").unlink()
    run = CliRunner().invoke(app, [str(tmp_path / "small"), str(tmp_path / "out"), "--precision", "fp32"])
    assert isinstance(run.exception, ConfigurationError)
    assert "small can't score ordinary text" in run.exception.message
    assert not (tmp_path / "out").exists()


def test_a_model_that_fails_its_gate_is_written_and_ends_with_status_1(small: Path, tmp_path: Path) -> None:
    arguments = [str(small), str(tmp_path / "out"), "--precision", "int8", "--layouts", "unpadded"]
    run = CliRunner().invoke(app, arguments, env={"RERANK_GATE_MIN_SPEARMAN": "1.0"})
    assert run.exit_code == 1, run.stderr
    assert "quality gate is failed" in run.stdout
    assert "Serve it" not in run.stdout
    assert "Workers refuse it" in run.stdout
    assert f"RERANK_UNSAFE=true RERANK_MODEL=file:{tmp_path / 'out'}" in run.stdout.replace("\n", "")
    with pytest.raises(ModelRefused, match="failed its quality gate"):
        load_files(f"file:{tmp_path / 'out'}")


@pytest.fixture
def requests(tmp_path: Path) -> Path:
    """Requests of the frozen set's texts: as few and as short as a head can be fitted and measured on."""
    texts = frozen_pairs()
    queries = list(dict.fromkeys(pair.query for pair in texts))[:24]
    documents = [pair.document[:80] for pair in texts]
    lines = [{"query": query, "documents": documents[n * 5 : n * 5 + 20]} for n, query in enumerate(queries)]
    path = tmp_path / "requests.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_depth_that_the_model_does_not_have_is_told(requests: Path, tmp_path: Path) -> None:
    arguments = [Settings().model, str(tmp_path / "out"), "--depth", "12", "--text", str(requests)]
    run = CliRunner().invoke(app, arguments)
    assert isinstance(run.exception, ConfigurationError)
    assert "--depth 12: the model has 12 layers; keep 1 to 11 of them" in run.exception.message
    assert not (tmp_path / "out").exists()


def test_a_graph_of_no_known_layers_can_not_be_shortened(small: Path, requests: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke(app, [str(small), str(tmp_path / "out"), "--depth", "1", "--text", str(requests)])
    assert isinstance(run.exception, ConfigurationError)
    assert "--depth needs a model whose layers are known here (bert, " in run.exception.message


@pytest.mark.timeout(600)
def test_the_real_model_with_too_few_layers_is_refused_with_the_figures(requests: Path, tmp_path: Path) -> None:
    arguments = [Settings().model, str(tmp_path / "out"), "--depth", "2", "--text", str(requests)]
    run = CliRunner().invoke(app, [*arguments, "--precision", "int8", "--layouts", "unpadded"])
    assert run.exit_code == 1, run.stderr
    manifest = read_manifest(tmp_path / "out")
    assert manifest.model == f"{Settings().model}-depth2"
    assert manifest.shortened is not None
    assert manifest.shortened.by_depth[2].correlation < 0.75 < manifest.shortened.by_depth[11].correlation
    assert manifest.quality is not None
    assert any(each.startswith("with 2 of 12 layers the correlation") for each in manifest.quality.failures)
    for told in ("the first 2 of 12, with a head fitted on 112 pairs", "Keep more layers, or try it out all the same"):
        assert told in run.stdout.replace("\n", "")
    with pytest.raises(ModelRefused, match="with 2 of 12 layers"):
        load_files(f"file:{tmp_path / 'out'}")
