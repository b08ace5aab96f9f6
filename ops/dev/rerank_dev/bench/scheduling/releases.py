"""The saturated fleet against that of another release, in turns: a checkout of it, run by this same interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from rerank_dev.bench.record import Figure
from rerank_dev.bench.scheduling import saturation

ROUNDS = 9
_FOLDERS = ("shared", "producer", "worker", "ops")
#: No shards, nothing refused: what is left is what scheduling costs.
_OFF = {"RERANK_SHARD": "false", "RERANK_REFUSE": "false"}


class Release:
    """A fleet of one checkout that measures itself when asked."""

    def __init__(self, root: Path, environ: dict[str, str]) -> None:
        path = os.pathsep.join(str(root / folder) for folder in _FOLDERS)
        # The same program for both: it uses only what both have.
        self._process = subprocess.Popen(
            [sys.executable, saturation.__file__],
            env=os.environ | {"PYTHONPATH": path} | environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._read()

    def pairs_per_s(self) -> float:
        """Measure one round."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return float(self._read())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return str(json.loads(self._process.stdout.readline()))


def releases(before: Path | None) -> list[Figure]:
    """Return the pairs/s of this checkout when saturated, over those of `before` if there is one."""
    here = Path(saturation.__file__).parents[5]
    with Release(here, _OFF) as now:
        if before is None:
            return [Figure.of("saturated, shards off", [now.pairs_per_s() for _ in range(ROUNDS)][1:], "pairs/s")]
        with Release(before, {}) as then:
            pairs = [(now.pairs_per_s(), then.pairs_per_s()) for _ in range(ROUNDS)][1:]
    return [
        Figure.of(
            "saturated, shards off, over the release before", [n / t for n, t in pairs], "ratio", "at least", 0.98
        ),
        Figure.of("saturated, shards off", [n for n, _ in pairs], "pairs/s"),
        Figure.of("saturated, the release before", [t for _, t in pairs], "pairs/s"),
    ]
