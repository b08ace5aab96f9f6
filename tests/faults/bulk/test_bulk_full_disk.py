"""The disk has no room for the output of a bulk run: the command says so, and goes on when there is room again.

The size of its files is limited instead of the disk, which takes no rights.
"""

from __future__ import annotations

import random
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import StartFleet
from support.bulk import BulkFiles, committed, write_rows
from support.model.tiny_graphs import write_tiny_model

pytestmark = [pytest.mark.integration, pytest.mark.faults]
ROWS, FAILED, PARTIAL = 200, 6, 7
_LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_a_full_disk_ends_the_command_which_then_goes_on(start_fleet: StartFleet, tmp_path: Path) -> None:
    fleet = start_fleet(model=f"file:{write_tiny_model(tmp_path / 'tiny')}")
    source = write_rows(tmp_path / "in.jsonl", ROWS, 8, random.Random(5))
    files = BulkFiles(fleet.settings, source, tmp_path / "out.jsonl", ("--chunk-bytes", "2000"))
    ended = files.run([sys.executable, "-c", _LIMITED, "60000"])
    assert ended.returncode == FAILED, ended.stderr
    assert f"{files.output}.part: File too large: make room" in ended.stderr.replace("\n", "")
    assert 0 < committed(files.output) < ROWS
    assert files.run().returncode == PARTIAL
    in_peace = replace(files, output=tmp_path / "peace.jsonl")
    assert in_peace.run().returncode == PARTIAL
    assert files.written == in_peace.written
