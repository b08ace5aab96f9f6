"""Memory of a process that scores: flat once it has met the longest pairs, however many follow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rerank_shared.models.precision import LayoutName
from support.model.exports import write_export

#: What a second burst may add, in MB; one run of 512 tokens needs about 4 MB for its attention alone.
GROWTH_MB = 4.0
#: Scores bursts of pairs of all lengths and prints the resident memory in MB after each.
BURSTS = """
import random, sys
sys.path[:0] = ["tests"]
import psutil
from rerank_shared.models.catalogue import load_files
from rerank_shared.scheduling.runs import RunShape
from rerank_worker.engine import open_engine
from support.model.exports import pairs_of
engine = open_engine(load_files(sys.argv[1]), RunShape(sys.argv[2], pairs=4, tokens=2_048))
pairs, order = pairs_of(range(8, 513, 3)), random.Random(0)
for burst in range(3):
    batch = [*order.sample(pairs, len(pairs)), *[pairs[-1]] * 20]
    for run in engine.runs(batch):
        engine.score(batch[run.start : run.stop])
    print(psutil.Process().memory_info().rss / 1e6)
"""


@pytest.mark.parametrize("layout", ["unpadded", "padded", "varlen", "packed"])
def test_a_second_burst_of_long_pairs_needs_no_more_than_the_first(layout: LayoutName, tmp_path: Path) -> None:
    directory = write_export(tmp_path / "export", "int8", layouts=(layout,))
    command = [sys.executable, "-c", BURSTS, f"file:{directory}", layout]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    first, *later = [float(line) for line in done.stdout.split()]
    assert max(later) - first < GROWTH_MB
