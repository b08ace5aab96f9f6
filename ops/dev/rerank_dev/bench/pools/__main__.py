"""Runs the parts that are named, or all; writes build/bench/pools.json, where the others keep what they had.

python -m rerank_dev.bench.pools [beside shares one-model cascade upgrade canary] [--base REV] [--data DIR] [--quick]

The big model is the fleet's own; the small one is made of its first layers.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rerank_dev.bench.pools.beside import beside
from rerank_dev.bench.pools.canary import canary
from rerank_dev.bench.pools.cascade import cascade
from rerank_dev.bench.pools.place import Place
from rerank_dev.bench.pools.releases.one_model import one_model
from rerank_dev.bench.pools.releases.upgrade import upgrade
from rerank_dev.bench.pools.scale import QUICK, Scale
from rerank_dev.bench.pools.shares import shares
from rerank_dev.bench.pools.small import small_model
from rerank_dev.bench.record import Figure, report
from rerank_dev.bench.scheduling.load import Questions
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_shared.settings import load_settings

OUTPUT = Path("build/bench/pools.json")
#: Models and checkouts that later runs find again.
KEPT = Path("build/bench/pools")
PARTS = {
    "beside": beside,
    "shares": shares,
    "one-model": one_model,
    "cascade": cascade,
    "upgrade": upgrade,
    "canary": canary,
}


def main() -> None:
    """Measure and write down."""
    parser = argparse.ArgumentParser(prog="python -m rerank_dev.bench.pools")
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--big", default=load_settings().model, help="source of the slow model (%(default)s)")
    parser.add_argument("--small", help="source of the fast model (default: the first layers of --big, made once)")
    parser.add_argument("--base", metavar="REV", help="git revision to compare with (default: the one before pools)")
    parser.add_argument(
        "--data", type=Path, action="append", default=[], help="collection in BEIR's layout; repeatable"
    )
    parser.add_argument("--quick", action="store_true", help="try whether the parts work; nothing is written down")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    chosen = parser.parse_args()
    if unknown := set(chosen.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    figures = _measured(chosen)
    if chosen.quick:
        report(figures, chosen.output.with_suffix(".quick.json"))
    else:
        report(replaced(figures, chosen.output), chosen.output)


def replaced(figures: Sequence[Figure], path: Path) -> list[Figure]:
    """Return what `path` holds of the parts that have no new figures, and the new ones.

    Names of figures say the models and the base, so those of an earlier run may have others.
    """
    known = [Figure(**each) for each in json.loads(path.read_text())] if path.exists() else []
    again = {_part(figure) for figure in figures}
    return [figure for figure in known if _part(figure) not in again] + list(figures)


def _part(figure: Figure) -> str:
    return next(name for name in PARTS if figure.name.startswith(name))


def _measured(chosen: argparse.Namespace) -> list[Figure]:
    questions = Questions()
    small = chosen.small or small_model(chosen.big, KEPT, questions)
    scale = QUICK if chosen.quick else Scale()
    with tempfile.TemporaryDirectory(prefix="rerank-bench-") as work, EmbeddedServer.start() as server:
        place = Place(server, chosen.big, small, scale, Path(work), KEPT, chosen.base, tuple(chosen.data), questions)
        return [figure for name in chosen.parts or PARTS for figure in PARTS[name](place)]


if __name__ == "__main__":
    main()
