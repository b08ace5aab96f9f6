"""Report of an evaluation, written where `--report` says."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rerank_ops.cli.console import err
from rerank_ops.evaluate.dataset import Source
from rerank_ops.evaluate.evaluation import Evaluation
from rerank_ops.evaluate.prepared import Prepared
from rerank_ops.evaluate.systems import System
from rerank_ops.report.evaluation_page import evaluation_page
from rerank_ops.report.evidence import Evidence
from rerank_ops.report.made import made
from rerank_ops.report.render import write_page
from rerank_shared.settings import Settings


def write_report(
    path: Path, found: Evaluation, source: Source, ready: Prepared, systems: Sequence[System], settings: Settings
) -> None:
    """Write the report of an evaluation that this process was asked for. Raises ConfigurationError, OSError."""
    with err.status("writing the report"):
        how = made(sys.argv[1:], settings, os.environ)
        evidence = Evidence(found, ready, {system.name: system for system in systems}, source.identity(), how)
        write_page(path, evaluation_page(evidence))
    err.print(f"note: the report is {path}", style="yellow")
