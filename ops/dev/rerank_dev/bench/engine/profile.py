"""Where the time of an engine goes, operator by operator, by ONNX Runtime's own profiler.

python -m rerank_dev.bench.engine.profile DIR [--layout unpadded] [--kernel auto] [--by operator|node] [--requests FILE]
       [--json]

Profiling costs small operators more than large ones: trust shares, and of those the large ones.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import onnxruntime
from rich.console import Console
from rich.table import Table

from rerank_dev.bench.engine.lineup.contenders import OPERATORS
from rerank_dev.bench.engine.place import counter
from rerank_dev.bench.engine.runners.ours import MAX_LENGTH, open_ours, score_pairs
from rerank_dev.bench.engine.texts import build_requests, own_texts
from rerank_worker.batching.run_cost import RunCost
from rerank_worker.supervisor.cores import affinity

By = Literal["operator", "node"]
K, REQUESTS = 50, 2
#: What is in no operator, as if it were one.
BETWEEN, AROUND, TOKENIZING = "between operators", "around runs", "tokenizing"
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Share:
    """One kind of work: its part of the whole time, how often it ran and how long each run took."""

    name: str
    share: float
    calls: int
    mean_us: float


def profile(
    directory: Path, layout: str, requests: Sequence[dict[str, Any]], by: By = "operator", kernel: str = OPERATORS
) -> list[Share]:
    """Run the requests, after one for warming up, and return the parts of their time, largest first."""
    with tempfile.TemporaryDirectory() as folder, _profiled(folder) as sessions:
        scorer = open_ours(directory, layout, kernel=kernel)
        run_cost = RunCost(scorer.work)
        score_pairs(scorer, scorer.encode(requests[0]["query"], requests[0]["documents"], MAX_LENGTH), run_cost)
        begun_us = time.time_ns() / 1e3
        encoded = [scorer.encode(request["query"], request["documents"], MAX_LENGTH) for request in requests]
        tokenized_us = time.time_ns() / 1e3
        for pairs in encoded:
            score_pairs(scorer, pairs, run_cost)
        ended_us = time.time_ns() / 1e3
        events = [event for session in sessions for event in _events_since(session, begun_us)]
    return shares(events, ended_us - tokenized_us, tokenized_us - begun_us, by)


def shares(events: Iterable[dict[str, Any]], scoring_us: float, tokenizing_us: float, by: By) -> list[Share]:
    """Share out the time of scoring among operators, what lies between them in a run, and what lies around runs."""
    times: dict[str, list[float]] = defaultdict(list)
    runs: list[float] = []
    for event in events:
        if event["name"] == "model_run":
            runs.append(event["dur"])
        elif event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            times[_group(event, by)].append(event["dur"])
    busy_us = sum(map(sum, times.values()))
    times[BETWEEN] = [sum(runs) - busy_us]
    times[AROUND] = [scoring_us - sum(runs)]
    times[TOKENIZING] = [tokenizing_us]
    total_us = scoring_us + tokenizing_us
    found = [Share(name, sum(spent) / total_us, len(spent), sum(spent) / len(spent)) for name, spent in times.items()]
    return sorted(found, key=lambda share: -share.share)


def _group(event: dict[str, Any], by: By) -> str:
    """Return the operator, or the node's name without the number of its layer."""
    if by == "operator":
        # A kernel's name tells which of its inputs are smoothed: EncoderLayer_qu.
        return str(event["args"]["op_name"]).partition("_")[0]
    return _NUMBER.sub("*", str(event["name"]).removesuffix("_kernel_time"))


def _events_since(session: Any, begun_us: float) -> list[dict[str, Any]]:
    start_us = session.get_profiling_start_time_ns() / 1e3
    events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return [event for event in events if start_us + event["ts"] >= begun_us]


@contextmanager
def _profiled(folder: str) -> Iterator[list[Any]]:
    """Let every session that is opened meanwhile be profiled, whoever opens it; yields them as they come."""
    sessions: list[Any] = []
    plain = onnxruntime.InferenceSession

    def opened(source: Any, sess_options: Any = None, *arguments: Any, **options: Any) -> Any:
        chosen = sess_options or onnxruntime.SessionOptions()
        chosen.enable_profiling = True
        # Files are named by the second, so each session has a prefix of its own.
        chosen.profile_file_prefix = str(Path(folder) / f"session-{len(sessions)}")
        sessions.append(plain(source, chosen, *arguments, **options))
        return sessions[-1]

    onnxruntime.InferenceSession = opened
    try:
        yield sessions
    finally:
        onnxruntime.InferenceSession = plain


def main() -> None:
    """Profile a directory and print the table."""
    parser = argparse.ArgumentParser(prog="python -m rerank_dev.bench.engine.profile")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--layout", default="unpadded")
    parser.add_argument("--kernel", default="auto", help="what runs the layers of int8, as RERANK_KERNEL")
    parser.add_argument("--by", choices=["operator", "node"], default="operator")
    parser.add_argument(
        "--requests", type=Path, help="requests that the benchmark wrote; else two of 50 pairs are made"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    chosen = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {affinity()[-1]})
    if chosen.requests:
        requests = json.loads(chosen.requests.read_text(encoding="utf-8"))[:REQUESTS]
    else:
        requests = [asdict(request) for request in build_requests(own_texts(), K, REQUESTS, counter())]
    found = profile(chosen.directory, chosen.layout, requests, chosen.by, chosen.kernel)
    if chosen.json:
        json.dump([asdict(share) for share in found], sys.stdout)
        return
    table = Table(chosen.by, "share", "runs", "mean µs", title=f"{chosen.directory}, layout {chosen.layout}")
    for share in found:
        table.add_row(share.name, f"{share.share:.1%}", str(share.calls), f"{share.mean_us:.1f}")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
