"""Reports, written where `--report` says: of an evaluation, and of a choice."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rerank_ops.cli.console import err
from rerank_ops.evaluate.dataset import Source
from rerank_ops.evaluate.evaluation import Evaluation
from rerank_ops.evaluate.prepared import Prepared
from rerank_ops.evaluate.systems import System
from rerank_ops.report.blocks import Page
from rerank_ops.report.choice_page import choice_page
from rerank_ops.report.evaluation_page import evaluation_page
from rerank_ops.report.evidence import Evidence
from rerank_ops.report.made import Made, made
from rerank_ops.report.render import write_page
from rerank_shared.settings import Settings


def write_report(
    path: Path, found: Evaluation, source: Source, ready: Prepared, systems: Sequence[System], settings: Settings
) -> None:
    """Write the report of an evaluation that this process was asked for. Raises ConfigurationError, OSError."""
    with err.status("writing the report"):
        evidence = Evidence(
            found, ready, {system.name: system for system in systems}, source.identity(), _how(settings)
        )
        _write(path, evaluation_page(evidence))


def write_choice_report(path: Path, plain: Mapping[str, Any], ready: Prepared, settings: Settings) -> None:
    """Write the report of a choice, of the plain data that `--json` prints. Raises ConfigurationError, OSError."""
    with err.status("writing the report"):
        texts = {str(found.id): str(found.text) for query in ready.candidates.queries for found in query.candidates}
        _write(path, choice_page(plain, texts, _how(settings)))


def _how(settings: Settings) -> Made:
    return made(sys.argv[1:], settings, os.environ)


def _write(path: Path, page: Page) -> None:
    write_page(path, page)
    err.print(f"note: the report is {path}", style="yellow")
