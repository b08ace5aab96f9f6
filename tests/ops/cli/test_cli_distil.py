"""`rerank-fleet distil` on the command line, before anything is trained: what it refuses, in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from rerank_ops.cli import extras
from rerank_ops.cli.app import app
from rerank_shared.errors import ConfigurationError

TEACHER = "cross-encoder/ms-marco-MiniLM-L-12-v2"


@pytest.fixture
def corpus(tmp_path: Path) -> str:
    path = tmp_path / "corpus.tsv"
    path.write_text("d1\ttext\n")
    return str(path)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--qrels", "{corpus}"], "judges the queries of --queries"),
        (["--test-qrels", "{corpus}"], "judges the queries of --test-queries"),
        (["--first-stage", "{corpus}"], "goes with --queries"),
        (["--no-pseudo"], "goes with --queries"),
        (["--queries", "/no/such/file"], "does not exist"),
        (["--layers", "0"], "--layers"),
        (["--loss", "kl"], "kl"),
    ],
)
def test_wrong_usage_is_refused(arguments: list[str], told: str, corpus: str, tmp_path: Path) -> None:
    given = [each.format(corpus=corpus) for each in arguments]
    run = CliRunner().invoke(app, ["distil", TEACHER, str(tmp_path / "out"), "--corpus", corpus, *given])
    assert run.exit_code == 2
    assert told in " ".join(run.stderr.replace("│", " ").split())


def test_missing_packages_are_named_with_the_extra_that_has_them(
    corpus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "DISTIL", ("no_such_torch", "numpy"))
    run = CliRunner().invoke(app, ["distil", TEACHER, str(tmp_path / "out"), "--corpus", corpus])
    assert isinstance(run.exception, ConfigurationError)
    assert run.exception.message.startswith("distil needs no_such_torch: pip install 'rerank-fleet[distil]'")
    assert not (tmp_path / "out").exists()
