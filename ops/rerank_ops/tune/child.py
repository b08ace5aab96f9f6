"""One process of a team: loads the model of its settings, then runs pairs for the seconds in each line of input.

team.py starts it as `python -m rerank_ops.tune.child`. Both sides write JSON, one object a line.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from typing import Any

import numpy as np

from rerank_shared.errors import ConfigurationError
from rerank_shared.models.catalogue import configured_files
from rerank_shared.scheduling.runs import RunShape
from rerank_shared.settings import load_settings
from rerank_worker.engine import PackedWeights, kernel_for, open_engine
from rerank_worker.engine.providers import ON_CPU
from rerank_worker.tokenizing import EncodedPair


def main() -> int:
    """Answer each line of input with the tokens that were run and the seconds; return the exit status at its end."""
    try:
        task: dict[str, Any] = json.loads(sys.stdin.readline())
        if task["core"] is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {task["core"]})
        settings = load_settings()
        files = configured_files(settings)
        kernel = kernel_for(settings, files, ON_CPU, PackedWeights.of(settings, files.model_digest))
        engine = open_engine(files, RunShape.of(settings), settings.threads, kernel=kernel)
    except ConfigurationError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return 1
    pairs = [EncodedPair(np.array(ids), np.array(types), truncated=False) for ids, types in task["pairs"]]
    runs = [[pairs[i] for i in run] for run in engine.runs(pairs)]
    engine.score(runs[-1])
    # The runs are sorted by length, and a turn may end before the longest.
    random.Random(0).shuffle(runs)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        until = json.loads(line)["seconds"]
        tokens, number, started = 0, 0, time.perf_counter()
        while (seconds := time.perf_counter() - started) < until or not tokens:
            run = runs[number % len(runs)]
            engine.score(run)
            tokens, number = tokens + sum(pair.tokens for pair in run), number + 1
        print(json.dumps({"tokens": tokens, "seconds": seconds}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
