"""Whether two models of one process that are both saturated share its tokens as fleet.toml says."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from rerank_dev.bench.pools.place import Place, told
from rerank_dev.bench.pools.saturating import Saturating
from rerank_dev.bench.pools.workers import Workers
from rerank_dev.bench.record import Figure
from rerank_shared.errors import ConfigurationError
from rerank_shared.settings.fleet_file import read_fleet_file

LIMIT = 0.05
#: The small model's part of the tokens, in turns.
SHARES = (0.5, 0.75)
#: Few pairs a request, so that what is open at the end of a round is little beside what was answered.
_K, _IN_FLIGHT = 5, 8


def shares(place: Place) -> list[Figure]:
    """Return how far the small model's part of the tokens is from its share, and the part.

    Returns nothing, and says so, where fleet.toml takes no shares of models.
    """
    figures = []
    for share in SHARES:
        path = _written(place, share)
        try:
            read_fleet_file(path)
        except ConfigurationError as error:
            print(f"shares: not measured, since fleet.toml takes no share of a model: {error}", file=sys.stderr)
            return []
        parts = _parts(place, path, share)
        errors = [abs(part / share - 1) for part in parts]
        at = f"shares, {share:.0%} configured for {told(place.small)} beside {told(place.big)}"
        figures += [
            Figure.of(f"{at}: its part of the tokens, error", errors, "share", "at most", LIMIT),
            Figure.of(f"{at}: its part of the tokens", parts, "share"),
        ]
    return figures


def _written(place: Place, share: float) -> Path:
    path = place.work / f"fleet-{share:g}.toml"
    shared = ((place.small, share), (place.big, 1 - share))
    tables = (f'[[models]]\nname = "{model}"\nshare = {part:g}\n' for model, part in shared)
    path.write_text("\n".join(tables), encoding="utf-8")
    return path


def _parts(place: Place, path: Path, share: float) -> list[float]:
    settings = place.settings(f"shares-{share:g}", models=(place.small, place.big), fleet_file=path)
    parts = []
    with Workers(settings, place.work) as workers:
        workers.start()
        for number in range(place.scale.rounds):
            queries = place.queries(f"share {share:g} {number}", 50, _K)
            with (
                Saturating(settings, place.big, queries, _IN_FLIGHT, "interactive") as big,
                Saturating(settings, place.small, queries, _IN_FLIGHT, "interactive") as small,
            ):
                before = small.ran().tokens, big.ran().tokens
                time.sleep(2 * place.scale.seconds)
                after = small.ran().tokens, big.ran().tokens
            of_small, of_big = (later - earlier for later, earlier in zip(after, before, strict=True))
            parts.append(of_small / (of_small + of_big))
    return parts
