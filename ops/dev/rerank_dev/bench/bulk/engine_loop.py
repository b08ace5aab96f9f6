"""The bare engine: a process that scores its share of an input in a loop, without queue, cache or network.

python -m rerank_dev.bench.bulk.engine_loop INPUT PART PARTS CORE

It is as warm as a worker when it says `ready`, and begins when it is sent a line. It writes what the command writes:
each row's scores, at the end of each row.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from rerank_shared.settings import load_settings
from rerank_worker.engine.whole import run_engine
from rerank_worker.loading import load


def main() -> None:
    """Score, and print pairs and seconds as JSON."""
    source, part, parts, core = Path(sys.argv[1]), *map(int, sys.argv[2:5])
    if core >= 0 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    model = load(load_settings())
    print("ready", flush=True)
    sys.stdin.readline()
    started, pairs = time.perf_counter(), 0
    with source.open(encoding="utf-8") as rows, source.with_suffix(f".{part}.scores").open("w") as scores:
        for number, line in enumerate(rows):
            if number % parts != part:
                continue
            row = json.loads(line)
            encoded = model.scorer.encode(row["query"], row["documents"], model.identity.max_length)
            scores.write(json.dumps({"line": number + 1, "scores": run_engine(model.scorer, encoded).tolist()}) + "\n")
            pairs += len(encoded)
    print(json.dumps({"pairs": pairs, "seconds": time.perf_counter() - started}), flush=True)


if __name__ == "__main__":
    main()
